"""The day's report: what it says of whole, first, undefined and unfinished days, and how it looks in Chromium."""

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from components.evaluate.data_figures import completeness_figure, completeness_table, drift_figures
from components.evaluate.figures import delay_figure, trend_figures
from components.evaluate.plots import nice_axis
from components.evaluate.report import ReportInputs, day_verdict, render
from components.evaluate.report_tables import difference_cell, metric_rows

_spec = importlib.util.spec_from_file_location("report_days", Path(__file__).with_name("report_days.py"))
assert _spec
assert _spec.loader
days = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(days)
NO_DELAYS = pl.Series([], dtype=pl.Int64)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


def inputs(records: dict, *, history=(), delays_s=NO_DELAYS, page=None) -> ReportInputs:
    reasons = [{"kind": "clicks", "reason": "clicked_at", "rows": 12}, {"kind": "purchases", "reason": "order_id", "rows": 1234}]
    return ReportInputs(day=days.DAY, records=records, history=history, delays_s=delays_s, reasons=reasons, page=page)


@pytest.fixture(scope="module")
def whole() -> dict[str, dict]:
    return days.whole_day()


@pytest.fixture(scope="module")
def page(whole) -> str:
    before = [(date(2024, 5, 1), days.whole_day(seed=2, champion=False)), (date(2024, 5, 2), days.whole_day(seed=3, verdict="hold"))]
    where = Path("/srv/esmm/reports/day=2024-05-03/index.html")
    return render(inputs(whole, history=before, delays_s=days.delays(), page=where))


class Reader(HTMLParser):
    """Collects tags, links, ids and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_title_and_first_lines_carry_the_verdict_and_its_reason(page):
    assert "<title>ESMM 2024-05-03: promote</title>" in page
    text = Reader(page).text
    assert "The champion alias was moved to it." in text
    assert "Reason: CVR AUC difference +0.0123, lower bound -0.0045 is at least the margin -0.0200" in text


def test_the_page_is_self_contained_and_the_same_each_time(page, whole):
    reader = Reader(page)
    loaded = [attrs for tag, attrs in reader.tags if tag in ("script", "iframe", "img", "object", "embed") or attrs.get("src")]
    assert not loaded
    assert not re.findall(r"url\(|@import", page)
    outside = {attrs["href"] for tag, attrs in reader.tags if tag in ("a", "link") and not str(attrs["href"]).startswith("#")}
    assert outside == {"data:,", "../../docs/day=2024-05-03/index.html", "../../docs/day=2024-05-03/index.html#drift"}
    assert render(inputs(whole)) == render(inputs(whole))


def test_section_links_lead_somewhere_and_headings_are_in_order(page):
    tags = Reader(page).tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {str(attrs["href"])[1:] for tag, attrs in tags if tag == "a" and str(attrs["href"]).startswith("#")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in tags if tag == "th")


def test_charts_are_well_formed_and_described(page):
    charts = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(charts) == 3 + 3 + 3 + 1 + 1 + 2
    for chart in charts:
        root = ElementTree.fromstring(chart)  # noqa: S314 - our own text
        assert root.attrib["role"] == "img"
        assert len(root.attrib["aria-label"]) > 30
        assert "nan" not in chart


@pytest.mark.parametrize("expected", ["200,000", "CTR 4.85%", "23.71% of clicks", "CVR 8.66% of clicks", "CTCVR 0.42% of impressions"])
def test_the_funnel_has_counts_and_rates(page, expected):
    assert expected in Reader(page).text


def test_accounting_names_each_kind_and_file(page):
    text = Reader(page).text
    for kind in days.KINDS:
        assert f"{kind}/day=2024-05-03/part-0-with-a-rather-long-name-as-exporters-like-them.ndjson.gz 202,216 200,000 2,000 200 16" in text


def test_accounting_follows_the_order_of_the_funnel(whole):
    text = Reader(render(inputs(dict(sorted(whole.items()))))).text
    places = [text.index(f"{kind} 202,216") for kind in days.KINDS]
    assert places == sorted(places)


def test_rows_kept_out_are_counted_by_reason(page):
    text = Reader(page).text
    assert "purchases order_id 1,234" in text
    assert "esmm quarantine 2024-05-03" in text


def test_labels_of_earlier_days_show_how_complete_they_are(page, whole):
    text = Reader(page).text
    assert "2024-05-01 9,000 900 10.00% 50.0% 60.0% 75.0% 90.0% 100.0% 100.0%" in text
    words = completeness_figure(whole["relabel"]).svg
    assert "for the days 2024-05-01 and 2024-05-02" in words
    assert completeness_figure({"days": {}}).missing
    assert completeness_table({"days": {}}) is None


def test_drift_is_drawn_for_each_day_the_worst_column_first_and_crossed_above_its_limit():
    found = [(date(2024, 5, number), days.whole_day(seed=number) if number != 2 else {}) for number in (1, 2, 3)]
    psi, js = drift_figures(found)
    assert psi.note.startswith("scene drifted most, up to 0.27; crossed squares are above 0.25")
    assert re.findall(r'text-anchor="end">([^<]+)</text>', psi.svg)[:2] == ["scene", "cat_id"]
    assert re.findall(r'<g class="(\w+)"><title>scene, (05-\d\d): ([\d.]+)', psi.svg) == [
        ("low", "05-01", "0.09"),
        ("beyond", "05-03", "0.27"),
    ]
    assert "device, 05-03: 0.01" in js.svg
    assert all(figure.missing for figure in drift_figures([(days.DAY, {})]))


def test_what_later_tables_did_not_meet_is_listed_too(whole):
    failure = {**whole["validate"]["failures"][0], "table": "item_features", "column": "item_click_count_7d_psi_7d"}
    text = Reader(render(inputs({**whole, "validate-features": {"failures": [failure], "seconds": 1}}))).text
    assert "Passed, with 2 expectation(s) not met" in text
    assert "item_features expect_column_psi item_click_count_7d_psi_7d" in text


def test_a_difference_that_rounds_to_nothing_has_no_minus():
    assert difference_cell({"value": -0.00001, "low": -0.01, "high": 0.01}).value == "+0.0000"


def test_metrics_are_those_of_the_evaluation(whole):
    auc = whole["evaluate"]["models"]["challenger"]["cvr_auc"]
    row = next(row for row in metric_rows(whole["evaluate"]) if row.name == "masked CVR AUC")
    assert row.cells[0].value == f"{auc['value']:.4f}"
    assert row.cells[0].note == f"{auc['low']:.4f} to {auc['high']:.4f}"
    assert f"{auc['positives']:,} positives" in row.note


def test_what_became_of_the_ids_is_told_by_field(page, whole):
    text = Reader(page).text
    assert "item_id item_id 200,100 48,604 6,850 12 39,536 6.75% does not apply" in text
    assert "user_id user_id 200,100 does not apply does not apply does not apply does not apply does not apply 8.61%" in text
    older = {**whole, "train": {name: value for name, value in whole["train"].items() if name != "ids"}}
    assert "The training recorded none." in Reader(render(inputs(older))).text


def test_values_from_the_logs_are_escaped(page):
    assert "<b>cart" not in page
    assert "&lt;b&gt;cart &amp; more&lt;/b&gt;" in page
    hostile = days.whole_day()
    hostile["promote"]["reason"] = "<script>alert(1)</script>"
    assert "<script>" not in render(inputs(hostile))


def test_a_first_day_says_that_there_is_no_champion_and_no_parent():
    text = Reader(render(inputs(days.whole_day(champion=False)))).text
    for words in (
        "no champion yet",
        "nothing to compare with",
        "none: a cold start",
        "champion: no such model yet",
        "nobody: no champion yet",
    ):
        assert words in text


def test_an_undefined_auc_shows_its_reason_and_no_number():
    records = days.whole_day(verdict="insufficient")
    records["evaluate"] = days.evaluation(60)
    records["promote"]["reason"] = "2 conversions in the holdout, the gate needs 100"
    page = render(inputs(records))
    text = Reader(page).text
    assert "ESMM 2024-05-03: insufficient" in text
    assert re.search(r"masked CVR AUC .*? undefined expected at least 10 positives, found \d+ of \d+ rows", text)
    assert "0.5000" not in page
    assert "Undefined on every day so far." in text
    assert "No conversion is known for this day." in text


def test_a_day_stopped_by_validation_names_the_expectation():
    whole = days.whole_day()
    records = {step: record for step, record in whole.items() if step.startswith("ingest-") or step in ("label", "validate")}
    failure = {"severity": "critical", "table": "samples", "expectation": "expect_rows", "column": "", "expected": ">= 100", "found": "3"}
    records["validate"] = {**whole["validate"], "success": False, "failures": [failure]}
    text = Reader(render(inputs(records))).text
    assert "ESMM 2024-05-03: stopped" in text
    assert "critical: expect_rows" in text
    assert "evaluate has not run for this day" in text


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12])
def test_an_unfinished_day_shows_what_there_is_and_names_what_has_not_run(steps):
    records = dict(list(days.whole_day().items())[:steps])
    text = Reader(render(inputs(records))).text
    assert ("no verdict" in text) == (steps < 12)
    assert ("not run" in text) == (steps < 12)


def test_an_unfinished_day_before_leaves_a_gap_not_a_zero(whole):
    unfinished = (date(2024, 5, 2), {"ingest-clicks": days.ingested("clicks")})
    text = Reader(render(inputs(whole, history=[unfinished]))).text
    assert "2024-05-02 not run not run not run not run not run no verdict" in text


def test_trends_do_not_join_over_a_missing_day(whole):
    found = [(days.DAY + timedelta(days=n), whole["evaluate"] if n != 1 else {}) for n in range(4)]
    chart = trend_figures(found)[0].svg
    (challenger,) = re.findall(r'<g class="challenger"><path class="line" d="([^"]+)"/><path class="whisker"', chart)
    assert re.sub(r"[^ML]", "", challenger) == "MML"


def test_without_an_action_log_the_funnel_says_so(whole):
    records = {step: record for step, record in whole.items() if step != "ingest-actions"}
    assert "none logged this data set has no action log" in Reader(render(inputs(records))).text


def test_a_day_without_clicks_has_no_rate():
    records = days.whole_day()
    records["label"] |= {"clicks": 0, "actions": 0, "conversions": 0}
    assert "CVR undefined (no clicks) of clicks" in Reader(render(inputs(records))).text


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(59, "under 1 min"), (60, "1 to 5 min"), (1800, "30 min to 2 h"), (604_800, "over 7 days")]
)
def test_delays_fall_into_the_bucket_that_starts_with_them(seconds, bucket):
    words = re.findall(r">([^<>]+)</text>", delay_figure(pl.Series([seconds])).svg)
    assert words[words.index("1 (100%)") - 1] == bucket


def test_an_unknown_verdict_is_a_plain_word():
    assert day_verdict({}).word == "no verdict"
    assert day_verdict({"promote": {"verdict": "hold", "reason": "r", "moved": False}}).meaning == "The champion stays."


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, "0.0 0.2 0.4 0.6 0.8 1.0"), (0.66, 0.74, "0.66 0.68 0.70 0.72 0.74"), (0, 0.06, "0.00 0.02 0.04 0.06")],
)
def test_ticks_are_round(low, high, ticks):
    assert " ".join(text for _, text in nice_axis("", low, high).ticks) == ticks


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator:
    if not BROWSER or not DRIVER:
        pytest.skip("the page's look needs Chromium and chromedriver (apt install chromium chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    quiet = ("quic", "gpu", "background-networking", "component-update", "sync", "dev-shm-usage")
    for flag in ("--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in quiet)):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER, env={**os.environ, "SE_OFFLINE": "true"})
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


_WIDER_THAN_THE_VIEW = """
const wide = document.documentElement.clientWidth;
return [...document.body.querySelectorAll('*')].filter(e => !e.parentElement.closest('.scroll, svg'))
  .filter(e => e.getBoundingClientRect().right > wide + 0.5 || e.getBoundingClientRect().left < -0.5).map(e => e.outerHTML.slice(0, 80));
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_width_in_chromium_without_complaint(page, browser, tmp_path, width, scheme):
    written = tmp_path / "index.html"
    written.write_text(page, encoding="utf-8")
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.get(written.as_uri())
    assert browser.title == "ESMM 2024-05-03: promote"
    inner, view, content = browser.execute_script(
        "const page = document.documentElement; return [innerWidth, page.clientWidth, page.scrollWidth]"
    )
    assert inner == width
    assert content == view
    assert browser.execute_script(_WIDER_THAN_THE_VIEW) == []
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert browser.get_log("browser") == []
    if folder := os.environ.get("REPORT_SHOTS"):
        tall = browser.execute_script("return document.documentElement.scrollHeight")
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": tall})
        browser.save_screenshot(f"{folder}/{width}-{scheme}.png")
