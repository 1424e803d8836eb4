"""Days of step records for the report's tests: real evaluations of drawn scores, literal records of the other steps."""

from datetime import date

import numpy as np
import polars as pl

from components.evaluate.metrics import evaluate
from components.settings import Settings

DAY = date(2024, 5, 3)
KINDS = ("impressions", "clicks", "actions", "purchases")


def scored_holdout(rows: int, *, seed: int = 1, champion: bool = True) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    logit, worth = rng.normal(-3.2, 1.0, rows), rng.normal(-2.2, 1.0, rows)
    clicked = rng.random(rows) < 1 / (1 + np.exp(-logit))
    converted = clicked & (rng.random(rows) < 1 / (1 + np.exp(-worth)))
    columns = {
        "impression_id": [f"i{n}" for n in range(rows)],
        "item_id": [f"item{n}" for n in rng.integers(0, 200, rows)],
        "position": rng.integers(1, 13, rows).astype(np.int32),
        "clicked": clicked,
        "converted": converted,
        "scene": rng.choice(["home", "search", "<b>cart & more</b>"], rows, p=[0.6, 0.39, 0.01]),
        "device": rng.choice(["phone", "desktop"], rows),
        "new_user": rng.random(rows) < 0.1,
    }
    for role, noise in (("challenger", 0.8), ("champion", 1.0))[: 2 if champion else 1]:
        pctr = 1 / (1 + np.exp(-logit - rng.normal(0, noise, rows)))
        pcvr = 1 / (1 + np.exp(-worth - rng.normal(0, noise, rows)))
        columns |= {f"{role}_pctr": pctr, f"{role}_pcvr": pcvr, f"{role}_pctcvr": pctr * pcvr}
    return pl.DataFrame(columns)


def evaluation(rows: int = 20_000, *, seed: int = 1, champion: bool = True) -> dict:
    found = evaluate(scored_holdout(rows, seed=seed, champion=champion), settings=Settings(), slices=("scene", "device"))
    for role in ("challenger", "champion"):
        if found["models"][role]:
            found["models"][role]["version"] = f"2024-05-0{seed}-a1b2c3d4e5f6"
    return {**found, "day": str(DAY), "step": "evaluate", "table_version": 7, "seconds": 4.2}


def ingested(kind: str) -> dict:
    name = f"{kind}/day=2024-05-03/part-0-with-a-rather-long-name-as-exporters-like-them.ndjson.gz"
    counts = {"rows_in": 202_216, "accepted": 200_000, "exact_duplicates": 2000, "conflicting_duplicates": 200, "quarantined": 16}
    return {"kind": kind, "files": [{"file": name, **counts}], **counts, "table_version": 3, "seconds": 1.5}


def profile(seed: int) -> dict:
    """What validate measured of drift: more with the day's number."""
    columns = {"position": 0.01, "cat_id": 0.04, "scene": 0.09, "device": 0.02, "price": 0.03}
    psi = {f"{column}_psi_7d": seed * value for column, value in columns.items()}
    js = {f"{column}_js_7d": seed * value / 6 for column, value in columns.items()}
    limits = {"psi": 0.25, "js": 0.05}
    bands = [[name, None, limit, "warning", "drift"] for name in (*psi, *js) for what, limit in limits.items() if f"_{what}_" in name]
    return {"tables": {"samples": {"measures": {"num_rows": 200_000, **psi, **js}, "bands": bands}}}


def relabelled() -> dict:
    """Two earlier days, the older one more complete."""
    delays, shares = (1800, 3600, 21_600, 86_400, 259_200, 604_800), ((0.5, 0.6, 0.75, 0.9, 1.0, 1.0), (0.6, 0.7, 0.85, 1.0, 1.0, 1.0))
    curves = [[{"delay_s": delay, "share": each} for delay, each in zip(delays, curve, strict=True)] for curve in shares]
    days = (("2024-05-01", 900, curves[0]), ("2024-05-02", 870, curves[1]))
    return {
        "days": {day: {"clicks": 9000, "conversions": count, "completeness": curve} for day, count, curve in days},
        "table_version": 4,
        "seconds": 1.5,
    }


def ids() -> list[dict]:
    """An exact table that two fields read, and a hashed one."""
    none = dict.fromkeys(("unknown_share", "collision_share", "ids", "admitted", "evicted", "waiting", "dropped"))
    known = {"ids": 48_604, "admitted": 6_850, "evicted": 12, "waiting": 39_536, "dropped": 0}
    return [
        {**none, "field": "item_id", "table": "item_id", "entries": 200_100, "unknown_share": 0.0675, **known},
        {**none, "field": "user_click_items_30d", "table": "item_id", "entries": 1_200_000, "unknown_share": 0.0},
        {**none, "field": "user_id", "table": "user_id", "entries": 200_100, "collision_share": 0.0861},
    ]


def whole_day(*, seed: int = 1, champion: bool = True, verdict: str = "promote", home: str = "/srv/esmm") -> dict[str, dict]:
    """All records of a day that ran to its end."""
    failure = {"severity": "warning", "table": "impressions", "expectation": "expect_column_psi", "column": "scene"}
    reason = "CVR AUC difference +0.0123, lower bound -0.0045 is at least the margin -0.0200"
    counts = {"samples": 200_000, "clicks": 9_700, "actions": 2_300, "conversions": 840}
    return {
        **{f"ingest-{kind}": ingested(kind) for kind in KINDS},
        "label": {**counts, "labelled_through": "2024-05-04T00:00:00+00:00", "table_version": 5, "seconds": 2.0},
        "validate": {
            "profile": profile(seed),
            "success": True,
            "failures": [{**failure, "expected": "<= 0.25", "found": "0.31"}],
            "docs": f"{home}/docs/day={DAY}/index.html",
            "seconds": 11.3,
        },
        "relabel": relabelled(),
        "aggregate": {"users": 8700, "items": 8300, "rolled": True, "seconds": 3.0},
        "publish": {"online_rows": {"user_activity": 8700}, "online": True, "reason": "newest day", "seconds": 2.5},
        "train": {
            "version": f"2024-05-0{seed}-a1b2c3d4e5f6",
            "parent": "2024-05-02-0f0f0f0f0f0f" if champion else None,
            "rows": 200_100,
            "clicks": 9_800,
            "conversions": 850,
            "rows_from": "2024-05-02T18:00:00+00:00",
            "ids": ids(),
            "seconds": 14.0,
        },
        "evaluate": evaluation(seed=seed, champion=champion),
        "promote": {
            "verdict": verdict,
            "reason": reason,
            "moved": verdict == "promote",
            "challenger": f"2024-05-0{seed}-a1b2c3d4e5f6",
            "champion": f"2024-05-0{seed}-a1b2c3d4e5f6",
            "seconds": 1.0,
        },
    }


def delays() -> pl.Series:
    return pl.Series(np.random.default_rng(4).lognormal(np.log(400), 1.5, 840).astype(np.int64))
