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
from components.validate import suites
from components.validate.batches import Batch
from components.validate.failures import Failure
from components.validate.pages import publish_site
from components.validate.runs import ExpectationRaisedError
from components.validate.subjects import describe_subjects
from components.validate.suites import DayFrames, Validation

Validate = Callable[..., Validation]


def links(page: Path) -> list[str]:
    return re.findall(r'(?:href|src)="([^"#]+)"', page.read_text(encoding="utf-8"))


def test_a_clean_first_day_passes_and_says_that_drift_was_not_run(validate: Validate) -> None:
    verdict = validate()
    assert (verdict.success, verdict.failures) == (True, [])
    assert [line.split(":")[0] for line in verdict.profile["not_run"]] == ["samples", *KINDS]
    assert "samples: drift was not run" in verdict.docs_index.read_text(encoding="utf-8")
    assert json.loads(json.dumps(verdict.profile)) == verdict.profile


def test_data_docs_open_from_disk_and_name_the_failing_value(validate: Validate, clean: DayFrames, tmp_path: Path) -> None:
    early = pl.col("clicked_at") - timedelta(hours=1)
    verdict = validate(samples=clean.samples.with_columns(clicked_at=early))
    assert not verdict.success
    (critical,) = [failure for failure in verdict.failures if failure.severity == "critical"]
    assert str(critical) == "samples: expect_column_values_to_be_between(num_clicks_before_exposure) expected 0, found 20"
    site = verdict.docs_index.parent
    assert verdict.docs_index == tmp_path / "docs" / "day=D" / "index.html"
    assert "num_clicks_before_exposure" in verdict.docs_index.read_text(encoding="utf-8")
    (of_profile,) = site.glob("validations/samples/**/*.html")
    assert "clicks before their exposure; expected 0; measured 20" in of_profile.read_text(encoding="utf-8")
    (of_rows,) = site.glob("validations/samples_rows/**/*.html")
    assert "2024-04-30T23:01:00" in of_rows.read_text(encoding="utf-8")


def test_no_page_fetches_anything_and_every_link_is_in_the_folder(validate: Validate) -> None:
    site = validate().docs_index.parent
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 1 + 2 * 2 * 5  # results and expectations of two suites for each of five tables
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(script|link|img|iframe)\b", text)
        local = [link for link in links(page) if not link.startswith("https://greatexpectations.io")]
        assert [link for link in local if not (page.parent / link).resolve().is_relative_to(site.resolve())] == []
        assert [link for link in local if not (page.parent / link).exists()] == []


def test_a_rerun_replaces_the_pages_and_leaves_nothing_else(validate: Validate, clean: DayFrames, tmp_path: Path) -> None:
    validate(samples=clean.samples.head(0))
    verdict = validate()
    assert "critical" not in re.sub("<style>.*?</style>", "", verdict.docs_index.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["day=D"]


def test_an_error_while_pages_are_built_keeps_the_old_ones(tmp_path: Path) -> None:
    docs = tmp_path / "day=D"
    docs.mkdir()
    (docs / "index.html").write_text("old")
    with pytest.raises(ZeroDivisionError), publish_site(docs) as site:
        (site / "index.html").write_text(str(1 / 0))
    assert [path.read_text() for path in tmp_path.rglob("*.html")] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["day=D"]


def test_warnings_are_reported_and_do_not_stop_the_day(validate: Validate, accounting: list[dict[str, Any]]) -> None:
    crowded = {**accounting[0], "exact_duplicates": 501, "conflicting_duplicates": 0}
    verdict = validate(actions=None, accounting=[crowded, *accounting[1:3]])
    assert verdict.success
    told = {str(failure) for failure in verdict.failures}
    between = "expect_column_values_to_be_between"
    assert {
        f"impressions: {between}(duplicate_share) expected <= 0.5, found 0.501",
        f"actions: {between}(num_rows) expected >= 1, found 0",
        f"purchases: {between}(num_rows_in) expected >= 1, found 0",
    } <= told


def test_a_shop_may_allow_days_without_purchases(validate: Validate, clean: DayFrames, settings: Settings) -> None:
    assert not validate(purchases=clean.purchases.head(0)).success
    lenient = settings.model_copy(update={"validation": settings.validation.model_copy(update={"min_purchases": 0})})
    verdict = validate(purchases=clean.purchases.head(0), settings=lenient)
    assert verdict.success
    assert ("warning", "purchases", "num_rows") in {(failure.severity, failure.table, failure.column) for failure in verdict.failures}


def test_a_shifted_column_and_a_jump_in_rows_are_found_against_the_history(validate: Validate, clean: DayFrames) -> None:
    before = validate().profile
    same = validate(history=[before] * 7)
    assert (same.failures, same.profile["not_run"]) == ([], [])
    assert same.profile["tables"]["samples"]["measures"]["cat_psi"] == pytest.approx(0)
    moved = clean.samples.with_columns(cat=pl.lit("black"), price=pl.col("price") + 100)
    drifted = validate(history=[before], samples=moved, clicks=clean.clicks.head(3))
    assert drifted.success
    assert {(failure.table, failure.column) for failure in drifted.failures} == {
        ("samples", "cat_psi"),
        ("samples", "price_psi"),
        ("clicks", "count_ratio"),
    }


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


def test_an_expectation_that_raises_is_neither_a_pass_nor_a_failure_of_the_data(
    validate: Validate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> list[Batch]:
        expectation = gxe.ExpectColumnValuesToBeBetween(column="absent", min_value=0, severity="warning")
        return [Batch("samples", gx.ExpectationSuite("samples", expectations=[expectation]), pd.DataFrame({"ctr": [0.1]}), key="")]

    monkeypatch.setattr(suites, "describe_subjects", lambda *arguments: list(describe_subjects(*arguments))[:1])
    monkeypatch.setattr(suites, "make_batches", broken)
    with pytest.raises(
        ExpectationRaisedError, match=r'samples: expect_column_values_to_be_between\(absent\) raised .*"absent".*index\.html'
    ):
        validate()


def test_a_failure_reads_as_one_line() -> None:
    failure = Failure("critical", "samples", "expect_column_values_to_be_between", "ctr", expected="0.01..0.3", found="0.5")
    assert str(failure) == "samples: expect_column_values_to_be_between(ctr) expected 0.01..0.3, found 0.5"
    assert str(replace(failure, column="")).startswith("samples: expect_column_values_to_be_between() ")
