"""The training benchmark's results: what was measured, as ratios with their goals, and the page of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.auc import Difference, auc_difference, placements
from components.experiment.tables import grid
from tests.benchmarks.train_peers import WIDTH
from tests.benchmarks.train_rows import FIELDS, LIST_LENGTH, LISTS, SHAPES
from tests.benchmarks.train_sizes import Sizes

Row = dict[str, Any]
Goal = tuple[str, float]
LIBRARIES = {"rechub": "torch-rechub", "deepctr": "DeepCTR-Torch"}
FORMS = {"readme": "as its README trains", "tuned": "Adam fused; torch-rechub's batches sliced"}
CONFIDENCE = 0.95


@dataclass
class Measured:
    """What was found."""

    values: dict[str, list[float]]
    """One value a round, by what was measured."""
    table_bytes: dict[int, int] = field(default_factory=dict)
    """By number of ids: of the table and one float of optimizer state a row."""
    aucs: dict[str, dict[str, float]] = field(default_factory=dict)
    """By side and task, on the test rows."""
    differences: dict[tuple[str, str], Difference] = field(default_factory=dict)
    """Ours less a peer's, by peer and task."""

    def median(self, name: str) -> float:
        """Return the median of the rounds."""
        return median(self.values[name])

    def judge(self, labels_N2: NDArray[np.bool_], scores: dict[str, NDArray[np.float64]]) -> None:
        """Compare all sides' scores (pctr, pcvr, pctcvr) of the same rows: all rows, but for CVR the clicked ones."""
        clicked_N, converted_N = labels_N2.T
        everywhere = np.ones(len(clicked_N), np.bool_)
        judged = {"ctr": (everywhere, clicked_N), "cvr": (clicked_N, converted_N), "ctcvr": (everywhere, converted_N)}
        for place, (task, (rows_N, outcome_N)) in enumerate(judged.items()):
            ranked = {side: placements(outcome_N[rows_N], scores_N3[rows_N, place]) for side, scores_N3 in scores.items()}
            for side, own in ranked.items():
                self.aucs.setdefault(side, {})[task] = own.auc
                if side != "ours":
                    self.differences[side, task] = auc_difference(ranked["ours"], own, confidence=CONFIDENCE)


def results(found: Measured, sizes: Sizes) -> list[Row]:
    """Return the lines with goals first, then what they are made of."""
    judged = [*_speed(found, sizes), *_parity(found), *_beside(found, sizes), *_growth(found, sizes)]
    return sorted(judged, key=lambda row: row["goal"] is None) + [
        _row(name, median(values), _unit(name), f"median of {len(values)}: {', '.join(f'{value:.4g}' for value in values)}")
        for name, values in sorted(found.values.items())
    ]


def _row(name: str, value: float, unit: str, against: str, goal: Goal | None = None) -> Row:
    met = None if goal is None else (value >= goal[1] if goal[0] == ">=" else value <= goal[1])
    return {"name": name, "value": value, "unit": unit, "goal": goal and f"{goal[0]} {goal[1]:g}", "met": met, "against": against}


def _unit(name: str) -> str:
    return "bytes" if name.endswith("peak") else "s" if name.startswith(("auc", "start")) else "rows/s"


def _speed(found: Measured, sizes: Sizes) -> Iterator[Row]:
    """Yield our rate over the peers', and over the fastest of the towers alone in our precision."""
    for shape, batch, precision in product(SHAPES, sizes.batches, sizes.precisions):
        threads = _fastest(found, sizes, f"{shape} {batch}", precision)
        at = f"{shape}, batch {batch:,}, {precision}, threads {threads}"
        rate = found.median(f"{shape} {batch} {threads} {precision} train")
        for (library, title), (form, told) in product(LIBRARIES.items(), FORMS.items()):
            if (name := f"{shape} {batch} {library} {form}") in found.values:
                goal = (">=", 25.0) if form == "readme" and precision == sizes.precisions[0] else None
                yield _row(f"{at}: ours / {title}", rate / found.median(name), "x", told, goal)
        towers = [name for name in found.values if name.startswith(f"{shape} {batch} towers {precision}")]
        fastest = max(towers, key=found.median)
        told = f"{fastest.rpartition('towers ')[2]}, the fastest of {len(towers)}"
        yield _row(f"{at}: ours / towers alone", rate / found.median(fastest), "x", told, (">=", 0.6))


def _fastest(found: Measured, sizes: Sizes, at: str, precision: str) -> int:
    """Return the number of torch's threads with which ours trains fastest; one more thread prepares chunks."""
    return max(sizes.threads, key=lambda threads: found.median(f"{at} {threads} {precision} train"))


def _parity(found: Measured) -> Iterator[Row]:
    """Yield the upper end of the interval of our AUC less each peer's: below 0, ours is worse."""
    for (peer, task), one in found.differences.items():
        name = f"{task.upper()} AUC, ours less {LIBRARIES[peer]}'s: upper end"
        mine, theirs = (found.aucs[side][task] * 100 for side in ("ours", peer))
        told = f"{mine:.2f} and {theirs:.2f} %; {one.value * 100:+.2f} [{one.low * 100:+.2f}, {one.high * 100:+.2f}], DeLong's"
        yield _row(name, one.high * 100, "points", told, (">=", 0.0))


def _beside(found: Measured, sizes: Sizes) -> Iterator[Row]:
    """Yield what else a day's training costs: reading, scoring, lists, judging, starting."""
    batch, precision = sizes.batches[0], sizes.precisions[0]
    rates = {}
    for shape in SHAPES:
        threads = _fastest(found, sizes, f"{shape} {batch}", precision)
        at, told = f"{shape} {batch} {threads} {precision}", f"batch {batch:,}, threads {threads}, {precision}"
        rates[shape] = rate = found.median(f"{at} train")
        read = rate / found.median(f"{shape} read_encode")
        yield _row(f"{shape}: reading and encoding alone, time / training's", read, "x", f"{told}; done beside training", ("<=", 1.0))
        yield _row(f"{shape}: scoring by one model / training", found.median(f"{at} score") / rate, "x", told, (">=", 3.0))
        both = 2 * found.median(f"{at} score_both") / rate
        yield _row(f"{shape}: scoring by champion and challenger, each row twice / training", both, "x", told, (">=", 3.0))
    ids = (FIELDS + len(LISTS) * LIST_LENGTH) / FIELDS
    yield _row("lists: time a row / that of fields", rates["fields"] / rates["lists"], "x", f"ids a row: {ids:g} x", ("<=", ids))
    auc = found.median("auc ours") / found.median("auc theirs")
    told = f"with its interval; {sizes.auc_rows / 1e6:g} M rows"
    yield _row("exact AUC / scikit-learn's roc_auc_score", auc, "x", told, ("<=", 0.2))
    yield _row("`esmm train` until its first step is done", found.median("start"), "s", f"{sizes.ids / 1e6:g} M ids", ("<=", 10.0))


def _growth(found: Measured, sizes: Sizes) -> Iterator[Row]:
    """Yield what more ids cost, against the fewest, and what other widths do."""
    base, *larger = sorted(found.table_bytes)
    for width in sizes.widths:
        rate = found.median(f"width {width} train") / found.median(f"ids {base} train")
        yield _row(f"width {width}: rate / that at {WIDTH}", rate, "x", f"batch {sizes.batches[0]:,}, 1 thread, {sizes.precisions[0]}")
    for ids in larger:
        name, told = f"{ids / 1e6:g} M ids", f"{sizes.growth_rows:,} rows, batch {sizes.batches[0]:,}, 1 thread"
        rate = found.median(f"ids {ids} train") / found.median(f"ids {base} train")
        yield _row(f"{name}: rate / that at {base / 1e6:g} M", rate, "x", told, (">=", 0.8))
        grown = found.median(f"ids {ids} peak") - found.median(f"ids {base} peak")
        tables = found.table_bytes[ids] - found.table_bytes[base]
        yield _row(f"{name}: peak memory's growth / tables'", grown / tables, "x", "tables: a row and one optimizer float", ("<=", 1.3))
        whole = found.median(f"ids {ids} peak") / found.table_bytes[ids]
        yield _row(f"{name}: peak memory / tables", whole, "x", "interpreter, libraries and a chunk of rows included")


def markdown(rows: list[Row], sizes: Sizes) -> str:
    """Return the page."""
    lines = [["name", "value", "unit", "goal", "met", "against"], ["---"] * 6]
    for row in rows:
        met = {True: "yes", False: "NO", None: ""}[row["met"]]
        lines.append([row["name"], f"{row['value']:.4g}", row["unit"], row["goal"] or "", met, row["against"]])
    facts = f"{FIELDS} id fields, {sizes.ids:,} ids; {sizes.rows:,} rows, {sizes.list_rows:,} with {len(LISTS)} lists of {LIST_LENGTH}"
    return f"# Training\n\n{facts}; medians of {sizes.rounds}.\n\n" + grid(lines) + "\n"
