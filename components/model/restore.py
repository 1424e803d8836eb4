"""From a checkpoint back to its layout, and to a network where it was trained for the same fields, choices and sizes."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from components.checkpoints import Checkpoint, Manifest
from components.errors import CheckpointError
from components.model.calibration import without_maps
from components.model.encoding import Layout, Origin
from components.model.identity import without_ids
from components.model.kinship import Kinship
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
    return {
        "fields": [field.model_dump(mode="json", exclude={"was"}) for field in layout.fields],
        "vocabularies": layout.vocabularies,
        **({"pool": layout.pool} if layout.exact else {}),
        **({"origins": [asdict(origin) for origin in layout.origins]} if layout.origins else {}),
        **_network(options),
    }


def _network(options: Model) -> Manifest:
    """Return the choices and sizes that decide which tensors a network has and what they mean."""
    own = getattr(options, options.bottom, None)  # a bottom's own sizes, where the settings have a section for it
    sizes = own.model_dump(mode="json") if own else {"hidden": list(options.hidden)}
    return {
        "embedding_width": options.embedding_width,
        "hidden": sizes.pop("hidden"),
        "network": {**options.model_dump(mode="json", include=set(_FIRST)), **sizes},
    }


def recorded(manifest: Manifest) -> Layout:
    """Return the layout that a checkpoint was trained with."""
    fields, origins = tuple(map(_recorded_field, manifest["fields"])), tuple(Origin(**origin) for origin in manifest.get("origins", ()))
    return Layout(fields, manifest["vocabularies"], pool=manifest.get("pool", 0), origins=origins)


def _recorded_field(record: Mapping[str, Any]) -> ModelField:
    """Read a field whose boundaries may have been learned: then it has `buckets` too, which is why it is not checked as a profile's is."""
    lists = {name: tuple(value) for name, value in record.items() if isinstance(value, list)}
    return ModelField.model_construct(**{**record, **lists})


def as_trained(layout: Layout, manifest: Manifest) -> Layout:
    """Return a layout with what the checkpoint's training learned of the same fields: boundaries, and how the tables' ids are hashed."""
    return Kinship(recorded(manifest), layout).inherited().child


def restore(checkpoint: Checkpoint, layout: Layout, options: Model) -> Network:
    """Return the network of a checkpoint, on the checkpoint's own tensors.

    layout: the profile's, `as_trained`. Raises CheckpointError, with every difference, where the profile's fields or the network are not
    those it was trained with.
    """
    network, tensors = Network(layout, options), without_ids(without_maps(checkpoint.model))
    was, now = _facts(checkpoint.manifest), _facts(describe(layout, options))
    differences = _differences(was, now)
    if all(was[f"model.{choice}"] == now[f"model.{choice}"] for choice in _FIRST):  # another network has other tensors anyway
        differences += _differences(_shapes(tensors), _shapes(network.state_dict()))
    if differences:
        raise misfit(checkpoint, differences)
    network.load_state_dict(tensors, assign=True)
    return network


def misfit(checkpoint: Checkpoint, differences: Iterable[str], *, otherwise: str = "") -> CheckpointError:
    """Return the error to raise for a checkpoint that is another profile's or another network's; otherwise: one more thing to do."""
    return CheckpointError(
        f"checkpoint {checkpoint.version or '(not saved)'} does not fit the profile and settings: {'; '.join(differences)}; "
        f"restore the profile and [model] it was trained with{otherwise}, or start anew (train.missing_parent=cold_start)"
    )


def same_fields(manifest: Manifest, layout: Layout, options: Model) -> bool:
    """Tell whether a checkpoint was trained for the fields of a layout, which is `as_trained`, whatever its network is."""
    return _field_facts(manifest) == _field_facts(describe(layout, options))


def network_differences(manifest: Manifest, options: Model) -> list[str]:
    """Return in which choices and sizes the network that a checkpoint was trained with differs from that of the settings."""
    return _differences(_network_facts(manifest), _network_facts(_network(options)))


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [f"{name} was {was.get(name)}, is {now.get(name)}" for name in {**now, **was} if was.get(name) != now.get(name)]


def _facts(manifest: Manifest) -> dict[str, Any]:
    """Return what must agree, by a name to print."""
    return {**_network_facts(manifest), **_field_facts(manifest)}


def _field_facts(manifest: Manifest) -> dict[str, Any]:
    """The order of the fields is the order of the towers' inputs."""
    fields = [{**_FIRST_FIELD, **field} for field in manifest["fields"]]
    return {
        "fields": ", ".join(field["name"] for field in fields),
        **{f"field {field['name']} {key}": value for field in fields for key, value in field.items() if key in _meaning(field)},
        **{f"vocabulary {name}": rows for name, rows in manifest["vocabularies"].items()},
        **{f"vocabulary {origin['vocabulary']} began as": (origin["name"], origin["rows"]) for origin in manifest.get("origins", ())},
    }


def _meaning(field: Mapping[str, Any]) -> set[str]:
    """Return the keys of a field that its tensors depend on: not who is admitted to an exact table, and for how long."""
    return field.keys() - {"name", "admit_after", "expire_days"} - ({"buckets"} if field["exact"] else set())


def _network_facts(manifest: Manifest) -> dict[str, Any]:
    choices = {f"model.{name}": value for name, value in {**_FIRST, **manifest.get("network", {})}.items()}
    return {**choices, **{name: manifest[name] for name in ("embedding_width", "hidden")}}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {f"tensor {name}": list(tensor.shape) for name, tensor in tensors.items()}
