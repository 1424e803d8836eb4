"""The command line: exit statuses, what goes to stdout, and the messages a person reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.cli import main
from components.settings import Settings


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
        (["lookup", "shop", "1"], "shop"),
        (["fly"], "fly"),
        (["label", "2024-05-01", "--settings", "absent.toml"], "absent.toml: no such file"),
        (["demo", "--raw", "."], "--raw needs --profile and --from"),
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
        (["lookup", "user", "1"], "nothing has been published"),
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
    monkeypatch.setenv("ESMM_HOME", str(tmp_path))
    raw = tmp_path / "raw"
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
