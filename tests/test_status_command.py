"""`esmm status` of a home where nothing ran, and of one with two real days."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import steps
from components.checkpoints import CheckpointStore
from components.cli import main
from components.promote.registry import Registry
from components.records import Records
from components.settings import Settings, load_settings
from components.simulate.world import simulate
from tests.chains import day
from tests.conftest import FIRST, set_shop_environment


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = 0
    try:
        main(list(arguments))
    except SystemExit as stopped:
        code = int(str(stopped.code or 0))
    return code, capsys.readouterr().out


def test_in_a_home_where_nothing_ran_the_chain_is_not_whole_and_no_registry_is_made(
    capsys: pytest.CaptureFixture[str], shop_settings: Settings
) -> None:
    code, said = run(capsys, "status")
    assert code == 1
    assert said.endswith("nothing has run; run: esmm run DAY\n")
    code, said = run(capsys, "status", "--to", "2024-05-02", "--json")
    assert (code, json.loads(said)["repair"]) == (1, "esmm run 2024-05-02")
    assert not shop_settings.root.exists()
    assert run(capsys, "status", "--from", "2024-05-02", "--to", "2024-05-01")[0] == 2


@pytest.fixture(scope="module")
def real(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run two days of the tiny shop, and return the folder of their home; its registry is a SQLite file."""
    folder = tmp_path_factory.mktemp("status")
    with pytest.MonkeyPatch.context() as patch:
        set_shop_environment(shop, folder, patch)
        patch.setenv("ESMM_PUBLISH__REGISTRY_URL", f"sqlite:///{folder / 'feast.db'}")
        patch.setattr(steps, "registry", lambda _: Registry(f"sqlite:///{folder / 'mlflow.db'}"))
        for number in (1, 2):
            steps.run_day(day(number), load_settings())
        yield folder


def test_real_days_are_whole_until_an_early_one_has_run_on_other_logs_and_the_printed_command_mends_them(
    real: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = run(capsys, "status", "--json")
    whole = json.loads(said)
    assert (code, whole["whole"], whole["repair"]) == (0, True, ""), said
    first, second = (CheckpointStore(real / "home").head(day(number)) for number in (1, 2))
    assert [(link["version"], link["parent"]) for link in whole["days"]] == [(first, None), (second, first)]
    assert whole["champion"] == Records(real / "home").require(day(2), "promote")["champion"]

    outcomes = Records(real / "home").require(day(1), "relabel")["table_version"]
    assert run(capsys, "run", str(day(1)))[0] == 0
    assert Records(real / "home").require(day(1), "relabel")["table_version"] > outcomes
    assert run(capsys, "status")[0] == 0

    simulate(real / "corrected", start=FIRST, days=2, impressions_per_day=4000, seed=6)
    monkeypatch.setenv("ESMM_DATA__RAW", str(real / "corrected"))
    assert run(capsys, "run", str(day(1)))[0] == 0
    code, said = run(capsys, "status")
    command = "esmm run 2024-05-02"
    assert code == 1
    assert command in said.splitlines()[-1]

    assert run(capsys, *command.split()[1:])[0] == 0
    assert run(capsys, "status")[0] == 0
