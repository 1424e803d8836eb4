"""The results as pictures: AUCs with their spread, differences to ESMM with their intervals, PCOC by decile of pCTR."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.experiment.arms import ARMS, ESMM, ORACLE
from components.experiment.metrics import DECILES

SHOWN = {"cvr_auc": "CVR AUC, clicked", "ctcvr_auc": "CTCVR AUC, one CTR network", "cvr_auc_all": "CVR AUC, all impressions"}
_BLUE, GREY, _ORANGE = "#1f5fa8", "#777777", "#c45a00"
MARKERS = "osD^vP*Xhp"


def draw_plots(summary: pl.DataFrame, out: Path, *, title: str) -> Sequence[Path]:
    """Write auc.png, differences.png and pcoc.png; return those written. Differences need ESMM and another arm."""
    cells = {(row["arm"], row["metric"]): row for row in summary.iter_rows(named=True)}
    arms = [arm for arm in ARMS if any(arm == known for known, _ in cells)]
    drawn = {"auc": _draw_aucs(cells, arms, title), "pcoc": _draw_pcoc(cells, arms, title)}
    if ESMM in arms:
        drawn["differences"] = _draw_differences(cells, arms, title)
    paths = []
    for name, figure in drawn.items():
        paths.append(out / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


Cells = Mapping[tuple[str, str], Mapping[str, Any]]


def _draw_aucs(cells: Cells, arms: Sequence[str], title: str) -> Figure:
    """Draw a panel for each AUC, a row for each arm: mean and standard deviation; the oracle is a line."""
    figure, panels = _panels(arms, f"{title}: mean ± standard deviation over seeds")
    trained = [arm for arm in arms if arm != ORACLE]
    for panel, (metric, name) in zip(panels, SHOWN.items(), strict=True):
        for place, arm in enumerate(trained):
            row = cells[arm, metric]
            if row["mean"] is not None:
                panel.errorbar(row["mean"], place, xerr=row["sd"] or 0, fmt="o", color=_ORANGE if arm == ESMM else _BLUE, capsize=3)
        ceiling = cells[ORACLE, metric]["mean"]
        if ceiling is not None:
            panel.axvline(ceiling, color=GREY, linestyle="--", label="oracle")
            panel.legend(frameon=False, fontsize=8)
        _name_rows(panel, trained, name)
    return figure


def _draw_differences(cells: Cells, arms: Sequence[str], title: str) -> Figure:
    """Draw each arm's paired difference to ESMM with its interval."""
    figure, panels = _panels(arms, f"{title}: difference to ESMM, AUC points, with 95 % t intervals over seeds")
    others = [arm for arm in arms if arm not in (ESMM, ORACLE)]
    for panel, (metric, name) in zip(panels, SHOWN.items(), strict=True):
        for place, arm in enumerate(others):
            row = cells[arm, metric]
            if row["difference"] is not None:
                reach = 0 if row["low"] is None else 100 * (row["high"] - row["difference"])
                panel.errorbar(100 * row["difference"], place, xerr=reach, fmt="o", color=_BLUE, capsize=3)
        panel.axvline(0, color=GREY, linestyle="--")
        _name_rows(panel, others, name)
    return figure


def _draw_pcoc(cells: Cells, arms: Sequence[str], title: str) -> Figure:
    """Draw the PCOC of pCVR over the deciles of pCTR, against the truth: 1 is right, from the seldom to the often clicked."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    panel = figure.subplots()
    deciles = range(1, DECILES + 1)
    for place, arm in enumerate(arms):
        values = [cells[arm, f"cvr_pcoc_true_decile_{decile}"]["mean"] for decile in deciles]
        known = [(decile, value) for decile, value in zip(deciles, values, strict=True) if value is not None]
        marker = MARKERS[place % len(MARKERS)]
        panel.plot([decile for decile, _ in known], [value for _, value in known], marker=marker, label=ARMS[arm].title, linewidth=1.2)
    panel.axhline(1, color=GREY, linestyle="--")
    panel.set_yscale("log")
    for axis in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
        axis("{x:g}")
    panel.set(xticks=list(deciles), xlabel="decile of the reference's pCTR", ylabel="predicted over true CVR (log scale)")
    panel.set_title(f"{title}: CVR PCOC, all impressions, against the truth", fontsize=10)
    panel.legend(frameon=False, fontsize=8, ncols=2 if len(arms) > 8 else 1)
    return figure


def _panels(arms: Sequence[str], title: str) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(12, 1.6 + 0.32 * len(arms)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels: Sequence[Axes] = figure.subplots(1, len(SHOWN), sharey=True)
    return figure, panels


def _name_rows(panel: Axes, arms: Sequence[str], name: str) -> None:
    panel.set_title(name, fontsize=10)
    panel.set_yticks(range(len(arms)), [ARMS[arm].title for arm in arms])
    panel.set_ylim(len(arms) - 0.5, -0.5)
    panel.grid(axis="x", alpha=0.3)
