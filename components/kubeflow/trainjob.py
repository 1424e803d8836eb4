"""The manifest of the TrainJob that trains a day: a function of the settings and of what the day's training reads, and of nothing else.

Only fields that every `v1alpha1` of Kubeflow Trainer has had (2.0 to 2.3) are set; volumes, resources and restarts belong to the runtime.
"""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

from components.checkpoints import CheckpointStore
from components.inputs import ONE_DAY, days_to_retrain, require_valid, retrains
from components.records import Records
from components.settings import Settings

Manifest = dict[str, Any]
API_VERSION = "trainer.kubeflow.org/v1alpha1"
DIGEST = "esmm-manifest"
"""The annotation that holds the SHA-256 of name, namespace and specification: two manifests of one name are the same or they are not."""
_TORCHRUN = ("torchrun", "--no-python", "esmm", "train")
"""How many ranks there are, and where they meet, torchrun reads from the PET_* variables that the runtime's torch policy sets."""
_READ = ("work", "labels", "aggregate", "model", "train", "evaluation")
"""The sections of settings that training reads; none holds a secret."""


def render(day: date, settings: Settings) -> Manifest:
    """Return the TrainJob of a UTC day, named after the day and what its training reads: the same inputs give the same bytes.

    Raises what `esmm train` would raise of a day that is not aggregated or not valid.
    """
    kubeflow = settings.kubeflow
    trainer = {
        "image": kubeflow.image,
        "command": [*_TORCHRUN, str(day)],
        "env": [{"name": name, "value": value} for name, value in sorted(variables(settings).items())],
        "numNodes": kubeflow.nodes,
        "numProcPerNode": kubeflow.processes,
    }
    reference = {"apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime", "name": kubeflow.runtime}
    spec = {"runtimeRef": reference, "trainer": trainer}
    place = {"name": f"esmm-train-{day:%Y%m%d}-{_sha256(_inputs(day, settings))[:12]}", "namespace": kubeflow.namespace}
    marks = {"labels": {"esmm-day": str(day)}, "annotations": {DIGEST: _sha256([place, spec])}}
    return {"apiVersion": API_VERSION, "kind": "TrainJob", "metadata": {**place, **marks}, "spec": spec}


def variables(settings: Settings) -> dict[str, str]:
    """Return the environment in which a pod trains as these settings say, whatever its image and the profile set.

    Home, profile and lake keep their paths. Every value that training reads is there. A `$` is doubled, as Kubernetes asks.
    """
    lake = settings.lake_uri if "://" in settings.lake_uri else str(Path(settings.lake_uri).absolute())
    found = {"ESMM_HOME": str(settings.root), "ESMM_SETTINGS": "", "ESMM_DATA__PROFILE": str(settings.profile_path)}
    found |= {"ESMM_LAKE__URI": lake, "ESMM_LAKE__FILE_ROWS": str(settings.lake.file_rows)}
    for section in _READ:
        found |= _flat(f"ESMM_{section.upper()}", getattr(settings, section).model_dump(mode="json"))
    return {name: value.replace("$", "$$") for name, value in found.items()}


def _flat(name: str, value: Any) -> dict[str, str]:
    """Return a section as variables, what is in it under longer names."""
    if not isinstance(value, dict):
        return {name: value if isinstance(value, str) else json.dumps(value)}
    return {long: text for key, inner in value.items() for long, text in _flat(f"{name}__{key.upper()}", inner).items()}


def _inputs(day: date, settings: Settings) -> dict[str, Any]:
    """Return what decides the day's checkpoint: settings, the records of its samples and features, the newest checkpoint before it."""
    records, store = Records(settings.root), CheckpointStore(settings.root)
    records.require(day, "aggregate")
    require_valid(day, settings)
    days = days_to_retrain(day, settings) if retrains(day, settings) else [day - ONE_DAY, day]
    parent = max((known for known in store.days() if known < day), default=None)
    return {
        "home": str(settings.root),
        "settings": settings.fingerprint,
        "days": {str(known): [records.read(known, step) for step in ("label", "relabel", "aggregate")] for known in days},
        "parent": parent and store.head(parent),
    }


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
