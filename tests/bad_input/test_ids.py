"""Ids of any text, byte for byte, from the raw logs to the samples, the features, the pages and the lookups."""

import csv
import io
import itertools
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from components.inputs import open_lake
from components.settings import load_settings
from components.tables import CLICKS, ITEM_FEATURES, PURCHASES, SAMPLES, USER_FEATURES
from tests.bad_input.conftest import DAY, Zone
from tests.bad_input.logs import as_ndjson, as_parquet, rows

IDS = [
    *("ünï-日本-🎉", "e\u0301", "\u00e9", "\u202ertl", " lead", "trail ", "tab\there", "new\nline", "cr\rhere", "nul\x00here"),
    *("it's", 'a"b', '"', "a,b", "a;b", "\\", "\\n", "%s", "{}", "day=2024-01-01", "../../etc/passwd", "/", "."),
    *("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "<script>alert(1)</script>", "<b>&amp;", "'; DROP TABLE users; --"),
    *("NULL", "null", "NaN", "nan", "None", "true", "-0", "007", "1.0", "1e5", "0x10", str(2**53 + 1), str(2**64)),
]
SHELL_IDS = [key for key in IDS if "\0" not in key]
"""Those that an argument of a process can hold."""


def quoted(found: list[dict[str, Any]]) -> str:
    """Write rows as CSV with the quotes of RFC 4180."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([found[0].keys(), *(row.values() for row in found)])
    return text.getvalue()


def escaped(found: list[dict[str, Any]]) -> str:
    """Write rows as NDJSON in ASCII."""
    return "".join(f"{json.dumps(row)}\n" for row in found)


@pytest.mark.parametrize(
    ("name", "write"), [("a.csv", quoted), ("a.ndjson", as_ndjson), ("b.ndjson", escaped), ("a.parquet", as_parquet), ("a.csv.gz", quoted)]
)
def test_an_id_comes_out_of_ingest_as_it_went_in(zone: Zone, name: str, write: Callable[..., str | bytes]) -> None:
    zone.write(name, write(rows(IDS, user=IDS, item=IDS, scene=IDS)))
    assert zone.counts() == (len(IDS), 0)
    found = zone.rows()
    for column in ("impression_id", "user_id", "item_id", "scene"):
        assert sorted(found[column]) == sorted(IDS)


def deliver(zone: Zone) -> None:
    """Deliver 20 impressions of each id over the day; about half of them are clicked, and half of those bought."""
    kinds: dict[str, list[dict[str, Any]]] = {"impressions": [], "clicks": [], "purchases": []}
    drawn = random.Random(7)
    for at, (number, key) in enumerate(itertools.product(range(20), IDS)):
        exposed = datetime(DAY.year, DAY.month, DAY.day) + timedelta(seconds=at * 80_000 // (20 * len(IDS)))  # noqa: DTZ001 - no zone
        event = {"id": f"{key}/{number}", "user": key, "item": key, "scene": key, "rank": drawn.randrange(9), "price": 1.5}
        happened = ["impressions", *(["clicks"] if drawn.random() < 0.5 else [])]
        if len(happened) == 2 and drawn.random() < 0.5:
            happened.append("purchases")
        for later, kind in enumerate(happened):
            kinds[kind].append({**event, "order": f"{key}:{number}", "time": str(exposed + timedelta(seconds=later * 9))})
    zone.write("a.csv", quoted(kinds["impressions"]), "impressions")
    zone.write("a.ndjson", as_ndjson(kinds["clicks"]), "clicks")
    zone.write("a.parquet", as_parquet(kinds["purchases"]), "purchases")


@pytest.fixture
def small_day(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> Zone:
    zone.amend_profile(('name = "shop"', 'name = "shop"\nslices = ["scene"]\ncategory = "scene"'))
    settings = {
        "PUBLISH__REGISTRY_URL": f"sqlite:///{zone.root}/registry.db",
        "VALIDATION__MIN_IMPRESSIONS": "1",
        "VALIDATION__CTR_BAND": "[0.0, 1.0]",
        "VALIDATION__CVR_BAND": "[0.0, 1.0]",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"ESMM_{name}", value)
    deliver(zone)
    return zone


@pytest.mark.timeout(600)
def test_ids_of_any_text_go_through_a_whole_day(small_day: Zone) -> None:
    ran = small_day.process("run", str(DAY), "--json")
    assert ran.status == 0, ran.err
    lake = open_lake(load_settings())
    samples = lake.scan(SAMPLES, DAY).collect()
    assert sorted(samples["impression_id"]) == sorted(f"{key}/{number}" for key in IDS for number in range(20))
    assert samples["clicked"].sum() == lake.scan(CLICKS, DAY).collect().height > 0
    assert samples["converted"].sum() == lake.scan(PURCHASES, DAY).collect().height > 0
    for table, key in ((USER_FEATURES, "user_id"), (ITEM_FEATURES, "item_id")):
        assert sorted(lake.scan(table, DAY).collect()[key]) == sorted(IDS)
    for entity in ("user", "item"):
        answers = small_day.process("lookup", entity, "--json", "--", *SHELL_IDS).json
        assert [answer["found"] for answer in answers] == [True] * len(SHELL_IDS)
        assert {answer["features"][f"{entity}_impression_count_1d"] for answer in answers} == {20}
    pages = [*small_day.root.glob("home/reports/**/*.html"), *small_day.root.glob("home/docs/**/*.html")]
    assert len(pages) > 1
    assert [page for page in pages if "<script>alert(1)" in page.read_text()] == []
