"""A checkpoint's scorer as a program that torch alone can load and run: encoded ids in; pctr, pcvr and pctcvr out, as `score` gives them.

Letters: B samples, S single fields, T places of a field's lists, K edges of a calibration.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from components.checkpoints import Checkpoint, Manifest
from components.model.bottoms.dupn import Dupn
from components.model.calibration import PREFIX, calibrated
from components.model.encoding import Layout, Origin
from components.model.hashing import hash_ids
from components.model.identity import UNKNOWN
from components.model.losses import LOSSES
from components.model.padded import PADDING, UnrolledLstm, embed_padded
from components.model.restore import as_trained, describe, restore
from components.model.sampling import corrected, negative_rate
from components.model_settings import Model
from components.profile import Profile

_HASH = {
    "state": "h = 0xcbf29ce484222325; for each byte of utf8(table) 00 utf8(id): h = (h ^ byte) * 0x100000001b3 mod 2^64",
    "finish": "h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9; h = (h ^ h >> 27) * 0x94d049bb133111eb; h = h ^ h >> 31, mod 2^64",
    "row": "1 + h mod (rows - 1); 0 for a missing id",
}
_HASHED = ["1", "item 1", "日本"]
_MOVED = (
    "of a table that was renamed or resized: `table` is hashed in the place of its name; with m the least (first - 1) 2^k that is no less "
    "than rows - 1: a = h mod m, less m / 2 where it is not below rows - 1; row = 1 + a"
)
KNOWN_IDS = "ids.safetensors"
"""The file of the ids that have a row of their own, where a table is exact."""
_KNOWN = (
    "of an exact table: where h is identity.TABLE.keys[n] (signed there, and in the order of unsigned numbers): first_row_of_known + "
    "identity.TABLE.rows[n]; else unknown_row; a missing id has the table's first_row"
)
PROBABILITIES = ("pctr", "pcvr", "pctcvr")
"""What a program returns, in order."""
_TOLD_BY_TRACING = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")


class Scorer(nn.Module):
    """The network, the correction for sampling and the calibration, in one."""

    def __init__(self, checkpoint: Checkpoint, layout: Layout, options: Model) -> None:
        """Raise CheckpointError where the checkpoint does not fit, as `restore` does."""
        super().__init__()
        self.network = restore(checkpoint, layout, options)
        if isinstance(self.network.bottom, Dupn):
            self.network.bottom.lstm = UnrolledLstm(self.network.bottom.lstm)
        self.layout, self.loss = layout, LOSSES[options.loss]
        self.rate = negative_rate(checkpoint.manifest)
        self.maps = _Maps(checkpoint.model)

    def forward(self, ids: Tensor, lists: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return pctr_B, pcvr_B and pctcvr_B, float64. ids: (B, S); lists: (B, T) by field; rows of the table, int64."""
        logits = self.network(embed_padded(self.network.table, ids, lists, self.layout))
        wide = {task: logit_B.double() for task, logit_B in logits.items()}
        probabilities = self.maps(corrected(self.loss.probabilities(wide), wide["ctr"], self.rate))
        return {name: probabilities[name] for name in PROBABILITIES}


class _Maps(nn.Module):
    """The maps among a checkpoint's tensors, as buffers, whose names may hold no dot."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            if name.startswith(PREFIX):
                self.register_buffer(name.replace(".", "_"), tensor)

    def forward(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return calibrated(probabilities, {name.replace("_", "."): buffer for name, buffer in self.named_buffers()})


def export(checkpoint: Checkpoint, *, profile: Profile, options: Model) -> tuple[ExportedProgram, Manifest]:
    """Return the scorer as a program for any number of samples, at least one, and what its inputs are, JSON-able.

    Lists may have any width, at least 1, except those that dupn reads as its sequence: their width is the field's length. The program
    holds no trace of where it was made. Raises CheckpointError where the checkpoint is of other fields or another network.
    """
    layout = as_trained(Layout.of(profile), checkpoint.manifest)
    scorer, widths = Scorer(checkpoint, layout, options).eval(), _fixed_widths(layout, options)
    batch = Dim("batch", min=1)
    ids_BS = torch.zeros(2, len(layout.singles), dtype=torch.int64)
    lists = {field.name: torch.zeros(2, widths.get(field.name, 3), dtype=torch.int64) for field in layout.lists}
    shapes = {name: {0: batch} if name in widths else {0: batch, 1: Dim(f"{name}_width", min=1)} for name in lists}
    with torch.no_grad():
        program = torch.export.export(scorer, (ids_BS, lists), dynamic_shapes=({0: batch}, shapes), strict=True)
    return _without_origin(program), _told(checkpoint, layout, options, widths)


def _fixed_widths(layout: Layout, options: Model) -> dict[str, int]:
    """Return the number of steps of dupn's LSTM, for each list it reads."""
    if options.bottom != "dupn":
        return {}
    sequence = options.dupn.sequence
    read = (field.name for field in layout.lists if sequence in (field.name, field.beside))
    return dict.fromkeys(read, layout.named[sequence].length)


def _without_origin(program: ExportedProgram) -> ExportedProgram:
    """Take away the example, which would be pickled, and the lines of source that made each node."""
    program.example_inputs = None
    for node in program.graph.nodes:
        for key in _TOLD_BY_TRACING:
            node.meta.pop(key, None)
    return program


def _told(checkpoint: Checkpoint, layout: Layout, options: Model, widths: Mapping[str, int]) -> dict[str, Any]:
    exact = {field.name for field in layout.exact}
    tables = {name: {"first_row": layout.offsets[name], "rows": rows} for name, rows in layout.vocabularies.items()}
    hashed = {name: rows for name, rows in layout.vocabularies.items() if name not in exact}
    examples = {name: _example_rows(layout.origin(name), rows) for name, rows in hashed.items()}
    origins = {origin.vocabulary: {"table": origin.name, "first": origin.rows} for origin in layout.origins}
    known = {name: {"unknown_row": layout.offsets[name] + UNKNOWN, "first_row_of_known": layout.pool_from} for name in sorted(exact)}
    return {
        "version": checkpoint.version,
        "torch": torch.__version__,
        "network": describe(layout, options)["network"],
        "inputs": {
            "ids": {"dtype": "int64", "shape": ["batch", len(layout.singles)], "fields": [field.name for field in layout.singles]},
            "lists": {
                field.name: {"dtype": "int64", "shape": ["batch", widths.get(field.name, "any")], "longest": field.length}
                for field in layout.lists
            },
            "padding": PADDING,
        },
        "outputs": dict.fromkeys(PROBABILITIES, "float64"),
        "fields": [field.model_dump(mode="json") for field in layout.ordered],
        "tables": tables,
        "hash": {**_HASH, "examples": {"ids": _HASHED, "rows": examples}},
        **({"origins": {"row": _MOVED, "tables": origins}} if origins else {}),
        **({"known_ids": {"file": KNOWN_IDS, "row": _KNOWN, "tables": known}} if known else {}),
    }


def _example_rows(origin: Origin, rows: int) -> list[int]:
    rows_N: list[int] = hash_ids(pl.Series(_HASHED), table=origin.name, rows=rows, first=origin.rows).tolist()
    return rows_N
