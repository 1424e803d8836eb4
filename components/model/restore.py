"""From a checkpoint back to a network, where it was trained for the same fields, choices and sizes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from components.checkpoints import Checkpoint, Manifest
from components.errors import CheckpointError
from components.model.calibration import without_maps
from components.model.encoding import Layout
from components.model.network import Network
from components.model_fields import ModelField
from components.model_settings import Model

_FIRST: Mapping[str, Any] = {
    "bottom": "shared_embedding",
    "loss": "product",
    "age_corrected": False,
    "activation": "relu",
    "position_tower": False,
    "regressions": [],
}
"""The choices; and what they were where a manifest has none, for there were no others."""
_FIRST_FIELD: Mapping[str, Any] = {
    name: list(field.default) if isinstance(field.default, tuple) else field.default
    for name, field in ModelField.model_fields.items()
    if not field.is_required()
}
"""The same of a field's, as JSON has it."""


def describe(layout: Layout, options: Model) -> Manifest:
    """Return what the meaning of a checkpoint's tensors depends on, JSON-able; it is part of the manifest."""
    own = getattr(options, options.bottom, None)  # a bottom's own sizes, where the settings have a section for it
    sizes = own.model_dump(mode="json") if own else {"hidden": list(options.hidden)}
    return {
        "fields": [field.model_dump(mode="json") for field in layout.fields],
        "vocabularies": layout.vocabularies,
        "embedding_width": options.embedding_width,
        "hidden": sizes.pop("hidden"),
        "network": {**options.model_dump(mode="json", include=set(_FIRST)), **sizes},
    }


def as_trained(layout: Layout, manifest: Manifest) -> Layout:
    """Return a profile's layout with the boundaries that the checkpoint's cold start learned, for the numbers that declare none."""
    recorded = {field["name"]: field.get("boundaries", ()) for field in manifest["fields"]}
    return layout.with_boundaries({name: recorded[name] for name in layout.named.keys() & recorded.keys()})


def restore(checkpoint: Checkpoint, layout: Layout, options: Model) -> Network:
    """Return the network of a checkpoint, on the checkpoint's own tensors.

    layout: the profile's, `as_trained`. Raises CheckpointError, with every difference, where the profile's fields or the network are not
    those it was trained with.
    """
    network, tensors = Network(layout, options), without_maps(checkpoint.model)
    was, now = _facts(checkpoint.manifest), _facts(describe(layout, options))
    differences = _differences(was, now)
    if all(was[f"model.{choice}"] == now[f"model.{choice}"] for choice in _FIRST):  # another network has other tensors anyway
        differences += _differences(_shapes(tensors), _shapes(network.state_dict()))
    if differences:
        raise CheckpointError(
            f"checkpoint {checkpoint.version or '(not saved)'} does not fit the profile and settings: {'; '.join(differences)}; "
            "restore the profile and [model] it was trained with, or start anew (train.missing_parent=cold_start)"
        )
    network.load_state_dict(tensors, assign=True)
    return network


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [f"{name} was {was.get(name)}, is {now.get(name)}" for name in {**now, **was} if was.get(name) != now.get(name)]


def _facts(manifest: Manifest) -> dict[str, Any]:
    """Return what must agree, by a name to print. The order of the fields is the order of the towers' inputs."""
    fields = [{**_FIRST_FIELD, **field} for field in manifest["fields"]]
    return {
        **{f"model.{name}": value for name, value in {**_FIRST, **manifest.get("network", {})}.items()},
        "fields": ", ".join(field["name"] for field in fields),
        **{f"field {field['name']} {key}": value for field in fields for key, value in field.items() if key != "name"},
        **{f"vocabulary {name}": rows for name, rows in manifest["vocabularies"].items()},
        **{name: manifest[name] for name in ("embedding_width", "hidden")},
    }


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {f"tensor {name}": list(tensor.shape) for name, tensor in tensors.items()}
