"""A profile that changes between two days: the challenger carries the parent over, the champion is judged by the fields that it has."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from components import serving, steps
from components.checkpoints import CheckpointStore
from components.inputs import ONE_DAY, assembled, holdout_start, midnight
from components.model.own_fields import own_fields
from components.model.scoring import score
from components.promote.gate import Verdict
from components.records import Records
from components.settings import Settings, load_settings
from components.tables import PREDICTIONS, SAMPLES
from tests.conftest import FIRST, set_shop_environment

BRAND = '[[fields]]\nname = "brand_id"\nkind = "id"\nbuckets = 2048\n\n'
SHOP = 'name = "shop_id"\nkind = "id"\nbuckets = 4096\n'
RENAMED = 'name = "shop"\nwas = "shop_id"\ncolumn = "shop_id"\nkind = "id"\nbuckets = 5000\n'
PRICE = 'name = "price"\nkind = "number"\nbuckets = 64\n'
LEARNED = 'name = "price"\nkind = "number"\nbucketing = "quantile"\nbuckets = 9\n'
SEGMENT = '[[fields]]\nname = "segment"\nkind = "id"\nbuckets = 64\n\n'
COLUMN = ', segment = "string"'
NEW = '[[fields]]\nname = "position_shown"\ncolumn = "position"\nkind = "number"\nbuckets = 16\n\n'
SECOND = FIRST + ONE_DAY
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def changed(shop: Path, tmp_path_factory: pytest.TempPathFactory):
    """Return the settings of two days and of the second, the profile having changed between them; the first day's model is the champion."""
    folder, settings = tmp_path_factory.mktemp("changed"), []
    whole = (shop / "profile.toml").read_text().replace(PRICE, LEARNED)
    assert all(part in whole for part in (BRAND, SHOP, LEARNED, SEGMENT, COLUMN))
    before, after = whole.replace(SEGMENT, "").replace(COLUMN, ""), whole.replace(BRAND, NEW).replace(SHOP, RENAMED)
    with pytest.MonkeyPatch.context() as patch:
        set_shop_environment(shop, folder, patch)
        for number, text in enumerate((before, after)):
            profile = folder / f"{number}.toml"
            profile.write_text(text)
            patch.setenv("ESMM_DATA__PROFILE", str(profile))
            settings.append(load_settings())
            steps.run_day(FIRST + timedelta(days=number), settings[-1])
            if not number:
                champion = str(CheckpointStore(settings[0].root).head(FIRST))
                steps.registry(settings[0]).apply(Verdict("promote", "chosen by hand"), champion, FIRST)
    return settings


def test_the_challenger_says_what_it_carried_over(changed: list[Settings]):
    trained = Records(changed[1].root).require(SECOND, "train")
    assert trained["parent"] == CheckpointStore(changed[1].root).head(FIRST)
    told = trained["carried"]
    assert {name: told["fields"][name] for name in ("user_id", "shop", "position_shown", "segment", "brand_id")} == {
        "user_id": "kept",
        "shop": "was shop_id",
        "position_shown": "fresh",
        "segment": "fresh",
        "brand_id": "dropped",
    }
    assert told["tables"] == {
        "position_shown": "fresh",
        "segment": "fresh",
        "shop": "was shop_id, 4096 rows, 5000 now: ids keep what was learned",
        "brand_id": "dropped",
    }


def test_a_new_context_column_is_null_on_the_days_before_it(changed: list[Settings]):
    samples = steps.open_lake(changed[1]).scan(SAMPLES, FIRST, SECOND).group_by("day").agg(pl.col("segment").is_not_null().any())
    assert dict(samples.collect().iter_rows()) == {FIRST: False, SECOND: True}


def test_the_champion_is_scored_by_its_own_fields_and_the_gate_speaks(changed: list[Settings]):
    before, after = changed
    evaluated, promoted = (Records(after.root).require(SECOND, step) for step in ("evaluate", "promote"))
    champion = CheckpointStore(after.root).load(evaluated["models"]["champion"]["version"])
    assert champion.version == CheckpointStore(after.root).head(FIRST)
    assert evaluated["difference"]["ctr_auc"]["value"] is not None
    assert promoted["verdict"] in ("promote", "hold")
    rows = assembled(SECOND, after, first=holdout_start(SECOND, after), end=midnight(SECOND + ONE_DAY))
    expected = score(rows, champion, profile=before.profile, settings=before)
    stored = steps.open_lake(after).scan(PREDICTIONS, SECOND).filter(role="champion").select(expected.columns).collect()
    assert stored.equals(expected)


def test_the_champion_serves_by_its_own_fields(changed: list[Settings], tmp_path: Path):
    before, after = changed
    champion = str(CheckpointStore(after.root).head(FIRST))
    for settings, out in ((before, "before.parquet"), (after, "after.parquet")):
        serving.score_day(SECOND, tmp_path / out, settings, model=champion)
    assert (tmp_path / "after.parquet").read_bytes() == (tmp_path / "before.parquet").read_bytes()
    items = [f"i{number}" for number in range(3)]
    ranked = [serving.rank("u1", items, settings, model=champion)["items"] for settings in changed]
    assert ranked[0] == ranked[1]


def test_a_column_that_is_gone_is_missing_in_every_row_and_one_that_moved_is_read_where_it_is(changed: list[Settings], caplog):
    before, after = changed
    champion = CheckpointStore(after.root).load(str(CheckpointStore(after.root).head(FIRST)))
    rows = assembled(SECOND, after, first=midnight(SECOND), end=midnight(SECOND + ONE_DAY))
    moved = replace_field(after, "shop", column="merchant")
    own = own_fields(rows.rename({"shop_id": "merchant"}).drop("brand_id"), champion, moved)
    assert own.gone == ["brand_id"]
    assert "no column for brand_id any more" in caplog.text
    without = rows.with_columns(brand_id=pl.lit(None, pl.String))
    expected = score(without, champion, profile=before.profile, settings=before)
    assert score(own.rows, champion, profile=own.profile, settings=after).equals(expected)


def replace_field(settings: Settings, name: str, **values):
    fields = tuple(field.model_copy(update=values) if field.name == name else field for field in settings.profile.fields)
    return settings.profile.model_copy(update={"fields": fields})
