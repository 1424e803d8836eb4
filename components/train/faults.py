"""What is not finite, and where: a label, a field's embeddings, a layer.

A step pays for one norm and some sums; the culprit is looked for once they fail.

Letters: B samples, U distinct rows of a batch, X numbers in a row, S single fields, L list fields, F = S + L, E list entries.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from components.model.encoding import Encoded, Layout

Parameters = Mapping[str, nn.Parameter]
"""By name, those of all layers; the table is none of them."""
_SLOWER = "lower train.learning_rate or train.table_learning_rate, or train from an earlier parent"
_OLDER = "train from an earlier parent"
_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Fault:
    """A number that is NaN or infinite."""

    what: str
    where: str
    repair: str = _SLOWER


def fault_of_labels(labels: Mapping[str, Tensor], optional: Iterable[str]) -> tuple[Fault, int] | None:
    """Return what is wrong with a chunk's labels and the place of the first such row; NaN is right where a column is optional."""
    for name, values_B in labels.items():
        wrong_B = values_B.isinf() if name in optional else ~values_B.isfinite()
        if wrong := int(wrong_B.sum()):
            mend = f"mend {name} in these rows of the samples and label the day again"
            return Fault(f"the label of {wrong} of {len(wrong_B)} rows", f"label {name}", mend), int(wrong_B.int().argmax())
    return None


def fault_of_loss(network: nn.Module, leaf_UX: Tensor, samples: Encoded, layout: Layout, rerun: Callable[[], object]) -> Fault:
    """Return why a loss is not finite: parameters that were not before, or else where they lead beyond what float32 holds.

    leaf: the batch's rows of the table, which the samples number. rerun: computes the loss again, on the same noise.
    """
    fault = fault_of_parameters(dict(network.named_parameters()), leaf_UX, samples, layout)
    return replace(fault, repair=_OLDER) if fault else Fault("the loss", _first_overflow(network, rerun))


def fault_of_gradients(parameters: Parameters, leaf_UX: Tensor, samples: Encoded, layout: Layout) -> Fault | None:
    """Return the fields of which a gradient's square, which the optimisers keep, is not finite, and the parameter nearest to the loss."""
    gradients = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
    rows_UX = torch.zeros_like(leaf_UX) if leaf_UX.grad is None else leaf_UX.grad
    if get_total_norm([rows_UX, *gradients.values()]).isfinite():
        return None
    wrong = [name for name, gradient in gradients.items() if not gradient.square().isfinite().all()]
    where = _fields_of(rows_UX.square(), samples, layout) + wrong[-1:]
    return Fault("the square of a gradient", ", ".join(where) or "all fields and layers together")


def fault_of_parameters(parameters: Parameters, rows_UX: Tensor, samples: Encoded, layout: Layout) -> Fault | None:
    """Return the fields of a batch and the parameters that are not finite. Sums answer first, at a tenth of the cost."""
    if torch.stack([tensor.sum() for tensor in (rows_UX, *parameters.values())]).isfinite().all():
        return None
    wrong = [name for name, parameter in parameters.items() if not parameter.isfinite().all()]
    where = _fields_of(rows_UX, samples, layout) + wrong
    return Fault("a parameter", ", ".join(where)) if where else None


def fault_of_table(table_VX: Tensor, layout: Layout) -> Fault | None:
    """Return the first row of the whole table that is not finite, touched or not."""
    blocks = ((first, table_VX[first : first + _BLOCK_ROWS]) for first in range(0, len(table_VX), _BLOCK_ROWS))
    suspects = ((first, block_VX.isfinite().all(dim=1)) for first, block_VX in blocks if not block_VX.sum().isfinite())
    row = next((first + int(whole_V.int().argmin()) for first, whole_V in suspects if not whole_V.all()), None)
    if row is None:
        return None
    firsts = {**{f"table {name}": first for name, first in layout.offsets.items()}, "the pool of known ids": layout.pool_from}
    name = max((name for name, first in firsts.items() if first <= row), key=lambda name: firsts[name])
    return Fault("a parameter", f"row {row - firsts[name]} of {name}, which no batch read", _OLDER)


def _fields_of(rows_UX: Tensor, samples: Encoded, layout: Layout) -> list[str]:
    """Return which fields' rows are not finite, each as `field NAME`, or `every field`; samples number the rows."""
    wrong_U: NDArray[np.bool_] = ~rows_UX.detach().isfinite().all(dim=1).numpy()
    lists_E = np.repeat(np.arange(len(samples.offsets_NL) - 1), np.diff(samples.offsets_NL)) % max(len(layout.lists), 1)
    wrong_L = np.bincount(lists_E, weights=wrong_U[samples.values_E], minlength=len(layout.lists)) > 0
    wrong_F = np.concatenate([wrong_U[samples.ids_NS].any(axis=0), wrong_L])
    fields = [f"field {field.name}" for field, wrong in zip(layout.ordered, wrong_F, strict=True) if wrong]
    return fields if len(fields) < len(layout.ordered) else ["every field"]


@torch.no_grad()
def _first_overflow(network: nn.Module, rerun: Callable[[], object]) -> str:
    """Return the first layer whose output is not finite; where all are, it is what follows them."""
    names: list[str] = []

    def note(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        if not output.isfinite().all():
            names.append(name)

    layers = [(name, module) for name, module in network.named_modules() if list(module.parameters(recurse=False))]
    hooks = [module.register_forward_hook(partial(note, name)) for name, module in layers]
    rerun()
    for hook in hooks:
        hook.remove()
    return names[0] if names else "the terms of the loss"
