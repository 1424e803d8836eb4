"""The results as files: results.md to read, results.csv and results.json to compute with, and the plots."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from components.experiment.arms import ARMS, ESMM
from components.experiment.metrics import DECILES
from components.experiment.plots import draw_plots
from components.experiment.summary import CEILINGS, CONFIDENCE
from components.experiment.worlds import Size
from components.records import Record, write_text

Row = Mapping[str, Any]
Cell = Callable[[Row], str]
NONE = "–"
"""In a table, where a metric is undefined; the last section says why."""
AUCS = {
    "cvr_auc": "CVR, clicked",
    "ctcvr_auc": "CTCVR, one CTR network",
    "ctcvr_auc_own": "CTCVR, own pCTR",
    "ctr_auc": "CTR",
    "ctr_relevance_auc": "CTR, relevance",
}
TRUE_AUCS = {"cvr_auc_all": "all impressions", "cvr_auc_unclicked": "unclicked", "cvr_auc_pairs": "uniform pairs"}
_LOSSES = {f"cvr_log_loss_{space}": title for space, title in (("all", "all impressions"), ("unclicked", "unclicked"), ("pairs", "pairs"))}
_BIASES = {f"cvr_bias_{space}": title for space, title in (("all", "all impressions"), ("unclicked", "unclicked"), ("pairs", "pairs"))}
_PCOCS = {"ctr_pcoc": "CTR", "cvr_pcoc": "CVR, clicked", "ctcvr_pcoc_own": "CTCVR, own pCTR", "pcvr_above_1": "share of pCVR > 1"}
_BY_LABELS = {f"cvr_pcoc_decile_{decile}": str(decile) for decile in range(1, DECILES + 1)}
_BY_ITEM = {f"cvr_pcoc_item_decile_{decile}": str(decile) for decile in range(1, DECILES + 1)}
_BY_TRUTH = {f"cvr_pcoc_true_decile_{decile}": str(decile) for decile in range(1, DECILES + 1)}


def write_results(out: Path, size: Size, runs: pl.DataFrame, summary: pl.DataFrame, *, told: Record) -> Record:
    """Write all files, each whole, and return their paths by name. told: the world, labels and share of the runs."""
    text = markdown(runs, summary, told=told)
    shared = {name: told[name] for name in ("world", "labels", "share")}
    described = {**shared, "confidence": CONFIDENCE, "summary": summary.to_dicts(), "runs": runs.to_dicts()}
    paths = {name: out / f"results.{name}" for name in ("md", "csv", "json")}
    write_text(paths["md"], text)
    write_text(paths["csv"], summary.select(pl.lit(size.key).alias("world"), pl.all()).write_csv())
    write_text(paths["json"], json.dumps(described, indent=1, allow_nan=False) + "\n")
    plots = draw_plots(summary, out, title=size.key)
    return {**{name: str(path) for name, path in paths.items()}, "plots": [str(path) for path in plots]}


def markdown(runs: pl.DataFrame, summary: pl.DataFrame, *, told: Record) -> str:
    """Return the page."""
    ceilings = {name: title for name, title in {**AUCS, **TRUE_AUCS}.items() if name in CEILINGS}
    compared = {**AUCS, **TRUE_AUCS}
    parts = [
        _introduction(runs, told),
        "## AUC on the last day, %\n\nAgainst final labels; relevance: would be clicked if looked at.",
        _table(summary, AUCS, spread(100, 2)),
        "## CVR AUC against the truth, %\n\nOutcomes that clicks do not tell.",
        _table(summary, TRUE_AUCS, spread(100, 2)),
        f"## Differences to ESMM, AUC points\n\nPaired by seed, {CONFIDENCE:.0%} t intervals: of seeds, not of other days or worlds.",
        _table(summary.filter(pl.col("arm") != ESMM), compared, difference),
        "## Share of the Bayes ceiling, %\n\n(AUC - 1/2) over the oracle's, which for CTR and CTCVR knows the position.",
        _table(summary, ceilings, lambda row: _number(row["share"], 100, 1)),
        "## CVR log loss against the truth",
        _table(summary, _LOSSES, spread(1, 5)),
        "## CVR bias against the truth, %\n\nMean pCVR over the mean true rate, less 1.",
        _table(summary, _BIASES, spread(100, 1)),
        "## PCOC against final labels",
        _table(summary, _PCOCS, spread(1, 3)),
        "## CVR PCOC by decile of the reference's pCTR, clicked, against final labels",
        _table(summary, _BY_LABELS, _mean),
        "## CVR PCOC by decile of the reference's pCTR, all impressions, against the truth",
        _table(summary, _BY_TRUTH, _mean),
        "## CVR PCOC by decile of the item's true rate, all impressions, against the truth",
        _table(summary, _BY_ITEM, _mean),
        "What the deciles are off by, CVR points: the sum of |predicted - true| over them, a row.",
        _table(summary, {"cvr_item_error": "error"}, spread(100, 3)),
        *_undefined(runs),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(runs: pl.DataFrame, told: Record) -> str:
    seeds, world = runs["seed"].n_unique(), told["world"]
    parts = [(part, world[part]) for part in ("train", "test")]
    counts = "; ".join(
        f"{part}: {of['rows']:,} impressions, {of['final_clicked']:,} clicks, {of['final_converted']:,} conversions" for part, of in parts
    )
    return (
        f"# World `{world['world']}`, {world['impressions_per_day']:,} impressions a day, {world['days']} days, seed {world['seed']}\n\n"
        f"Trained once on all days but the last, tested on the last. {counts}. Labels of training: {told['labels']}; "
        f"share of its rows: {told['share']:g}. "
        f"Mean ± standard deviation over {seeds} {'seed' if seeds == 1 else 'seeds'}; {NONE}: undefined; (n): defined for n seeds only."
    )


def _table(summary: pl.DataFrame, metrics: Mapping[str, str], cell: Cell) -> str:
    """Return one row per arm, one column per metric; empty of rows where there are none."""
    cells = {(row["arm"], row["metric"]): cell(row) for row in summary.iter_rows(named=True)}
    arms = [arm for arm in ARMS if any(row == arm for row, _ in cells)]
    lines = [["arm", *metrics.values()], ["---"] * (len(metrics) + 1)]
    lines += [[ARMS[arm].title, *(cells.get((arm, metric), NONE) for metric in metrics)] for arm in arms]
    return grid(lines)


def grid(lines: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown: its head, its rule, its rows."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(scale: float, digits: int) -> Cell:
    """Return what writes mean ± standard deviation, times the scale."""

    def cell(row: Row) -> str:
        sd = "" if row["sd"] is None else f" ± {_number(row['sd'], scale, digits)}"
        return f"{_number(row['mean'], scale, digits)}{sd}{_of_some(row)}"

    return cell


def _mean(row: Row) -> str:
    return f"{_number(row['mean'], 1, 2)}{_of_some(row)}"


def _of_some(row: Row) -> str:
    return f" ({row['seeds']})" if 0 < row["seeds"] < row["of_seeds"] else ""


def difference(row: Row) -> str:
    """Write the difference to ESMM with its interval, in points."""
    if row["low"] is None:
        return _signed(row["difference"])
    return f"{_signed(row['difference'])} [{_signed(row['low'])}, {_signed(row['high'])}]"


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{value * 100:+.2f}"


def _number(value: float | None, scale: float, digits: int) -> str:
    return NONE if value is None else f"{value * scale:.{digits}f}"


def _undefined(runs: pl.DataFrame) -> Sequence[str]:
    """Say once why each arm's metrics have no value."""
    missing = runs.filter(pl.col("reason").is_not_null())
    if missing.is_empty():
        return []
    said = missing.group_by("arm", "reason", maintain_order=True).agg(pl.col("metric").unique(maintain_order=True))
    lines = [f"* {ARMS[arm].title}: {', '.join(names)}: {reason}" for arm, reason, names in said.iter_rows()]
    return ["## Undefined", "\n".join(lines)]
