"""The program of `export` as ONNX, for runtimes that have no torch: tensors `ids` and, of each list field, `lists.FIELD`.

Letters: B samples, K sorted edges.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import cast

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.onnx import ONNXProgram

from components.checkpoints import Manifest
from components.errors import SettingsError
from components.model.export import PROBABILITIES

_PACKAGES = ("onnx", "onnxscript")
_TALKATIVE = ("torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir")


def to_onnx(program: ExportedProgram, told: Manifest) -> tuple[ONNXProgram, Manifest]:
    """Return what `export` returned in ONNX, no trace of where it was made in it, and the manifest with the inputs' tensors.

    Raises SettingsError where the packages of the extra `onnx` are not installed.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise SettingsError(f"export as onnx: expected the packages of esmm-pipeline[onnx], found no {missing[0]}; install them")
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    inputs = told["inputs"]
    lists = {name: f"lists.{name}" for name in inputs["lists"]}
    names = ["ids", *lists.values()]
    with _quiet():
        plain = program.run_decompositions({torch.ops.aten.searchsorted.Tensor: _searchsorted})
        exported = torch.onnx.export(plain, dynamo=True, input_names=names, output_names=PROBABILITIES, verbose=False)
    made = cast("ONNXProgram", exported)  # None without dynamo only
    ClearMetadataAndDocStringPass()(made.model)
    return made, {**told, "inputs": {**inputs, "tensors": {"ids": "ids", "lists": lists}}}


def _searchsorted(sorted_K: Tensor, x_B: Tensor) -> Tensor:
    """Return how many edges are below each value: ONNX has no search."""
    return (sorted_K < x_B.unsqueeze(-1)).sum(-1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the libraries say of their own work: each rewrite, that there is no torchvision, calls of what is deprecated."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`isinstance\\(treespec, LeafSpec\\)` is deprecated", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
