"""Judge a challenger, and the champion where there is one, on the same holdout rows."""

from dataclasses import asdict

import polars as pl

from components.evaluate.calibration import log_loss, pcoc, reliability
from components.evaluate.curves import roc_curve
from components.evaluate.health import check_scores
from components.evaluate.quadrants import item_quadrants
from components.evaluate.slices import slice_columns, slice_metrics
from components.evaluate.tasks import ROLES, SCORES, TASKS, Json, auc_metrics, judge
from components.settings import Settings


def evaluate(scored: pl.DataFrame, *, settings: Settings, slices: tuple[str, ...]) -> Json:
    """Return what `esmm evaluate --json` prints, less `day` and the versions, plus slices, calibration, roc, quadrants and health.

    scored: one row per holdout impression: clicked, converted (Boolean, no nulls; only clicked rows are converted), challenger_pctr,
    challenger_pcvr, challenger_pctcvr and, when there is a champion, its three; the slice columns; item_id for the quadrants; and
    known_share where the models predict all conversions: the share of a row's that its label shows yet.
    Counts are of rows. Everything is JSON-able: what is undefined is null, an AUC with its reason. Rows in another order give the same
    answer but for rounding. Raises ValueError for a missing column or a label that is null or converts without a click.
    """
    roles = _roles(scored)
    _check_labels(scored)
    aucs = auc_metrics(scored, roles, settings.evaluation)
    per_role = {role: _per_role(scored, role) for role in roles}
    return {
        "rows": scored.height,
        "clicks": int(scored["clicked"].sum()),
        "conversions": int(scored["converted"].sum()),
        "models": {role: {**aucs[role], **per_role[role]["losses"]} if role in roles else None for role in ROLES},
        "difference": aucs.get("difference"),
        "slices": {name: slice_metrics(scored, name, roles, settings.evaluation) for name in slice_columns(scored, slices)},
        "quadrants": item_quadrants(scored),
        **{part: {role: per_role[role][part] if role in roles else None for role in ROLES} for part in ("calibration", "roc", "health")},
    }


def _roles(scored: pl.DataFrame) -> tuple[str, ...]:
    roles = ROLES if any(name.startswith("champion_") for name in scored.columns) else ROLES[:1]
    needed = ["clicked", "converted", *(f"{role}_{score}" for role in roles for score in SCORES)]
    if absent := [name for name in needed if name not in scored.columns]:
        raise ValueError(f"scored rows lack {', '.join(absent)}; found {', '.join(scored.columns)}")
    return roles


def _check_labels(scored: pl.DataFrame) -> None:
    nulls = scored["clicked"].null_count() + scored["converted"].null_count()
    unclicked = scored.filter(pl.col("converted") & ~pl.col("clicked")).height
    if nulls or unclicked:
        raise ValueError(f"scored rows: expected two labels each, found {nulls} nulls and {unclicked} conversions without a click")


def _as_known(scored: pl.DataFrame, role: str) -> pl.DataFrame:
    """Return the rows with the chances of a conversion that is known by now, which is what young labels can be compared with."""
    if "known_share" not in scored.columns:
        return scored
    return scored.with_columns(pl.col(f"{role}_pcvr", f"{role}_pctcvr") * pl.col("known_share"))


def _per_role(scored: pl.DataFrame, role: str) -> Json:
    judged = {name: judge(_as_known(scored, role), task, (role,)) for name, task in TASKS.items()}
    rows = {name: (found.positive, found.scores[role]) for name, found in judged.items()}
    scores = {score: scored[f"{role}_{score}"].cast(pl.Float64).fill_null(float("nan")).to_numpy() for score in SCORES}
    return {
        "losses": {
            "log_loss": {name: log_loss(*pair) for name, pair in rows.items()},
            "pcoc": {name: pcoc(*pair) for name, pair in rows.items()},
        },
        "calibration": {name: reliability(*pair) for name, pair in rows.items()},
        "roc": {name: roc_curve(*pair) for name, pair in rows.items()},
        "health": asdict(check_scores(scores)),
    }
