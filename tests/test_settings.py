"""Settings: which value wins, and what a mistake says."""

from datetime import timedelta
from pathlib import Path

import pytest

from components.errors import SettingsError
from components.profile import Arrival
from components.settings import load_settings

PROFILE = """
name = "shop"
impressions.columns = { impression_id = "id", item_id = "item", exposed_at = "t" }
clicks.columns = { item_id = "item", clicked_at = "t" }
purchases.columns = { order_id = "o", item_id = "item", purchased_at = "t" }
fields = [{ name = "item_id", kind = "id" }]
settings.labels.click_window = "PT1H"
settings.gate.min_positives = 7
"""


@pytest.fixture(autouse=True)
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "profile.toml"
    path.write_text(PROFILE)
    monkeypatch.setenv("ESMM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ESMM_DATA__PROFILE", str(path))
    monkeypatch.setenv("ESMM_SETTINGS", "")  # not delenv, which would leave what load_settings sets
    return path


def test_the_profile_overrides_the_defaults() -> None:
    settings = load_settings()
    assert (settings.labels.click_window, settings.labels.conversion_window) == (timedelta(hours=1), timedelta(days=7))


def test_the_file_overrides_the_profile_and_the_environment_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[gate]\nmin_positives = 8\ncvr_auc_margin = 0.5\n[labels]\nconversion_window = "P2D"\n')
    monkeypatch.setenv("ESMM_GATE__CVR_AUC_MARGIN", "0.25")
    settings = load_settings(file)
    assert (settings.gate.min_positives, settings.gate.cvr_auc_margin) == (8, 0.25)
    assert (settings.labels.click_window, settings.labels.conversion_window) == (timedelta(hours=1), timedelta(days=2))


def test_esmm_settings_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[gate]\nmin_positives = 9\n")
    monkeypatch.setenv("ESMM_SETTINGS", str(file))
    assert load_settings().gate.min_positives == 9


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[gate]\nmin_positive = 9\n", "gate.min_positive"),
        ("[gates]\nx = 1\n", "gates"),
        ("[gate]\nmin_positives = 'x'\n", "gate.min_positives"),
    ],
)
def test_a_wrong_key_or_value_in_the_file_is_named(tmp_path: Path, text: str, names: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=names) as error:
        load_settings(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("name", ["ESMM_GATES__MARGIN", "ESMM_TYPO", "ESMM_GATE__MARGN"])
def test_a_variable_that_is_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=name.rsplit("__", maxsplit=1)[-1].lower() if "MARGN" in name else name):
        load_settings()


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: no such file"):
        load_settings(tmp_path / "absent.toml")


def test_the_fingerprint_follows_what_decides_a_checkpoint_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings().fingerprint
    monkeypatch.setenv("ESMM_GATE__MIN_POSITIVES", "50")
    assert load_settings().fingerprint == before
    monkeypatch.setenv("ESMM_TRAIN__SEED", "1")
    assert load_settings().fingerprint != before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('item_id = "item", exposed_at = "t"', 'item_id = "item"', r"\[impressions.columns\] lacks exposed_at"),
        ('order_id = "o"', 'order_id = "o", shop = "s"', "unknown canonical columns shop"),
        ('kind = "id" }', 'kind = "id" }, { name = "x", kind = "list", table = "y" }', "shares table y, which no field owns"),
        ('kind = "id" }', 'kind = "id" }, { name = "item_id", kind = "id" }', "fields repeat item_id"),
        ("fields = [", 'impressions.context = { clicked = "boolean" }\nfields = [', "already have: clicked"),
        ('name = "shop"', 'name = "shop"\ncategory = "cat"', "category cat is not a context column"),
        ('name = "shop"', 'name = "shop"\nprice = "cost"', "price cost is not a context column"),
        ("fields = [", 'impressions.context = { cost = "string" }\nprice = "cost"\nfields = [', "price cost: expected a context column"),
        ('name = "shop"', 'name = "shop"\narrival.actions = { hours = "0-23" }', "kinds that the profile does not have: actions"),
        ('name = "shop"', 'name = "shop"\narrival.clicks = { hours = "0-24" }', "arrival.clicks.hours: expected hours from 0 to 23"),
        ('name = "shop"', 'name = "shop"\narrival.clicks = { hours = "1-" }', "arrival.clicks.hours: expected hours from 0 to 23"),
        ('name = "shop"', 'name = "shop"\narrival.clicks = { hours = "0-5,,8" }', "arrival.clicks.hours: expected hours from 0 to 23"),
        ('name = "shop"', 'name = "shop"\narrival.clicks = { files = "*-{hour}.csv" }', "files needs {hour} in it, and hours"),
    ],
)
def test_a_wrong_profile_is_refused_by_file_and_key(profile: Path, old: str, new: str, says: str) -> None:
    profile.write_text(PROFILE.replace(old, new))
    with pytest.raises(SettingsError, match=says):
        load_settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[labels]\nclick_window = '-P1D'\n", "labels.click_window: expected greater than or equal to 0 seconds"),
        ("[evaluation]\nholdout = 'P2D'\n", "evaluation.holdout: expected less than 1 day"),
        ("[train]\nlearning_rate = -1\n", "train.learning_rate: expected greater than or equal to 0, found -1"),
        ("[train]\nlearning_rate = nan\n", "train.learning_rate"),
        ("[model]\nhidden = [200, 0]\n", "model.hidden.1: expected greater than or equal to 1, found 0"),
        ("[validation]\nctr_band = [0.5, 0.1]\n", "validation.ctr_band: expected the lower bound, then a higher one"),
        ("[validation]\nmax_null_share = 7\n", "validation.max_null_share: expected less than or equal to 1, found 7"),
        ("[services]\nairflow_port = 99999\n", "services.airflow_port: expected less than or equal to 65535"),
        ("train = 3\n", "train: expected a table of keys"),
        ("home = \n", "settings.toml: expected a TOML file"),
    ],
)
def test_a_value_that_no_day_could_run_with_is_refused_by_key(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert says in str(error.value)


@pytest.mark.parametrize("name", ["settings", "profile"])
def test_a_file_that_is_no_text_and_a_folder_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    variable = {"settings": "ESMM_SETTINGS", "profile": "ESMM_DATA__PROFILE"}[name]
    for path in (binary, tmp_path):
        monkeypatch.setenv(variable, str(path))
        with pytest.raises(SettingsError, match=f"{name} {path}: expected a TOML file"):
            load_settings()


def test_a_variable_that_is_no_json_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESMM_MODEL__HIDDEN", "200,80")
    with pytest.raises(SettingsError, match=r'"model".*written as JSON'):
        load_settings()


@pytest.mark.parametrize("text", ["[database]\nurll = 'hunter2'\n", "database = 'hunter2'\n", "[publish]\nonline_url = ['hunter2']\n"])
def test_a_misplaced_secret_is_not_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('clock.zone = "Mars/Phobos"', "clock.zone: expected an IANA zone"),
        ('purchases.delimiter = ";;"', "purchases.delimiter"),
        ('clicks.delimiter = ""', "clicks.delimiter"),
    ],
)
def test_a_zone_or_delimiter_that_cannot_be_is_refused(profile: Path, line: str, says: str) -> None:
    profile.write_text(f"{line}\n{PROFILE}")
    with pytest.raises(SettingsError, match=says):
        load_settings()


@pytest.mark.parametrize(("hours", "needed"), [("", ()), ("5", (5,)), ("22-23,0-1", (0, 1, 22, 23)), ("0-23", tuple(range(24)))])
def test_the_hours_of_an_arrival_are_spans_of_hours(hours: str, needed: tuple[int, ...]) -> None:
    assert Arrival(hours=hours).needed_hours == needed
