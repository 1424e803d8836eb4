"""The paper's sampling curve: AUCs over the share of the training rows, as a table, numbers and a picture."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from components.experiment.arms import ARMS, ESMM, ORACLE
from components.experiment.plots import GREY, MARKERS, SHOWN
from components.experiment.summary import CONFIDENCE
from components.experiment.tables import difference, grid, spread
from components.experiment.worlds import Size
from components.records import Record, write_text

_SHARE = "rows_share"
"""Of the training rows; `share` is that of the ceiling."""


def write_curve(out: Path, size: Size, summaries: Mapping[float, pl.DataFrame]) -> Record:
    """Write curve.{md,csv,png} from the summary of each share, ascending; return their paths by name."""
    shown = pl.col("metric").is_in(list(SHOWN))
    points = pl.concat([summary.filter(shown).select(pl.lit(share).alias(_SHARE), pl.all()) for share, summary in summaries.items()])
    paths = {f"curve_{kind}": out / f"curve.{kind}" for kind in ("md", "csv", "png")}
    write_text(paths["curve_md"], _page(points, size))
    write_text(paths["curve_csv"], points.select(pl.lit(size.key).alias("world"), pl.all()).write_csv())
    _draw(points, size).savefig(paths["curve_png"], dpi=120)
    return {name: str(path) for name, path in paths.items()}


def _page(points: pl.DataFrame, size: Size) -> str:
    parts = [
        f"# {size.key}: AUC, %, over the share of the training rows",
        f"Differences to ESMM of the same share in points, paired by seed, {CONFIDENCE:.0%} t intervals.",
    ]
    shares = points[_SHARE].unique(maintain_order=True).to_list()
    for metric, title in SHOWN.items():
        cells = {(row["arm"], row[_SHARE]): row for row in points.filter(pl.col("metric") == metric).iter_rows(named=True)}
        lines = [["arm", *(f"{share:g}" for share in shares)], ["---"] * (len(shares) + 1)]
        for arm in _arms(points):
            lines.append([ARMS[arm].title, *(spread(100, 2)(cells[arm, share]) for share in shares)])
            if cells[arm, shares[0]]["difference"] is not None and arm not in (ESMM, ORACLE):
                lines.append([f"{ARMS[arm].title} less ESMM", *(difference(cells[arm, share]) for share in shares)])
        parts += [f"## {title}", grid(lines)]
    return "\n\n".join(parts) + "\n"


def _draw(points: pl.DataFrame, size: Size) -> Figure:
    """Draw a panel for each AUC, a line for each arm; the oracle has not learned from any rows and is not drawn."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    figure.suptitle(f"{size.key}: mean ± standard deviation over seeds, by share of the training rows", fontsize=11)
    for panel, (metric, title) in zip(figure.subplots(1, len(SHOWN)), SHOWN.items(), strict=True):
        for place, arm in enumerate(arm for arm in _arms(points) if arm != ORACLE):
            line = points.filter((pl.col("metric") == metric) & (pl.col("arm") == arm) & pl.col("mean").is_not_null())
            x, y, reach = line[_SHARE].to_list(), line["mean"].to_list(), line["sd"].fill_null(0).to_list()
            panel.errorbar(x, y, yerr=reach, marker=MARKERS[place % len(MARKERS)], label=ARMS[arm].title, capsize=3, linewidth=1.2)
        panel.set_xscale("log")
        panel.minorticks_off()
        panel.set_xticks(points[_SHARE].unique().to_list())
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("share of the training rows (log scale)")
        panel.grid(alpha=0.3, color=GREY)
    panel.legend(frameon=False, fontsize=8)
    return figure


def _arms(points: pl.DataFrame) -> list[str]:
    known = set(points["arm"])
    return [arm for arm in ARMS if arm in known]
