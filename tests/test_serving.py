"""A user's candidates ranked, a day scored into a file and a scorer exported, on a home whose tables are written by hand."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from components import serving
from components.checkpoints import Checkpoint, CheckpointStore
from components.errors import CheckpointError, DataError, MissingInputError, RegistryError
from components.inputs import ONE_DAY, assembled, midnight, open_lake
from components.model.encoding import Layout
from components.model.network import Network
from components.model.restore import describe
from components.model.scoring import score
from components.records import Records
from components.settings import Ranking, Settings, load_settings, with_ranking
from components.tables import IMPRESSIONS, ITEM_FEATURES, SAMPLES, USER_CATEGORY_FEATURES, USER_FEATURES, Table

EVE, DAY = date(2024, 5, 1), date(2024, 5, 2)
PROFILE = """
name = "shop"
category = "kind"
price = "price"

[impressions]
columns = { impression_id = "i", user_id = "u", item_id = "t", exposed_at = "e" }
context = { kind = "string", price = "float", scene = "string", member = "boolean" }
[clicks]
columns = { impression_id = "i", user_id = "u", item_id = "t", clicked_at = "c" }
[purchases]
columns = { order_id = "o", user_id = "u", item_id = "t", purchased_at = "p" }
[settings.model]
embedding_width = 3
hidden = [4]
dupn = { sequence = "behaviour", user_width = 4, state_width = 3, attention_width = 2, hidden = [3] }
"""
FIELDS = [
    ("user_id", "id", 'buckets = 20\nside = "user"'),
    ("item_id", "id", "buckets = 20"),
    ("kind", "id", "buckets = 10"),
    ("scene", "id", "buckets = 10"),
    ("member", "id", 'buckets = 5\nside = "user"'),
    ("item_click_count_7d", "number", "buckets = 20"),
    ("user_category_click_count_7d", "number", "buckets = 20"),
    ("behaviour", "list", 'column = "user_behaviour_items_30d"\ntable = "item_id"\nside = "user"'),
    ("ages", "list", 'column = "user_behaviour_times_30d"\nbuckets = 40\nages = true\nbeside = "behaviour"\nside = "user"'),
]
SHOWN = datetime(2024, 5, 1, 12, tzinfo=UTC)


def frame_of(table: Table, settings: Settings, rows: list[dict[str, Any]]) -> pl.LazyFrame:
    schema = {name: dtype for name, dtype in table.schema(settings.profile).items() if name not in table.partition}
    return pl.DataFrame([{**dict.fromkeys(schema), **row} for row in rows], schema=schema).lazy()


def impression(number: int, item: str, kind: str, price: float, minutes: int = 0) -> dict[str, Any]:
    at = SHOWN + timedelta(minutes=minutes)
    return {
        "impression_id": f"i{number}",
        "user_id": "ann",
        "item_id": item,
        "exposed_at": at,
        "kind": kind,
        "price": price,
        "scene": "home",
    }


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Features of two users and three items as of the end of EVE, what was shown on EVE, and a day of samples after it."""
    path = tmp_path / "profile.toml"
    fields = "".join(f'[[fields]]\nname = "{name}"\nkind = "{kind}"\n{rest}\n' for name, kind, rest in FIELDS)
    path.write_text(PROFILE + fields)
    for name, value in {"SETTINGS": "", "HOME": str(tmp_path / "home"), "DATA__PROFILE": str(path)}.items():
        monkeypatch.setenv(f"ESMM_{name}", value)
    return fill(load_settings())


def fill(settings: Settings) -> Settings:
    lake, records = open_lake(settings), Records(settings.root)
    seen = int((SHOWN - timedelta(hours=1)).timestamp() * 1e6)
    lists = {"user_behaviour_items_30d": ["hat", "shoe"], "user_behaviour_times_30d": [seen, seen - 10**9]}
    lake.replace(USER_FEATURES, EVE, frame_of(USER_FEATURES, settings, [{"user_id": "ann", **lists}, {"user_id": "bob"}]))
    items = [{"item_id": item, "item_click_count_7d": clicks} for item, clicks in (("glove", 9), ("hat", 1), ("shoe", 40))]
    lake.replace(ITEM_FEATURES, EVE, frame_of(ITEM_FEATURES, settings, items))
    pairs = [{"user_id": "ann", "category": "head", "user_category_click_count_7d": 30}]
    lake.replace(USER_CATEGORY_FEATURES, EVE, frame_of(USER_CATEGORY_FEATURES, settings, pairs))
    shown = [impression(1, "hat", "head", 5.0, 1), impression(2, "hat", "head", 7.0, 2), impression(3, "shoe", "feet", 30.0)]
    lake.replace(IMPRESSIONS, EVE, frame_of(IMPRESSIONS, settings, shown))
    later = [impression(number, item, "head", 9.0, 24 * 60 + number) for number, item in enumerate(["hat", "shoe", "cap"] * 100)]
    records.write(DAY, "label", {"table_version": lake.replace(SAMPLES, DAY, frame_of(SAMPLES, settings, later))})
    for step in ("aggregate", "ingest-impressions"):
        records.write(EVE, step, {})
    return settings


def saved(settings: Settings, **manifest: Any) -> str:
    """A version whose parameters are all random, and large enough to matter."""
    layout = Layout.of(settings.profile)
    network = Network(layout, settings.model)
    for tensor in network.state_dict().values():
        tensor.normal_(std=0.5, generator=torch.Generator().manual_seed(tensor.numel()))
    return CheckpointStore(settings.root).save(
        EVE, Checkpoint(dict(network.state_dict()), {}, {**describe(layout, settings.model), **manifest})
    )


def choosing(settings: Settings, bottom: str) -> Settings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"bottom": bottom})})


def expected(settings: Settings, version: str, user: str, contexts: list[dict[str, Any]]) -> pl.DataFrame:
    """What `score` says of the candidates as samples of DAY, written and assembled as training has them."""
    lake = open_lake(settings)
    rows = [{**row, "impression_id": row["item_id"], "user_id": user, "exposed_at": midnight(DAY)} for row in contexts]
    version_of = lake.replace(SAMPLES, DAY, frame_of(SAMPLES, settings, rows))
    Records(settings.root).write(DAY, "label", {"table_version": version_of})
    samples = assembled(DAY, settings, first=midnight(DAY), end=midnight(DAY + ONE_DAY))
    return score(samples, CheckpointStore(settings.root).load(version), profile=settings.profile, settings=settings).sort("impression_id")


@pytest.mark.parametrize("bottom", ["shared_embedding", "dupn"])
@pytest.mark.parametrize("user", ["ann", "stranger"])
def test_candidates_have_the_scores_of_the_samples_they_would_be(settings: Settings, bottom: str, user: str) -> None:
    settings = choosing(settings, bottom)
    version = saved(settings)
    found = serving.rank(user, ["shoe", "hat", "unheard of", "hat"], settings, model=version)
    contexts = [
        {"item_id": "hat", "kind": "head", "price": 7.0},
        {"item_id": "shoe", "kind": "feet", "price": 30.0},
        {"item_id": "unheard of"},
    ]
    truth = expected(settings, version, user, contexts)
    assert (found["day"], found["model"]) == (str(DAY), version)
    by_item = sorted(found["items"], key=lambda row: row["item_id"])
    assert [(row["item_id"], row["price"]) for row in by_item] == [("hat", 7.0), ("shoe", 30.0), ("unheard of", None)]
    for name in ("pctr", "pcvr"):
        assert [row[name] for row in by_item] == pytest.approx(truth[name].to_list(), abs=1e-6)
    assert truth["pctr"].std() > 0.01  # type: ignore[operator]  # a number
    assert [row["rank"] for row in found["items"]] == [1, 2, 3]
    assert found["items"] == sorted(found["items"], key=lambda row: -row["pctr"] * row["pcvr"])


@pytest.mark.parametrize(
    ("weights", "order", "first"),
    [
        ({}, ["b", "a", "c", "d"], 0.06),
        ({"beta": 0}, ["a", "b", "c", "d"], 0.4),
        ({"gamma": 1}, ["c", "d", "b", "a"], 3.0),
        ({"alpha": 0, "beta": 2, "gamma": -1}, ["b", "a", "c", "d"], 0.02),
    ],
)
def test_the_ranking_by_hand_and_ties_by_id(weights: dict[str, float], order: list[str], first: float) -> None:
    rows = [("d", 0.1, 0.3, 100.0), ("c", 0.1, 0.3, 100.0), ("a", 0.4, 0.1, 1.0), ("b", 0.3, 0.2, 2.0)]
    scores = pl.DataFrame(rows, schema=["item_id", "pctr", "pcvr", "price"], orient="row")
    ranked = serving.rank_scores(scores, Ranking(**weights))
    assert ranked["item_id"].to_list() == order
    assert ranked["score"][0] == pytest.approx(first)
    assert ranked["rank"].to_list() == [1, 2, 3, 4]


def test_a_file_of_candidates_says_the_same_in_every_format(settings: Settings, tmp_path: Path) -> None:
    version = saved(settings)
    rows = pl.DataFrame({"item_id": ["shoe", "7"], "price": [2.5, 3.0], "member": [True, None], "kind": ["feet", None]})
    rows.write_csv(tmp_path / "a.csv")
    rows.write_ndjson(tmp_path / "a.ndjson")
    pl.concat([rows[::-1], rows]).write_parquet(tmp_path / "a.parquet")
    csv, ndjson, parquet = (
        serving.rank("ann", tmp_path / f"a.{suffix}", settings, model=version) for suffix in ("csv", "ndjson", "parquet")
    )
    assert csv == ndjson == parquet
    assert {row["item_id"]: row["price"] for row in csv["items"]} == {"shoe": 2.5, "7": 3.0}
    contexts = [{"item_id": "7", "price": 3.0}, {"item_id": "shoe", "price": 2.5, "kind": "feet", "member": True}]
    truth = expected(settings, version, "ann", contexts)
    assert sorted(row["pctr"] for row in csv["items"]) == pytest.approx(sorted(truth["pctr"].to_list()), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("item_id,colour\nhat,red\n", r"expected item_id and context columns of the profile \(kind, price, scene, member\), found colour"),
        ("kind\nhead\n", "found no item_id"),
        ("item_id,price\nhat,cheap\n", "expected Float64 in column price, found 'cheap'"),
        ("item_id,price\nhat,1\n,2\n", "expected an item_id in every row, found 1 rows without"),
        ("item_id,price\nhat,1\nhat,2\n", "expected one row for each item, found others of hat"),
        ("item_id,price\nhat,1,2\n", "expected a whole csv file"),
        ("item_id,price\n", "expected at least one item, found none"),
    ],
)
def test_a_file_that_is_wrong_says_where(settings: Settings, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        serving.rank("ann", tmp_path / "a.csv", settings)
    with pytest.raises(DataError, match=r"expected a file named \*.csv"):
        serving.rank("ann", tmp_path / "a.xls", settings)


def test_a_price_is_needed_only_where_it_counts(settings: Settings) -> None:
    version = saved(settings)
    assert len(serving.rank("ann", ["hat", "cap"], settings, model=version)["items"]) == 2
    priced = with_ranking(settings, {"gamma": 1.0})
    with pytest.raises(DataError, match=r"expected a price above 0 of every item, found none of cap; give price in the file"):
        serving.rank("ann", ["hat", "cap"], priced, model=version)
    assert serving.rank("ann", ["hat", "shoe"], priced, model=version)["items"][0]["price"] == 30.0


def test_days_without_features_are_refused(settings: Settings) -> None:
    with pytest.raises(
        MissingInputError, match=r"expected features as of the end of 2024-05-02, found none; .* from 2024-05-02 to 2024-05-02"
    ):
        serving.rank("ann", ["hat"], settings, day=DAY + ONE_DAY)
    (Records(settings.root).path(EVE, "aggregate")).unlink()
    with pytest.raises(MissingInputError, match="run `esmm run DAY` first"):
        serving.rank("ann", ["hat"], settings)


def test_the_users_half_must_be_one(settings: Settings, tmp_path: Path) -> None:
    settings = choosing(settings, "dupn")
    (tmp_path / "a.csv").write_text("item_id,member\nhat,true\nshoe,false\n")
    with pytest.raises(DataError, match=r'expected fields with side = "user" to be the same for all items, found 2 values'):
        serving.rank("ann", tmp_path / "a.csv", settings, model=saved(settings))


def test_the_champion_is_what_the_registry_says(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    version, champions = saved(settings), [None]
    monkeypatch.setattr(serving, "registry", lambda _: SimpleNamespace(champion=lambda: champions[0]))
    with pytest.raises(RegistryError, match=r"expected a champion, found none; promote a day first"):
        serving.rank("ann", ["hat"], settings)
    champions[0] = SimpleNamespace(version=version)  # type: ignore[call-overload]  # a champion
    assert serving.rank("ann", ["hat"], settings)["model"] == version
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        serving.rank("ann", ["hat"], settings, model="2024-05-09-0123456789ab")


def test_a_days_scores_are_those_of_score_and_its_bytes_the_same(settings: Settings, tmp_path: Path) -> None:
    version, out = saved(settings), tmp_path / "new" / "scores.parquet"
    told = serving.score_day(DAY, out, settings, model=version)
    assert told["rows"] == 300
    samples = assembled(DAY, settings, first=midnight(DAY), end=midnight(DAY + ONE_DAY))
    assert pl.read_parquet(out).equals(
        score(samples, CheckpointStore(settings.root).load(version), profile=settings.profile, settings=settings)
    )
    assert pq.read_schema(out).metadata == {b"day": b"2024-05-02", b"model": version.encode()}
    before = out.read_bytes()
    smaller = settings.model_copy(update={"train": settings.train.model_copy(update={"chunk_rows": 7})})
    serving.score_day(DAY, out, smaller, model=version)
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["scores.parquet"]


def test_a_day_without_samples_and_a_scoring_that_fails_leave_no_file(settings: Settings, tmp_path: Path) -> None:
    version = saved(settings)
    Records(settings.root).write(DAY + ONE_DAY, "label", {"table_version": 0})
    with pytest.raises(DataError, match=r"score-day 2024-05-03: expected samples, found none"):
        serving.score_day(DAY + ONE_DAY, tmp_path / "out" / "a.parquet", settings, model=version)
    with pytest.raises(CheckpointError, match="does not fit"):
        serving.score_day(DAY, tmp_path / "out" / "a.parquet", choosing(settings, "mmoe"), model=version)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("form", "program"), [("torch", "scorer.pt2"), ("onnx", "scorer.onnx")])
def test_an_export_is_a_whole_new_folder(settings: Settings, tmp_path: Path, form: serving.Form, program: str) -> None:
    version, out = saved(settings), tmp_path / "exported"
    found = serving.export(out, settings, model=version, form=form)
    told = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert told["version"] == version
    assert told["files"] == {program: hashlib.sha256((out / program).read_bytes()).hexdigest()}
    assert sorted(path.name for path in out.iterdir()) == sorted(found["files"]) == ["manifest.json", program]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "home", "profile.toml"]
    with pytest.raises(DataError, match="expected no such folder yet"):
        serving.export(out, settings, model=version)
