"""The results of `esmm experiment-days` as files: days.md to read, days.csv to compute with, days.png with the curves."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from components.experiment.courses import AUCS
from components.experiment.day_summary import COSTS, LOSSES, PCOCS, names_in, summarise_days
from components.experiment.plots import GREY, MARKERS
from components.experiment.strategies import DAILY, STRATEGIES
from components.experiment.summary import CONFIDENCE
from components.experiment.tables import NONE, grid
from components.records import Record, write_text

Cell = Callable[[Mapping[str, Any]], str]


def write_days(out: Path, key: str, courses: pl.DataFrame) -> Record:
    """Write all files, each whole, and return their paths by name. courses: as of `as_table`."""
    paths = {kind: out / f"days.{kind}" for kind in ("md", "csv", "png")}
    write_text(paths["md"], _page(key, courses))
    write_text(paths["csv"], courses.write_csv())
    _draw(key, courses).savefig(paths["png"], dpi=120)
    return {kind: str(path) for kind, path in paths.items()}


def _page(key: str, courses: pl.DataFrame) -> str:
    summary, seeds = summarise_days(courses), courses["seed"].n_unique()
    shown = {name: title for name, title in AUCS.items() if courses[name].count()}
    parts = [
        f"# {key}: how a model is kept up to date",
        f"Each day is judged by the model of the run before it, against final labels; {seeds} {'seed' if seeds == 1 else 'seeds'}. "
        f"{STRATEGIES[DAILY].title}: mean ± standard deviation over seeds of the mean over days. Below it: differences on the same days, "
        f"paired by seed, ± {CONFIDENCE:.0%} t intervals, which tell of seeds alone.",
        "## AUC, %",
        _table(summary, shown, _compared(100, 2)),
        "## Log loss, in thousandths",
        _table(summary, LOSSES, _compared(1000, 2)),
        "## PCOC of all days together, mean ± standard deviation over seeds",
        _table(summary, PCOCS, _spread(1, 3)),
        "## Cost of training",
        _table(summary, COSTS, _spread(1, 1)),
    ]
    for metric, title in shown.items():
        parts += [f"## {title}: AUC by day, %, and differences to it in points", _by_day(courses, metric)]
    return "\n\n".join(parts) + "\n"


def _table(summary: pl.DataFrame, metrics: Mapping[str, str], cell: Cell) -> str:
    cells = {(row["strategy"], row["metric"]): cell(row) for row in summary.iter_rows(named=True)}
    lines = [["strategy", "days", *metrics.values()], ["---"] * (len(metrics) + 2)]
    days = dict(summary.select("strategy", "days").unique().iter_rows())
    lines += [[STRATEGIES[name].title, str(days[name]), *(cells[name, metric] for metric in metrics)] for name in names_in(summary)]
    return grid(lines)


def _compared(scale: float, digits: int) -> Cell:
    """Return what writes the daily chain's mean, and of the others the difference to it with its interval."""
    spread = _spread(scale, digits)

    def cell(row: Mapping[str, Any]) -> str:
        if row["strategy"] == DAILY or row["difference"] is None:
            return spread(row)
        reach = "" if row["reach"] is None else f" ± {row['reach'] * scale:.{digits}f}"
        return f"{row['difference'] * scale:+.{digits}f}{reach}"

    return cell


def _spread(scale: float, digits: int) -> Cell:
    def cell(row: Mapping[str, Any]) -> str:
        if row["mean"] is None:
            return NONE
        return f"{row['mean'] * scale:.{digits}f}" + ("" if row["sd"] is None else f" ± {row['sd'] * scale:.{digits}f}")

    return cell


def _by_day(courses: pl.DataFrame, metric: str) -> str:
    names = names_in(courses)
    means = courses.group_by("day", "strategy").agg(pl.col(metric).mean())
    value = {(day, name): mean for day, name, mean in means.iter_rows()}
    lines = [["day", *(STRATEGIES[name].title for name in names)], ["---"] * (len(names) + 1)]
    for day in courses["day"].unique().sort():
        chain = value.get((day, DAILY))
        others = (value.get((day, name)) for name in names if name != DAILY)
        shown = (NONE if other is None or chain is None else f"{100 * (other - chain):+.2f}" for other in others)
        lines.append([str(day), NONE if chain is None else f"{100 * chain:.2f}", *shown])
    return grid(lines)


def _draw(key: str, courses: pl.DataFrame) -> Figure:
    """Draw a panel for each AUC and one for the cost, a line for each strategy: means over seeds by day."""
    panels = {**{name: f"{title}: AUC" for name, title in AUCS.items() if courses[name].count()}, "cpu_s": "training so far, CPU s"}
    figure = Figure(figsize=(4 * len(panels), 4.2), layout="constrained")
    figure.suptitle(f"{key}: by day, mean over seeds", fontsize=11)
    for panel, (metric, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for place, name in enumerate(names_in(courses)):
            line = courses.filter(strategy=name).group_by("day").agg(pl.col(metric).mean()).sort("day").drop_nulls()
            marker = MARKERS[place % len(MARKERS)]
            panel.plot(line["day"].to_list(), line[metric].to_list(), marker=marker, label=STRATEGIES[name].title, linewidth=1.2)
        panel.set_title(title, fontsize=10)
        panel.tick_params(axis="x", labelrotation=60, labelsize=7)
        panel.grid(alpha=0.3, color=GREY)
    panel.legend(frameon=False, fontsize=7)
    return figure
