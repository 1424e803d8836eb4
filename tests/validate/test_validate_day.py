"""A whole day: the verdict, the words, the Data Docs on disk, drift against the days before."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import polars as pl
import pytest

from components.profile import KINDS
from components.settings import Settings
from components.validate import batches
from components.validate.bands import Band
from components.validate.batches import Batch, judge_profile
from components.validate.docs import write_docs
from components.validate.failures import Failure
from components.validate.pages import publish_site
from components.validate.runs import ExpectationRaisedError, judge_batches, open_context
from components.validate.suites import DayFrames, Validation

Validate = Callable[..., Validation]


def links(page: Path) -> list[str]:
    return re.findall(r'(?:href|src)="([^"#]+)"', page.read_text(encoding="utf-8"))


def names(failures: list[Failure]) -> set[tuple[str, str, str]]:
    return {(failure.severity, failure.table, failure.column) for failure in failures}


@pytest.fixture
def publish(settings: Settings, tmp_path: Path) -> Callable[..., Path]:
    """Write the Data Docs of a verdict; returns the index."""

    def run(verdict: Validation, **frames: pl.LazyFrame) -> Path:
        return write_docs([verdict.profile], verdict.failures, tmp_path / "docs" / "day=D", frames=frames, settings=settings)[0]

    return run


def test_a_clean_first_day_passes_and_says_that_drift_was_not_run(validate: Validate, publish: Callable[..., Path], tmp_path: Path) -> None:
    verdict = validate()
    assert (verdict.success, verdict.failures) == (True, [])
    assert [line.split(":")[0] for line in verdict.profile["not_run"]] == ["samples", *KINDS, "quarantine"]
    index = publish(verdict)
    assert index == tmp_path / "docs" / "day=D" / "index.html"
    assert "samples: drift was not run" in index.read_text(encoding="utf-8")
    assert json.loads(json.dumps(verdict.profile)) == verdict.profile


def test_data_docs_open_from_disk_and_name_the_failing_value(validate: Validate, clean: DayFrames, publish: Callable[..., Path]) -> None:
    early = clean.samples.with_columns(clicked_at=pl.col("clicked_at") - timedelta(hours=1))
    verdict = validate(samples=early)
    assert not verdict.success
    assert verdict.reason.startswith("samples: expect_column_values_to_be_between(num_clicks_before_exposure) expected 0, found 20; ")
    index = publish(verdict, samples=early)
    site = index.parent
    assert "num_clicks_before_exposure" in index.read_text(encoding="utf-8")
    (of_profile,) = site.glob("validations/samples/**/*.html")
    assert "clicks before their exposure; expected 0; measured 20" in of_profile.read_text(encoding="utf-8")
    (of_rows,) = site.glob("validations/samples_rows/**/*.html")
    assert "2024-04-30T23:01:00" in of_rows.read_text(encoding="utf-8")


def test_no_page_fetches_anything_and_every_link_is_in_the_folder(
    validate: Validate, clean: DayFrames, publish: Callable[..., Path]
) -> None:
    site = publish(validate(), clicks=clean.clicks).parent
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 1 + 2 * (6 + 1)  # results and expectations of six tables and of the rows of one
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(script|link|img|iframe)\b", text)
        local = [link for link in links(page) if not link.startswith("https://greatexpectations.io")]
        assert [link for link in local if not (page.parent / link).resolve().is_relative_to(site.resolve())] == []
        assert [link for link in local if not (page.parent / link).exists()] == []


def test_a_rerun_replaces_the_pages_and_leaves_nothing_else(
    validate: Validate, clean: DayFrames, publish: Callable[..., Path], tmp_path: Path
) -> None:
    publish(validate(samples=clean.samples.head(0)))
    index = publish(validate())
    body = re.sub("<style>.*?</style>", "", index.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert 'class="critical"' not in body
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["day=D"]
    assert [path for path in index.parent.rglob("*.html") if "_rows" in str(path)] == []


def test_great_expectations_draws_the_same_verdict_from_the_same_bands(
    validate: Validate, clean: DayFrames, accounting: list[dict[str, Any]], tmp_path: Path
) -> None:
    before = validate().profile
    spoiled = clean.samples.with_columns(cat=pl.lit("black"), clicked=pl.lit(value=False), item_id=pl.lit(None, pl.String))
    broken = {**accounting[1], "quarantined": 300}
    verdict = validate(
        samples=spoiled, clicks=clean.clicks.drop("item_id"), history=[before], accounting=[accounting[0], broken, *accounting[2:]]
    )
    suites = [
        judge_profile(table, found["measures"], [Band(*band) for band in found["bands"]], not_run=[])
        for table, found in verdict.profile["tables"].items()
    ]
    failures, raised = judge_batches(suites, open_context(tmp_path / "site"), run_name="day")
    assert raised == []
    assert {str(failure) for failure in failures} == {str(failure) for failure in verdict.failures}
    assert len(verdict.failures) > 10


def test_an_error_while_pages_are_built_keeps_the_old_ones(tmp_path: Path) -> None:
    docs = tmp_path / "day=D"
    docs.mkdir()
    (docs / "index.html").write_text("old")
    with pytest.raises(ZeroDivisionError), publish_site(docs) as site:
        (site / "index.html").write_text(str(1 / 0))
    assert [path.read_text() for path in tmp_path.rglob("*.html")] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["day=D"]


def test_warnings_are_reported_and_do_not_stop_the_day(validate: Validate, clean: DayFrames, accounting: list[dict[str, Any]]) -> None:
    crowded = {**accounting[0], "exact_duplicates": 501, "conflicting_duplicates": 4}
    verdict = validate(actions=None, accounting=[crowded, *accounting[1:3]], quarantine=clean.quarantine.head(3 * 14))
    assert verdict.success
    told = {str(failure) for failure in verdict.failures}
    between = "expect_column_values_to_be_between"
    assert {
        f"impressions: {between}(duplicate_share) expected <= 0.5, found 0.505",
        f"actions: {between}(num_rows) expected >= 1, found 0",
        f"purchases: {between}(num_rows_in) expected >= 1, found 0",
    } <= told


def test_a_shop_may_allow_days_without_purchases(validate: Validate, clean: DayFrames, settings: Settings) -> None:
    assert not validate(purchases=clean.purchases.head(0)).success
    lenient = settings.model_copy(update={"validation": settings.validation.model_copy(update={"min_purchases": 0})})
    verdict = validate(purchases=clean.purchases.head(0), settings=lenient)
    assert verdict.success
    assert ("warning", "purchases", "num_rows") in names(verdict.failures)


def test_a_shifted_column_and_a_jump_in_rows_are_found_against_the_history(validate: Validate, clean: DayFrames) -> None:
    before = {**validate().profile, "day": "2024-04-30"}
    same = validate(history=[before] * 7)
    assert same.failures == []
    assert [line.split(" was not run")[0] for line in same.profile["not_run"]] == [
        "samples: user_id_coverage",
        "samples: item_id_coverage",
        "purchases: drift",
    ]
    measures = same.profile["tables"]["samples"]["measures"]
    assert [measures[f"cat_{name}"] for name in ("psi_1d", "psi_7d", "js_1d", "js_7d", "new_share")] == [0, 0, 0, 0, 0]
    assert (measures["user_id_top_share"], measures["count_ratio"], measures["ctr_ratio"]) == (0.15, 1, 1)
    moved = clean.samples.with_columns(cat=pl.lit("black"), price=pl.col("price") + 100)
    drifted = validate(history=[before], samples=moved, clicks=clean.clicks.head(3))
    assert {
        ("critical", "samples", "cat_flattened"),
        ("critical", "samples", "cat_psi_7d"),
        ("warning", "samples", "cat_js_1d"),
        ("warning", "samples", "cat_new_share"),
        ("critical", "samples", "price_median_ratio"),
        ("warning", "clicks", "count_ratio"),
        ("critical", "clicks", "credited_share_ratio"),
    } <= names(drifted.failures)


def test_yesterday_is_the_day_before_and_no_other(validate: Validate) -> None:
    profile = validate(history=[{**validate().profile, "day": "2024-04-29"}]).profile
    measures = profile["tables"]["samples"]["measures"]
    assert "cat_psi_7d" in measures
    assert "cat_psi_1d" not in measures
    assert any(line.startswith("samples: drift of cat over 1d was not run") for line in profile["not_run"])


def test_a_day_that_failed_is_no_reference(validate: Validate, clean: DayFrames) -> None:
    failed = validate(samples=clean.samples.head(10)).profile
    assert failed["success"] is False
    assert "drift was not run" in validate(history=[failed]).profile["not_run"][0]


def test_an_unreadable_table_is_judged_on_its_columns_alone_and_says_so(validate: Validate, clean: DayFrames) -> None:
    verdict = validate(clicks=clean.clicks.drop("item_id"))
    assert [str(failure) for failure in verdict.failures] == [
        "clicks: expect_column_values_to_be_in_set(schema) expected as declared, found item_id is missing, not String"
    ]
    assert any(line.startswith("clicks: all but its columns") for line in verdict.profile["not_run"])


def test_rows_kept_out_but_not_counted_stop_the_day(validate: Validate, clean: DayFrames) -> None:
    verdict = validate(quarantine=clean.quarantine.head(55))
    assert verdict.reason == "quarantine: expect_column_values_to_be_between(num_unaccounted) expected 0, found -1"


def test_an_expectation_that_raises_is_neither_a_pass_nor_a_failure_of_the_data(
    validate: Validate, publish: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(table: str, *_: Any, **__: Any) -> Batch:
        expectation = gxe.ExpectColumnValuesToBeBetween(column="absent", min_value=0, severity="warning")
        return Batch(table, gx.ExpectationSuite(table, expectations=[expectation]), pd.DataFrame({"ctr": [0.1]}))

    monkeypatch.setattr(batches, "judge_profile", broken)
    with pytest.raises(
        ExpectationRaisedError, match=r'samples: expect_column_values_to_be_between\(absent\) raised .*"absent".*index\.html'
    ):
        publish(validate())


def test_a_failure_reads_as_one_line() -> None:
    failure = Failure("critical", "samples", "expect_column_values_to_be_between", "ctr", expected="0.01..0.3", found="0.5")
    assert str(failure) == "samples: expect_column_values_to_be_between(ctr) expected 0.01..0.3, found 0.5"
    assert str(replace(failure, column="")).startswith("samples: expect_column_values_to_be_between() ")
