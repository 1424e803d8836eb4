"""A day of the Kubeflow pipeline in local processes: `python kubeflow_day.py DAY FOLDER`."""

import sys

from kfp import local

from components.kubeflow.pipeline import esmm_daily

if __name__ == "__main__":
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])
    esmm_daily(day=sys.argv[1])
