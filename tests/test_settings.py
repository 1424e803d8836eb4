"""Settings: which value wins, and what a mistake says."""

from datetime import timedelta
from pathlib import Path

import pytest

from components.errors import SettingsError
from components.model_fields import ModelField
from components.profile import Arrival
from components.settings import Settings, load_settings
from components.tables import check_fields
from tests.conftest import PLAIN_PROFILE

PROFILE = f"""{PLAIN_PROFILE}settings.labels.click_window = "PT1H"
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
    ("declared", "says"),
    [
        (
            'kind = "number", values = ["a"]',
            "expected a field of kind id or a list of ids, found kind number; numbers take boundaries",
        ),
        ('kind = "id", table = "item_id", values = ["a"]', "expected them on the field that owns table item_id; move them there"),
        ('kind = "id", values = ["a", "b", "a"]', "values: expected each value once, found 'a' again"),
        ('kind = "id", values = ["a"], buckets = 9', "values: they decide how many rows the table has; leave out buckets"),
        ('kind = "id", values = [1]', "fields.1.values.0: expected a valid string, found 1"),
        ('kind = "number", boundaries = [1]', 'boundaries: expected bucketing = "quantile" beside them; add it'),
        ('kind = "number", bucketing = "equal"', "fields.1.bucketing: expected 'log' or 'quantile', found 'equal'"),
        ('kind = "id", bucketing = "quantile"', "expected a number, or a list with ages, found kind id; leave bucketing out"),
        ('kind = "number", bucketing = "quantile"', "expected buckets from 3 to 1024, one of them for missing numbers, found 65536"),
        (
            'kind = "number", bucketing = "quantile", buckets = 2',
            "one of them for missing numbers, found 2;",
        ),
        ('kind = "number", bucketing = "quantile", buckets = 9, scale = 2', "scale is for bucketing log; leave it out"),
        ('kind = "number", bucketing = "quantile", boundaries = [1], buckets = 9', "they decide how many rows the table has"),
        ('kind = "number", bucketing = "quantile", boundaries = [1, 1]', "each higher than the one before, found [1.0, 1.0]"),
        ('kind = "number", bucketing = "quantile", boundaries = [0, inf]', "expected finite numbers, each higher than the one before"),
        ('kind = "number", bucketing = "quantile", boundaries = [nan]', "expected finite numbers, each higher than the one before"),
        ('kind = "number", bucketing = "quantile", boundaries = [1], table = "price"', "expected a table of its own"),
        (
            'kind = "number", table = "rank"',
            "table rank, whose owner is a number bucketed by quantiles and shares it with none",
        ),
        ('kind = "number", table = "item_id"', "field x of kind number shares table item_id, whose rows are ids; drop table"),
        ('kind = "id", table = "price"', "field x of kind id shares table price, whose rows are numbers; drop table"),
        ('kind = "list", ages = true, bucketing = "quantile", buckets = 9', "ages need boundaries, in seconds; declare them"),
        ('kind = "id", of = ["item_id", "user_id"]', 'of: expected kind = "cross", found kind id; change the kind or leave of out'),
        (
            'kind = "cross", of = ["item_id"]',
            'of: expected two or three different id fields, such as of = ["user_id", "city"], found [\'item_id\']',
        ),
        ('kind = "cross", of = ["item_id", "item_id"]', "of: expected two or three different id fields"),
        ('kind = "cross"', "of: expected two or three different id fields"),
        ('kind = "cross", of = ["item_id", "user_id"], column = "c"', "owns its table; leave out column and table"),
        ('kind = "cross", of = ["item_id", "price"]', "of: expected id fields, found price; name two or three of ['item_id', 'user_id']"),
        ('kind = "cross", of = ["item_id", "city"]', "of: expected id fields, found city; name two or three of ['item_id', 'user_id']"),
        (
            'kind = "cross", of = ["item_id", "user_id"], side = "user"',
            "of the user's side, as the cross is, found item_id",
        ),
        ('kind = "id", table = "pair"', "field x shares table pair, whose owner is a cross and shares it with none; drop table"),
        ('kind = "id", fill = true', "fill: expected a list of ids that is beside no other; leave fill out"),
        ('kind = "list", beside = "seen", fill = true', "fill: expected a list of ids that is beside no other; leave fill out"),
        ('kind = "list", beside = "seen"', "field seen: fill: x is beside it, and has no entry for the fill; leave fill out"),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_name(profile: Path, declared: str, says: str) -> None:
    others = """, { name = "user_id", kind = "id", side = "user" }, { name = "price", kind = "number" },
    { name = "rank", kind = "number", bucketing = "quantile", boundaries = [1, 10] },
    { name = "pair", kind = "cross", of = ["item_id", "user_id"] }, { name = "seen", kind = "list", fill = true }]"""
    profile.write_text(PROFILE.replace('kind = "id" }]', f'kind = "id" }}, {{ name = "x", {declared} }}{others}'))
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert says in str(error.value)


def test_a_cross_reads_the_columns_of_its_parts_and_none_of_its_own(profile: Path) -> None:
    town = '{ name = "scene", kind = "id", column = "place" }, { name = "pair", kind = "cross", of = ["item_id", "scene"] }'
    context = 'impressions.context = { place = "string" }\n'
    profile.write_text(PROFILE.replace('kind = "id" }]', f'kind = "id" }}, {town}]').replace("clicks.columns", f"{context}clicks.columns"))
    found = load_settings().profile
    check_fields(found)
    assert found.columns == ("item_id", "place")


def test_declared_values_and_boundaries_decide_the_rows_of_a_table() -> None:
    assert ModelField(name="os", kind="id", values=("ios", "android")).rows == 4  # missing, each, any other
    assert ModelField(name="price", kind="number", bucketing="quantile", boundaries=(0, 10)).rows == 4  # missing, below, between, above
    assert ModelField(name="price", kind="number", bucketing="quantile", buckets=9).rows == 9


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


@pytest.mark.parametrize(
    ("chosen", "corrected"), [({}, True), ({"loss": "product"}, True), ({"loss": "esm2"}, False), ({"age_corrected": False}, False)]
)
def test_a_loss_that_can_corrects_for_young_labels_unless_it_is_told_not_to(chosen: dict[str, object], corrected: bool):
    assert Settings(model=chosen).model.age_corrected is corrected
