"""The page of the quality benchmark."""

from collections.abc import Mapping, Sequence

from components.experiment.arms import ARMS
from components.experiment.summary import CONFIDENCE
from components.experiment.tables import grid
from components.records import Record
from tests.benchmarks.quality_scores import METRICS

LIBRARIES = {"rechub": "torch-rechub", "rechub256": "torch-rechub, batches of 256,", "deepctr": "DeepCTR-Torch"}


def markdown(found: Record, seeds: int) -> str:
    """Return the page."""
    parts = [
        f"# Real sets, {seeds} seeds, AUC in %",
        f"Differences in points; {CONFIDENCE:.0%} intervals: t of the seeds, DeLong's of the rows.",
    ]
    for name, told in found.items():
        facts = told["facts"]
        counts = "; ".join(
            f"{part}: {{rows:,}} impressions, {{clicked:,}} clicks, {{converted:,}} conversions".format(**facts[part])
            for part in ("train", "test")
        )
        parts += [
            f"## {name}, {facts['first']} to {facts['last']}, tested from {facts['test_from']}\n\n{counts}",
            _aucs(told["auc"]),
            *(_differences(told[part]) for part in ("to_esmm", "to_peers") if told[part]),
        ]
    return "\n\n".join(parts) + "\n"


def _aucs(aucs: Record) -> str:
    return _table("network", METRICS, [[_title(name), *(_auc(own[metric]) for metric in METRICS)] for name, own in aucs.items()])


def _auc(one: Record | None) -> str:
    if one is None:
        return ""
    return f"{one['mean'] * 100:.2f}" + ("" if one["sd"] is None else f" ± {one['sd'] * 100:.2f}")


def _differences(compared: Sequence[Record]) -> str:
    metrics = {metric: title for metric, title in METRICS.items() if any(one[metric] for one in compared)}
    rows = [[f"{_title(one['arm'])} less {_title(one['other'])}", *(_difference(one[metric]) for metric in metrics)] for one in compared]
    return _table("difference", metrics, rows)


def _difference(one: Record | None) -> str:
    if one is None:
        return ""
    spans = [f"[{span[0] * 100:+.2f}, {span[1] * 100:+.2f}]" for span in (one["seeds"], one["rows"]) if span]
    return f"{one['difference'] * 100:+.2f} {' '.join(spans)} {one['verdict']}"


def _title(name: str) -> str:
    library, _, model = name.partition("_")
    return f"{LIBRARIES[library]} {ARMS[model].title}" if library in LIBRARIES else ARMS[name].title


def _table(first: str, metrics: Mapping[str, str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[first, *metrics.values()], ["---"] * (len(metrics) + 1), *rows]
    return grid(lines)
