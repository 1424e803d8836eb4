"""A day of the Kubeflow pipeline in local processes: `python kubeflow_day.py DAY FOLDER`."""

import sys

from kfp import local

from components.kubeflow.pipeline import pipeline_of
from components.settings import load_settings

if __name__ == "__main__":
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])
    pipeline_of(load_settings().work.buckets)(day=sys.argv[1])
