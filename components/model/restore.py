"""From a checkpoint back to a network, where it was trained for the same fields and sizes."""

from typing import Any

from torch import Tensor

from components.checkpoints import Checkpoint, Manifest
from components.errors import CheckpointError
from components.model.encoding import Layout
from components.model.esmm import Esmm
from components.settings import Model


def describe(layout: Layout, options: Model) -> Manifest:
    """Return what the meaning of a checkpoint's tensors depends on, JSON-able; it is part of the manifest."""
    return {
        "fields": [field.model_dump(mode="json") for field in layout.fields],
        "vocabularies": layout.vocabularies,
        "embedding_width": options.embedding_width,
        "hidden": list(options.hidden),
    }


def restore(checkpoint: Checkpoint, layout: Layout, options: Model) -> Esmm:
    """Return the network of a checkpoint, on the checkpoint's own tensors.

    Raises CheckpointError, with every difference, where the profile's fields or the network's sizes are not those it was trained with.
    """
    network = Esmm(layout, options)
    was, now = _facts(checkpoint.manifest, checkpoint.model), _facts(describe(layout, options), network.state_dict())
    differences = [f"{name} was {was.get(name)}, is {now.get(name)}" for name in {**now, **was} if was.get(name) != now.get(name)]
    if differences:
        raise CheckpointError(
            f"checkpoint {checkpoint.version or '(not saved)'} does not fit the profile and settings: {'; '.join(differences)}; "
            "restore the profile and [model] it was trained with, or start anew (train.missing_parent=cold_start)"
        )
    network.load_state_dict(checkpoint.model, assign=True)
    return network


def _facts(manifest: Manifest, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return what must agree, by a name to print. The order of the fields is the order of the towers' inputs."""
    fields = manifest["fields"]
    return {
        "fields": ", ".join(field["name"] for field in fields),
        **{f"field {field['name']} {key}": value for field in fields for key, value in field.items() if key != "name"},
        **{f"vocabulary {name}": rows for name, rows in manifest["vocabularies"].items()},
        **{name: manifest[name] for name in ("embedding_width", "hidden")},
        **{f"tensor {name}": list(tensor.shape) for name, tensor in tensors.items()},
    }
