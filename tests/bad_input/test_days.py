"""Days of which something is missing, comes late, or is read again after a fix."""

import pytest

from components.profile import Kind
from tests.bad_input.conftest import DAY, Zone
from tests.bad_input.logs import as_csv, as_ndjson, rows

HOURS = [f"2024-05-02T{hour:02}:30:00Z" for hour in range(24)]
IDS = [f"i{hour}" for hour in range(24)]


def arrival(zone: Zone, asked: str) -> None:
    zone.amend_profile(("[settings.labels]", f"[arrival.impressions]\n{asked}\n\n[settings.labels]"))


def deliver_others(zone: Zone) -> None:
    for kind in ("clicks", "purchases"):
        zone.write("a.csv", "id,user,item,time,order\n", kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", ['hours = "0-23"', 'hours = "0-23"\nfiles = "part-{hour}.*"', 'marker = "_SUCCESS"'])
def test_half_a_day_is_not_ready_and_not_ingested_until_the_other_half_is_there(zone: Zone, asked: str) -> None:
    arrival(zone, asked)
    deliver_others(zone)
    for hour in range(12):
        zone.write(f"part-{hour:02}.csv", as_csv(rows([IDS[hour]], time=HOURS[hour])))
    ready, ingest = zone.command("ready", str(DAY)), zone.ingest()
    assert (ready.status, ready.out, ingest.status, ingest.out) == (1, "", 1, "")
    for said in (ready.err, ingest.err):
        assert "NotReadyError: " in said
        assert str(zone.folder()) in said
        assert "found none for 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23" in said or "expected the marker" in said
    assert "the deadline 2024-05-03T12:00Z has passed" in ready.err
    assert zone.rows().is_empty()
    assert zone.scratch() == []
    for hour in range(12, 24):
        zone.write(f"part-{hour:02}.csv", as_csv(rows([IDS[hour]], time=HOURS[hour])))
    zone.write("_SUCCESS", "")
    assert zone.command("ready", str(DAY)).out == "day: 2024-05-02\nready: True\n"
    assert zone.counts() == (24, 0)


@pytest.mark.parametrize("kind", ["impressions", "clicks", "purchases"])
def test_a_kind_that_never_came_stops_the_day(zone: Zone, kind: Kind) -> None:
    refused = zone.ingest(kind)
    assert (refused.status, refused.out) == (1, "")
    assert f"expected the folder {zone.root}/raw/{kind}/day={DAY}, found none on any day" in refused.err


def test_a_kind_that_came_on_other_days_is_empty_with_a_warning_and_a_day_of_impressions_is_not(zone: Zone) -> None:
    for kind in ("impressions", "clicks"):
        (zone.root / "raw" / kind / "day=2024-05-01").mkdir(parents=True)
    assert zone.ingest("clicks").json["files"][0]["warning"] == "no clicks arrived: the folder is absent (1 other days have one)"
    assert zone.ingest("impressions").status == 1


def test_after_the_profile_is_mended_a_rerun_takes_the_rows_in(zone: Zone) -> None:
    zone.write("a.csv", as_csv(rows(time=[1714636800, 1714636801, "soon"])))
    zone.write("b.ndjson", as_ndjson(rows(["j0"], time=1714636802)))
    assert zone.counts() == (0, 4)
    zone.amend_profile(('unit = "iso"', 'unit = "s"'))
    assert zone.counts() == (3, 1)
    assert zone.reasons() == [("a.csv", 3, "bad exposed_at: 'soon'")]
    assert zone.rows()["impression_id"].to_list() == ["i0", "i1", "j0"]


def test_what_comes_after_a_day_was_ingested_is_taken_in_by_a_rerun(zone: Zone) -> None:
    zone.write("a.csv", as_csv(rows()))
    assert zone.counts() == (3, 0)
    zone.write("b.csv", as_csv(rows(["i2", "i3"])))
    record = zone.ingest().json
    assert (record["rows_in"], record["accepted"], record["exact_duplicates"]) == (5, 4, 1)


def test_the_quarantine_counts_reasons_then_lists_rows_and_shows_no_control_character(zone: Zone) -> None:
    zone.write("a.csv", as_csv(rows(["a", "b\x1b[2J", "c"], time=["soon", "later", "2024-05-02T08:00:00Z"])) + f"[bold]{'x' * 300}\n")
    zone.write("b.ndjson", "{\n")
    assert zone.counts() == (1, 4)
    listed = zone.command("quarantine", str(DAY), "--kind", "impressions", "--json", "--limit", "2").json
    assert listed["counts"] == [
        {"kind": "impressions", "reason": "bad exposed_at", "rows": 2},
        {"kind": "impressions", "reason": "broken JSON", "rows": 1},
        {"kind": "impressions", "reason": "wrong number of fields", "rows": 1},
    ]
    assert [(row["file"], row["row"]) for row in listed["rows"]] == [("a.csv", 1), ("a.csv", 2)]
    assert listed["rows"][1]["raw"] == "b\x1b[2J,u,x,later,home,1,12.55"
    shown = zone.command("quarantine", str(DAY), "--kind", "impressions").out
    assert "\x1b" not in shown
    assert "b\\x1b[2J,u,x,later" in shown
    assert "[bold]xxx" in shown
    assert "x" * 120 not in shown


def test_the_quarantine_of_a_day_that_was_not_ingested_says_so(zone: Zone) -> None:
    refused = zone.command("quarantine", str(DAY))
    assert refused.status == 1
    assert "run `esmm ingest 2024-05-02` first" in refused.err
