"""The command line: exit statuses, what goes to stdout, and the messages a person reads."""

import errno
import json
import shutil
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake.exceptions import DeltaError

from components import steps
from components.cli import main
from components.inputs import open_lake
from components.records import Records
from components.settings import Settings
from components.tables import CLICKS
from components.terminal import escaped, shortened


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = 0
    try:
        main(list(arguments))
    except SystemExit as stopped:
        status = int(str(stopped.code or 0))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["label", "yesterday"], "expected a UTC day such as 2017-11-25, found 'yesterday'"),
        (["label", "2024-05-01", "--labelled-through", "noon"], "expected an instant such as"),
        (["run", "2024-05-02", "--to", "2024-05-01"], "--to 2024-05-01 is before 2024-05-02"),
        (["ingest", "2024-05-01", "--kind", "refunds"], "refunds"),
        (["experiment", "--out", "x", "--shares", "0.5,2"], "expected numbers above 0 and at most 1 such as 0.05,0.2,1, found '0.5,2'"),
        (["lookup", "shop", "1"], "shop"),
        (["fly"], "fly"),
        (["label", "2024-05-01", "--settings", "absent.toml"], "absent.toml: no such file"),
        (["demo", "--raw", "."], "--raw needs --profile and --from"),
        (["score", "--user", "ann"], "name items, or a file of them with --items"),
        (["score", "hat"], "--user"),
        (["score", "--user", "ann", "hat", "--gamma", "nan"], "ranking: gamma: expected a finite number, found nan"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, arguments: list[str], says: str
) -> None:
    assert shop_settings
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert says in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["label", "2024-05-01"], "run `esmm ingest 2024-05-01` first"),
        (["train", "2024-05-01"], "run `esmm aggregate 2024-05-01` first"),
        (["promote", "2024-05-01"], "run `esmm evaluate 2024-05-01` first"),
        (["report", "2024-05-01"], "run `esmm run 2024-05-01` first"),
        (["ingest", "2031-01-01"], "2031-01-01"),
        (["quarantine", "2024-05-01"], "run `esmm ingest 2024-05-01` first"),
        (["relabel", "2024-05-01"], "run `esmm validate 2024-05-01` first"),
        (["validate", "2024-05-01", "--suggest"], "`esmm validate"),
        (["lookup", "user", "1"], "nothing has been published"),
        (["score", "--user", "ann", "hat"], "found none; run `esmm run DAY` first"),
        (["score-day", "2024-05-01", "--out", "a.parquet", "--model", "2024-05-01-0123456789ab"], "no such checkpoint"),
        (["export", "--out", "scorer", "--model", "2024-05-01-0123456789ab"], "no such checkpoint"),
    ],
)
def test_a_missing_input_is_status_1_and_names_the_next_move(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, arguments: list[str], says: str
) -> None:
    assert shop_settings
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (1, "")
    assert says in err


def test_ingest_and_label_print_their_accounting_as_json(capsys: pytest.CaptureFixture[str], shop_settings: Settings) -> None:
    assert shop_settings
    for kind in run_json(capsys, "ingest", "2024-05-01")["kinds"]:
        parts = ("accepted", "exact_duplicates", "conflicting_duplicates", "quarantined")
        assert kind["rows_in"] == sum(kind[part] for part in parts)
    label = run_json(capsys, "label", "2024-05-01")
    assert label["samples"] == 4000
    assert label["samples"] > label["clicks"] > label["conversions"] > 0


def test_a_cut_off_before_the_end_of_the_day_is_refused(capsys: pytest.CaptureFixture[str], shop_settings: Settings) -> None:
    assert shop_settings
    status, _, err = run(capsys, "label", "2024-05-01", "--labelled-through", "2024-05-01T12:00Z")
    assert status == 1
    assert "choose 2024-05-02 or later" in err


def test_simulate_writes_what_it_says(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "raw"
    monkeypatch.setenv("ESMM_DATA__PROFILE", str(raw / "profile.toml"))  # which is yet to be written
    written = run_json(
        capsys, "simulate", "--out", str(raw), "--start", "2024-05-01", "--days", "2", "--impressions-per-day", "500", "--seed", "3"
    )
    assert [day["day"] for day in written["days"]] == ["2024-05-01", "2024-05-02"]
    assert sorted(path.name for path in (raw / "impressions").iterdir()) == ["day=2024-05-01", "day=2024-05-02"]
    assert (raw / "profile.toml").exists()


def test_the_accounting_is_what_the_simulated_faults_were(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, tmp_path: Path
) -> None:
    assert shop_settings
    simulated = [
        "simulate",
        "--out",
        str(tmp_path / "again"),
        "--start",
        "2024-05-01",
        "--days",
        "3",
        "--impressions-per-day",
        "4000",
        "--seed",
        "5",
    ]
    day = run_json(capsys, *simulated)["days"][1]
    for kind in run_json(capsys, "ingest", "2024-05-02")["kinds"]:
        truth = day[kind["kind"]]
        found = {"rows": kind["rows_in"], "broken": kind["quarantined"]}
        found |= {name: kind[name] for name in ("exact_duplicates", "conflicting_duplicates")}
        assert found == truth


def test_a_ready_day_says_so_and_a_missing_one_what_is_missing(capsys: pytest.CaptureFixture[str], shop_settings: Settings) -> None:
    assert run_json(capsys, "ready", "2024-05-01") == {"day": "2024-05-01", "ready": True}
    status, out, err = run(capsys, "ready", "2024-05-04")
    assert (status, out) == (1, "")
    folder = shop_settings.raw / "impressions" / "day=2024-05-04"
    assert f"NotReadyError: 2024-05-04 is not ready: impressions: expected the folder {folder}, found none" in err
    assert "the deadline 2024-05-05T12:00Z has passed" in err


def test_ingest_prints_its_accounting_a_line_a_file(capsys: pytest.CaptureFixture[str], shop_settings: Settings) -> None:
    assert shop_settings
    status, out, _ = run(capsys, "ingest", "2024-05-01", "--kind", "clicks")
    assert status == 0
    lines = [[cell.strip() for cell in line.strip("│┃ \n").replace("┃", "│").split("│")] for line in out.splitlines()]
    named = ["kind", "file", "rows_in", "accepted", "exact_duplicates", "conflicting_duplicates", "quarantined", "warning"]
    assert lines[1] == named
    kind, _, *numbers = lines[3][:7]
    assert kind == "clicks"
    assert int(numbers[0].replace(",", "")) == sum(int(number.replace(",", "")) for number in numbers[1:])
    names = [path.name for path in (shop_settings.raw / "clicks" / "day=2024-05-01").iterdir() if not path.name.startswith("_")]
    assert sorted(line[1] for line in lines if line[0] == "clicks") == sorted(names)


def test_vacuum_says_how_many_files_it_removed_of_each_table(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        run_json(capsys, "ingest", "2024-05-01", "--kind", "clicks")
    assert run_json(capsys, "vacuum")["removed"]["clicks"] == 0
    monkeypatch.setenv("ESMM_LAKE__KEEP", "PT0S")
    assert run_json(capsys, "vacuum")["removed"]["clicks"] == 1
    assert not open_lake(shop_settings).scan(CLICKS, date(2024, 5, 1)).collect().is_empty()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ENOSPC, "No space left on device", "a.parquet"),
        OSError("No space left on device (os error 28)"),
        pl.exceptions.ComputeError("sink failed: No space left on device (os error 28)"),
        DeltaError("Generic LocalFileSystem error: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("step failed"),
    ],
)
def test_a_full_disk_is_status_1_and_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert shop_settings
    if isinstance(error, RuntimeError):
        error.__cause__ = OSError(errno.ENOSPC, "No space left on device")

    def fill(*_: object) -> None:
        raise error

    monkeypatch.setattr(steps, "aggregate", fill)
    status, out, err = run(capsys, "aggregate", "2024-05-01")
    assert (status, out) == (1, "")
    assert err.startswith("the disk is full: expected free space under ESMM_HOME and lake.uri, found none (")
    assert err.endswith("make room, then run the same command again\n")


def test_a_fault_of_the_program_is_not_passed_off_as_one_of_the_data(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop_settings

    def fail(*_: object) -> None:
        raise KeyError("samples")

    monkeypatch.setattr(steps, "aggregate", fail)
    with pytest.raises(KeyError):
        run(capsys, "aggregate", "2024-05-01")


@pytest.mark.parametrize(
    ("text", "shown"), [("ab ünï 日", "ab ünï 日"), ("a\x1b[2Jb\n\x00", "a\\x1b[2Jb\\n\\x00"), ("\u202egnp.exe", "\\u202egnp.exe")]
)
def test_what_a_log_holds_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert shortened(text) == shown
    assert len(shortened(text * 100, 20)) == 20


@pytest.mark.parametrize("step", ["aggregate", "publish", "train", "evaluate", "promote"])
@pytest.mark.parametrize(
    ("validated", "says"),
    [
        ({"success": False, "fingerprint": "a"}, "failed its validation; run `esmm validate 2024-05-01`"),
        ({"success": True, "fingerprint": "of samples labelled before"}, "labelled again after its validation"),
    ],
)
def test_no_later_step_goes_on_with_samples_that_did_not_pass(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, step: str, validated: dict[str, Any], says: str
) -> None:
    records, day = Records(shop_settings.root), date(2024, 5, 1)
    evaluation = {"models": {"challenger": {"version": "v"}}}
    earlier = {"label": {"fingerprint": "a"}, "validate": validated, "aggregate": {}, "train": {"version": "v"}, "evaluate": evaluation}
    for name, record in earlier.items():
        records.write(day, name, record)
    status, out, err = run(capsys, step, str(day))
    assert (status, out) == (1, "")
    assert says in err


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ('name = "x", kind = "id", column = "colour"', "field x reads column 'colour': expected one of user_id, "),
        ('name = "x", kind = "id", column = "converted"', "field x reads column 'converted'"),
        ('name = "x", kind = "number", column = "scene"', "a number can be read from, found scene of String"),
        ('name = "x", kind = "list", column = "scene"', "a list can be read from, found scene of String"),
        ('name = "x", kind = "id", column = "user_click_items_30d"', "found user_click_items_30d of List"),
    ],
)
def test_a_field_that_reads_what_no_sample_has_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, says: str
) -> None:
    profile = tmp_path / "profile.toml"
    text = shop_settings.profile_path.read_text()
    profile.write_text(text.replace("[settings.labels]", f"[[fields]]\n{field.replace(', ', chr(10))}\n\n[settings.labels]"))
    monkeypatch.setenv("ESMM_DATA__PROFILE", str(profile))
    status, _, err = run(capsys, "ingest", "2024-05-01")
    assert status == 2
    assert f"profile {profile}" in err
    assert says in err


@pytest.mark.parametrize(
    "command", [["ingest", "2024-05-01"], ["models"], ["simulate", "--out", "HOME", "--start", "2024-05-01", "--days", "1"]]
)
def test_a_home_that_cannot_be_a_folder_is_status_1_and_named(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, command: list[str]
) -> None:
    home = shop_settings.root
    home.write_text("a file")
    status, out, err = run(capsys, *(str(home) if argument == "HOME" else argument for argument in command))
    assert (status, out) == (1, "")
    assert str(home) in err
    assert "check the path" in err


def test_after_a_failed_ingest_the_day_cannot_be_labelled_with_what_an_earlier_one_read(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_json(capsys, "ingest", "2024-05-01")
    raw = tmp_path / "broken"
    shutil.copytree(shop_settings.raw, raw)
    next((raw / "purchases" / "day=2024-05-01").iterdir()).write_bytes(b"torn")
    monkeypatch.setenv("ESMM_DATA__RAW", str(raw))
    assert run(capsys, "ingest", "2024-05-01")[0] == 1
    status, _, err = run(capsys, "label", "2024-05-01")
    assert status == 1
    assert "ingest-purchases of 2024-05-01 has not run; run `esmm ingest 2024-05-01` first" in err


def test_train_tells_what_became_of_the_ids(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {"field": "item_id", "table": "item_id", "entries": 15_366, "unknown_share": 0.0, "collision_share": None, "admitted": 31}
    monkeypatch.setattr(steps, "train", lambda *_, **__: {"version": "v1", "ids": [ids]})
    status, out, _ = run(capsys, "train", "2024-05-01")
    assert status == 0
    assert "version: v1" in out
    row = next(line for line in out.splitlines() if "15,366" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["item_id", "item_id", "15,366", "0.0%", "", "31"]
    assert run_json(capsys, "train", "2024-05-01")["ids"] == [ids]
