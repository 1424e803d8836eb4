"""What of a day has not arrived: folders, markers, hours' files, hours without events; and that nothing is read twice."""

import json
import os
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components import enquiries
from components.errors import NotReadyError
from components.ingest.arrival import Look, look, require_files
from components.ingest.columns import Target
from components.profile import Kind
from components.settings import Settings

ALL = range(24)


def csv(hours: Iterable[int], *, on: str = "2024-05-02") -> str:
    return "id,user,item,time\n" + "".join(f"{on}-{hour},u,i,{on}T{hour:02}:59:59\n" for hour in hours)


@pytest.fixture
def look_at(landing_with: Callable[..., Any], tmp_path: Path) -> Callable[..., Look]:
    """Look at clicks that were asked for as given."""
    (tmp_path / "scratch").mkdir()

    def look_at(seen: dict[str, Any] | None = None, *, kind: Kind = "clicks", **asked: str) -> Look:
        landing = landing_with(arrival={kind: asked} if asked else {})
        target = Target(kind, landing.day, landing.profile)
        return look(landing.folder(kind), target, seen or {}, scratch=tmp_path / "scratch", chunk_rows=10)

    return look_at


def test_a_folder_is_enough_where_nothing_is_asked_for(landing: Any, look_at: Callable[..., Look]) -> None:
    landing.write("a.csv", csv([3]), "clicks")
    assert look_at().missing == ""


@pytest.mark.parametrize(
    ("kind", "asked", "other_days", "found"),
    [
        ("impressions", {}, True, "found none"),
        ("clicks", {}, True, ""),
        ("clicks", {}, False, "found none on any day"),
        ("clicks", {"marker": "_SUCCESS"}, True, "found none"),
        ("clicks", {"hours": "0-23"}, True, "found none"),
    ],
)
def test_an_absent_folder_is_missing_for_impressions_for_what_is_asked_for_and_for_a_kind_that_never_came(
    landing: Any, look_at: Callable[..., Look], kind: Kind, asked: dict[str, str], other_days: bool, found: str
) -> None:
    if other_days:
        (landing.folder(kind).parent / "day=2024-05-01").mkdir(parents=True)
    missing = look_at(kind=kind, **asked).missing
    assert missing == (f"expected the folder {landing.folder(kind)}, {found}" if found else "")


def test_the_marker_must_be_there(landing: Any, look_at: Callable[..., Look]) -> None:
    landing.write("a.csv", csv([3]), "clicks")
    assert look_at(marker="_SUCCESS").missing == f"expected the marker {landing.folder('clicks')}/_SUCCESS, found none"
    landing.write("_SUCCESS", "", "clicks")
    assert look_at(marker="_SUCCESS").missing == ""


def test_an_hour_is_there_with_a_file_of_its_name_whatever_is_in_it(landing: Any, look_at: Callable[..., Look]) -> None:
    for hour in (0, 1, 8, 10):
        landing.write(f"part-{hour:02}-x.csv.gz", csv([]), "clicks")
    asked = {"hours": "0-2,8,11", "files": "part-{hour}-*"}
    expected = f"{landing.folder('clicks')}: expected files part-{{hour}}-* for the UTC hours 0-2,8,11, found none for 02, 11"
    assert look_at(**asked).missing == expected
    for hour in (2, 11):
        landing.write(f"part-{hour:02}-y.csv", csv([]), "clicks")
    assert look_at(**asked).missing == ""


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson", "a.ndjson.zst", "a.parquet", "a.parquet.gz"])
def test_without_names_an_hour_is_there_with_an_event_in_it(landing: Any, look_at: Callable[..., Look], as_parquet: Any, name: str) -> None:
    def deliver(file: str, hours: Iterable[int]) -> None:
        frame = pl.read_csv(csv(hours).encode())
        by_format = {"csv": csv(hours).encode(), "ndjson": frame.write_ndjson().encode(), "parquet": as_parquet(frame)}
        landing.write(file, by_format[name.split(".")[1]], "clicks")

    deliver(name, [hour for hour in ALL if hour not in (5, 23)])
    assert look_at(hours="0-23").missing.endswith(": expected events for the UTC hours 0-23, found none for 05, 23")
    deliver(f"b{name}", [5, 23])
    assert look_at(hours="0-23").missing == ""


def test_events_of_another_day_or_without_a_readable_time_are_of_no_hour(landing: Any, look_at: Callable[..., Look]) -> None:
    late = csv([2], on="2024-05-01") + "x,u,i,2024-05-03T02:00:00\ny,u,i,soon\nbroken,row\nz,u,i,2024-05-02T03:00:00+01:00\n"
    landing.write("a.csv", late, "clicks")
    assert look_at(hours="2").missing == ""
    assert look_at(hours="2,3").missing.endswith("found none for 03")


def test_a_local_clock_is_counted_in_utc_hours(landing_with: Callable[..., Any], tmp_path: Path) -> None:
    landing = landing_with(clock={"zone": "Asia/Kolkata"}, arrival={"clicks": {"hours": "0-1"}})
    landing.write("a.csv", "id,user,item,time\na,u,i,2024-05-02T05:30:00\nb,u,i,2024-05-02T06:29:59\n", "clicks")
    found = look(landing.folder("clicks"), Target("clicks", landing.day, landing.profile), {}, scratch=tmp_path, chunk_rows=10)
    assert found.missing.endswith("found none for 01")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("b.csv.gz", b"\x1f\x8b\x08\x00torn", "expected a whole b.csv.gz"),
        ("b.parquet", b"PAR1", "b.parquet: expected a whole b.parquet"),
        ("b.csv", b"id;time\n", "expected a header with one column 'time'"),
        ("b.csv.part", b"", "expected a file named .csv"),
    ],
)
def test_a_file_that_cannot_be_read_yet_is_missing(
    landing: Any, look_at: Callable[..., Look], name: str, content: bytes, says: str
) -> None:
    landing.write("a.csv", csv(ALL), "clicks").with_name(name).write_bytes(content)
    assert says in look_at(hours="0-23").missing


def test_a_folder_with_nothing_but_a_marker_is_missing_its_files(landing: Any, look_at: Callable[..., Look]) -> None:
    landing.write("_SUCCESS", "", "clicks")
    assert "expected at least one raw file, found none" in look_at(marker="_SUCCESS").missing


def test_a_file_is_read_again_only_when_its_size_or_time_of_change_is_another(landing: Any, look_at: Callable[..., Look]) -> None:
    path = landing.write("a.csv", csv([1, 2]), "clicks")
    first = look_at(hours="1-2")
    assert {name: file["hours"] for name, file in first.files.items()} == {"a.csv": [1, 2]}
    kept = path.stat()
    path.write_bytes(b"x" * kept.st_size)  # would not be readable
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert look_at(first.files, hours="1-2") == first
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns + 1))
    assert "a.csv" in look_at(first.files, hours="1-2").missing


def test_ingest_refuses_by_names_alone(landing_with: Callable[..., Any]) -> None:
    landing = landing_with(arrival={"clicks": {"marker": "_SUCCESS"}})
    landing.write("a.csv.gz", csv([]), "clicks").write_bytes(b"not even gzip")
    with pytest.raises(NotReadyError, match=r"clicks 2024-05-02: expected the marker .*; wait for the delivery, then rerun ingest"):
        require_files(landing.folder("clicks"), Target("clicks", landing.day, landing.profile))


@pytest.fixture
def at(shop_settings: Settings, tmp_path: Path) -> Callable[[date], Settings]:
    """Settings of a landing zone in which only one day has only one kind."""

    def at(day: date) -> Settings:
        folder = tmp_path / "raw" / "impressions" / f"day={day}"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text("impression_id\n")
        data = shop_settings.data.model_copy(update={"raw": str(tmp_path / "raw")})
        return shop_settings.model_copy(update={"data": data})

    return at


def test_a_day_that_is_not_ready_says_so_for_each_kind_and_that_its_deadline_has_passed(at: Callable[[date], Settings]) -> None:
    day = date(2024, 5, 1)
    settings = at(day)
    with pytest.raises(NotReadyError) as raised:
        enquiries.ready(day, settings)
    said = str(raised.value)
    assert said.startswith("2024-05-01 is not ready: clicks: expected the folder")
    assert "; purchases: expected the folder" in said
    assert "; the deadline 2024-05-02T12:00Z has passed: " in said
    assert said.endswith("then run `esmm ready 2024-05-01`")
    with pytest.raises(NotReadyError):
        enquiries.arrived(day, settings)


def test_before_the_deadline_a_day_is_waited_for(at: Callable[[date], Settings]) -> None:
    today = datetime.now(UTC).date()
    settings = at(today)
    assert enquiries.arrived(today, settings) is False
    noon = today + timedelta(days=1)
    with pytest.raises(NotReadyError, match=f"; wait for the delivery, until {noon}T12:00Z at the latest, then run `esmm ready {today}`"):
        enquiries.ready(today, settings)


def test_a_ready_day_is_ready_and_its_record_says_what_was_seen(shop_settings: Settings) -> None:
    arrival = {"impressions": {"hours": "0-23"}}
    profile = shop_settings.profile.model_validate({**shop_settings.profile.model_dump(), "arrival": arrival})
    settings = shop_settings.model_copy()
    settings.__dict__["profile"] = profile
    day = date(2024, 5, 1)
    assert enquiries.ready(day, settings) == {"day": "2024-05-01", "ready": True}
    assert enquiries.arrived(day, settings)
    record = json.loads((settings.root / "runs" / "day=2024-05-01" / "ready.json").read_text())
    assert set(record["files"]) == set(profile.kinds)
    seen = record["files"]["impressions"].values()
    assert sorted({hour for file in seen for hour in file["hours"]}) == list(ALL)
