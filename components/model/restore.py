"""From a checkpoint back to a network, where it was trained for the same fields and sizes."""

from typing import Any

from components.checkpoints import Checkpoint
from components.errors import CheckpointError
from components.model.encoding import Layout
from components.model.esmm import Esmm
from components.settings import Model


def describe(layout: Layout, options: Model) -> dict[str, Any]:
    """Return what the meaning of a checkpoint's tensors depends on, JSON-able; it is part of the manifest."""
    return {
        "fields": {field.name: field.model_dump(mode="json") for field in layout.fields},
        "vocabularies": layout.vocabularies,
        "embedding_width": options.embedding_width,
        "hidden": list(options.hidden),
    }


def restore(checkpoint: Checkpoint, layout: Layout, options: Model) -> Esmm:
    """Return the network of a checkpoint, on the checkpoint's own tensors.

    Raises CheckpointError, with every difference, where the profile's fields or the network's sizes are not those it was trained with.
    """
    network = Esmm(layout, options)
    expected = describe(layout, options)
    found = {name: checkpoint.manifest.get(name) for name in expected}
    differences = _differences(found, expected)
    if not differences:
        differences = _differences(_shapes(checkpoint.model), _shapes(network.state_dict()))
    if differences:
        raise CheckpointError(
            f"checkpoint {checkpoint.version or '(not saved)'} does not fit the profile and settings: {'; '.join(differences)}; "
            "restore the profile and [model] it was trained with, or start anew (train.missing_parent=cold_start)"
        )
    network.load_state_dict(checkpoint.model, assign=True)
    return network


def _shapes(tensors: dict[str, Any]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def _differences(found: Any, expected: Any, path: str = "") -> list[str]:
    """Return `a.b: was X, is Y` for each leaf that differs, also in the order of keys: fields are concatenated in theirs."""
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        return [] if found == expected else [f"{path}: was {found}, is {expected}"]
    names = [*expected, *(name for name in found if name not in expected)]
    parts = [_differences(found.get(name, "absent"), expected.get(name, "absent"), f"{path}.{name}".lstrip(".")) for name in names]
    return [difference for part in parts for difference in part]
