"""A parent whose profile has changed since: what it learned goes on where that means the same, and is refused where it does not."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch

from components.errors import CheckpointError, SettingsError
from components.evaluate.auc import placements
from components.model.encoding import Layout, encode
from components.model.own_fields import own_fields
from components.model.restore import recorded
from components.model.scoring import score
from components.train.carry import carried_over
from components.train.loop import fine_tune

ID = '{ name = "user_id", kind = "id", buckets = 200, side = "user" }'
ITEM = '{ name = "item_id", kind = "id", buckets = 400 }'
CLICKED = '{ name = "clicked_items", kind = "list", table = "item_id", side = "user" }'
PRICE = '{ name = "price", kind = "number", buckets = 64 }'
OS = '{ name = "os", kind = "id", values = ["ios", "android"] }'
CROSS = '{ name = "user_item", kind = "cross", of = ["user_id", "item_id"], buckets = 300 }'
BASE = (ID, ITEM, CLICKED, PRICE)
MORE = '{ name = "place", column = "position", kind = "number", buckets = 16 }'
MORE_LISTS = '{ name = "again", column = "clicked_items", kind = "list", table = "item_id", side = "user" }'
BESIDE = '{ name = "beside", column = "clicked_items", kind = "list", beside = "clicked_items", side = "user", buckets = 50 }'
ASKED = '{ name = "seen", column = "clicked_items", kind = "list", table = "item_id", pooling = "attention" }'
LEARNED = '{ name = "rank", column = "position", kind = "number", bucketing = "quantile", buckets = 5 }'
FAST = {"learning_rate": 0.02, "table_learning_rate": 0.3}
"""So that a few rows teach what can be told apart from nothing."""
DUPN = {"bottom": "dupn", "dupn": {"sequence": "clicked_items", "user_width": 8, "state_width": 6, "attention_width": 5, "hidden": [6]}}
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
BOTTOMS = {
    "shared_embedding": {"bottom": "shared_embedding"},
    "separate_embedding": {"bottom": "separate_embedding"},
    "shared_bottom": {"bottom": "shared_bottom", "shared_bottom": {"layers": [8], "hidden": [6]}},
    "mmoe": {"bottom": "mmoe", "mmoe": {"experts": 3, "expert_width": 8, "hidden": [6]}},
    "ple": {"bottom": "ple", "ple": {"levels": 2, "expert_width": 8, "hidden": [6]}},
    "dbmtl": {"bottom": "dbmtl"},
    "nfwfm": {"bottom": "nfwfm", "nfwfm": {"layers": [8], "hidden": [6]}},
    "dupn": DUPN,
}


@pytest.fixture
def make(make_settings):
    """Return a maker of settings with these fields, which keeps each profile apart."""
    from tests.train.conftest import PROFILE

    head, tail = PROFILE[: PROFILE.index("fields = [")], PROFILE[PROFILE.index("[impressions]") :]

    def made(*fields, model=None, rates=FAST):
        settings = make_settings(
            f"{head}fields = [\n{''.join(f'{field},' for field in fields)}\n]\n{tail}",
            model=model,
            **rates,
        )
        assert settings.profile.fields  # read now: the next settings have the same file
        return settings

    return made


@pytest.fixture
def samples(make_samples):
    return make_samples(400).with_columns(
        os=pl.Series(["ios", "android", "web", None] * 100),
        platform=pl.Series(["ios", "android", "web", None] * 100),
        exposed_at=pl.datetime_range(NOON, NOON + timedelta(seconds=399), "1s", eager=True),
    )


def train(samples, parent, settings):
    return fine_tune(samples.lazy(), parent, profile=settings.profile, settings=settings)


def scores(samples, checkpoint, settings):
    return score(samples.lazy(), checkpoint, profile=settings.profile, settings=settings).drop("impression_id").to_numpy()


def carry(samples, before, after):
    """Train with the settings before; return what was scored then, the parent for those after, what is scored with it and what was said."""
    parent = train(samples, None, before)
    kept = {name: tensor.clone() for name, tensor in (parent.model | parent.optimizer).items()}
    child, told = carried_over(parent, samples, Layout.of(after.profile), after)
    assert all(torch.equal(tensor, (parent.model | parent.optimizer)[name]) for name, tensor in kept.items())
    return scores(samples, parent, before), child, scores(samples, child, after), told["carried"]


def renamed(field, now, *, was, column=""):
    return field.replace(f'name = "{was}"', f'name = "{now}", was = "{was}", column = "{column or was}"')


CHANGES = {
    "added": [*BASE, MORE, CROSS, MORE_LISTS, OS],
    "reordered": [PRICE, CLICKED, ITEM, ID],
    "resized": [ID.replace("200", "400"), ITEM.replace("400", "1000"), CLICKED, PRICE.replace("64", "99")],
    "resized a little": [ID.replace("200", "201"), ITEM.replace("400", "555"), CLICKED, PRICE],
    "renamed": [
        renamed(ID, "visitor", was="user_id"),
        renamed(ITEM, "thing", was="item_id"),
        CLICKED.replace("item_id", "thing"),
        renamed(PRICE, "cost", was="price"),
    ],
    "all at once": [
        OS,
        renamed(PRICE, "cost", was="price"),
        MORE_LISTS.replace("item_id", "thing"),
        CLICKED.replace("item_id", "thing"),
        renamed(ITEM, "thing", was="item_id").replace("400", "640"),
        ID,
    ],
    "parted": [ID, ITEM, CLICKED.replace('table = "item_id", ', "buckets = 400, "), PRICE],
}


@pytest.mark.parametrize("bottom", BOTTOMS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_carried_over_predicts_as_before_until_it_is_trained(make, samples, bottom, change):
    before, after = make(*BASE, model=BOTTOMS[bottom]), make(*CHANGES[change], model=BOTTOMS[bottom])
    then, _, now, _ = carry(samples, before, after)
    np.testing.assert_allclose(now, then, rtol=0, atol=1e-6)
    assert np.ptp(then[:, 0]) > 0.05


def test_a_sequence_gets_its_first_property_and_another_name(make, samples):
    sequence = renamed(CLICKED, "behaviour", was="clicked_items")
    beside = BESIDE.replace('beside = "clicked_items"', 'beside = "behaviour"')
    model = {**DUPN, "dupn": {**DUPN["dupn"], "sequence": "behaviour"}}
    then, child, now, told = carry(samples, make(*BASE, model=DUPN), make(ID, ITEM, sequence, beside, PRICE, model=model))
    np.testing.assert_allclose(now, then, rtol=0, atol=1e-6)
    assert child.model["bottom.lstm.gates.weight"].all()  # and what it reads is 0
    assert not child.model["table"][-114:-64].any()
    assert told["fields"]["behaviour"] == "was clicked_items"


def test_attention_goes_with_its_list_and_begins_anew_for_a_new_one(make, samples):
    other = ASKED.replace('"seen"', '"noticed", was = "seen"')
    new = ASKED.replace('"seen"', '"more"')
    then, child, now, _ = carry(samples, make(*BASE, ASKED), make(*BASE, new, other))
    np.testing.assert_allclose(now, then, rtol=0, atol=1e-6)
    parts = {name.split(".", 3)[2] for name in child.model if name.startswith("attention")}
    assert parts == {"more", "noticed"}
    assert child.optimizer["adam.attention.units.noticed.0.weight.exp_avg_sq"].any()
    assert not child.optimizer["adam.attention.units.more.0.weight.exp_avg_sq"].any()
    assert child.model["attention.units.more.0.weight"].any()
    assert train(samples, child, make(*BASE, new, other)).manifest["rows"] == 400


@pytest.mark.parametrize("bottom", BOTTOMS)
def test_a_field_added_and_dropped_again_leaves_what_was_there(make, samples, bottom):
    before, between = make(*BASE, model=BOTTOMS[bottom]), make(MORE, *BASE[:2], CROSS, *BASE[2:], MORE_LISTS, model=BOTTOMS[bottom])
    parent = train(samples, None, before)
    there, _ = carried_over(parent, samples, Layout.of(between.profile), between)
    back, told = carried_over(there, samples, Layout.of(before.profile), before)
    assert told["carried"]["fields"] == {
        **dict.fromkeys(("user_id", "item_id", "clicked_items", "price"), "kept"),
        **dict.fromkeys(("again", "place", "user_item"), "dropped"),
    }
    assert told["carried"]["tables"] == {"place": "dropped", "user_item": "dropped"}
    for mine, theirs in ((back.model, parent.model), (back.optimizer, parent.optimizer)):
        assert mine.keys() == theirs.keys()
        for name, tensor in theirs.items():
            both = mine[name], tensor
            now, then = (half.triu(1) if "pair_strengths" in name and half.ndim else half for half in both)  # the half that is read
            assert torch.equal(now, then), name


def test_a_dropped_field_is_as_if_it_were_zeros(make, samples):
    before, after = make(*BASE), make(ID, ITEM, CLICKED)
    parent = train(samples, None, before)
    child, _ = carried_over(parent, samples, Layout.of(after.profile), after)
    without = {**parent.model, "table": parent.model["table"].clone()}
    without["table"][600:] = 0.0
    zeroed = type(parent)(without, parent.optimizer, parent.manifest)
    np.testing.assert_allclose(scores(samples, child, after), scores(samples, zeroed, before), rtol=0, atol=1e-6)
    assert child.model["table"].shape == (600, 6)


def test_state_goes_with_what_it_is_of_and_is_nothing_for_what_is_fresh(make, samples):
    after = make(ID.replace("200", "399"), MORE, PRICE, ITEM, CLICKED)
    parent = train(samples, None, make(*BASE))
    child, _ = carried_over(parent, samples, Layout.of(after.profile), after)
    mine, theirs = (encode(samples, recorded(checkpoint.manifest)) for checkpoint in (child, parent))
    for name, tensors in (("table", ("model",) * 2), ("table.accumulator", ("optimizer",) * 2)):
        now, then = (getattr(checkpoint, kind)[name] for checkpoint, kind in zip((child, parent), tensors, strict=True))
        for place, was in {0: 0, 2: 2, 3: 1}.items():
            assert torch.equal(now[mine.ids_NS[:, place]], then[theirs.ids_NS[:, was]])
    assert not child.optimizer["table.accumulator"][399 : 399 + 16].any()
    now, then = (checkpoint.optimizer["adam.cvr_tower.0.weight.exp_avg_sq"] for checkpoint in (child, parent))
    fields = [then[:, 6 * place : 6 * place + 6] for place in range(4)]
    assert torch.equal(now, torch.cat([fields[0], torch.zeros(16, 6), fields[2], fields[1], fields[3]], dim=1))
    assert child.optimizer["adam.cvr_tower.0.weight.step"] == parent.optimizer["adam.cvr_tower.0.weight.step"]


def test_a_value_that_is_declared_begins_as_others_did_and_one_that_is_not_any_more_is_among_them(make, samples):
    longer = OS.replace('["ios", "android"]', '["web", "android"]')
    then, _, now, told = carry(samples, make(*BASE, OS), make(*BASE, longer))
    kept = samples["os"].is_null() | samples["os"].is_in(["android", "web"])
    np.testing.assert_allclose(now[kept.to_numpy()], then[kept.to_numpy()], rtol=0, atol=1e-6)
    assert told["tables"] == {}
    assert (now[~kept.to_numpy()] != then[~kept.to_numpy()]).any()


def test_fewer_rows_join_those_that_have_learned_most_and_a_size_that_fits_nothing_is_fresh(make, samples):
    parent = train(samples, None, make(*BASE))
    after = make(ID.replace("200", "100"), ITEM.replace("400", "134"), CLICKED, PRICE)
    child, told = carried_over(parent, samples, Layout.of(after.profile), after)
    assert told["carried"]["tables"] == {
        "user_id": "200 rows, 100 now: fresh, as ids are spread anew",
        "item_id": "400 rows, 134 now: rows joined",
    }
    assert not child.optimizer["table.accumulator"][:100].any()
    state, joined = parent.optimizer["table.accumulator"][200:600], child.optimizer["table.accumulator"][100:234]
    assert torch.equal(joined[1:], state[1:].view(3, 133).amax(dim=0))
    grown = make(*BASE)
    again, told = carried_over(child, samples, Layout.of(grown.profile), grown)
    np.testing.assert_allclose(scores(samples, again, grown), scores(samples, child, after), rtol=0, atol=1e-6)


def test_over_three_days_of_which_the_second_has_another_profile_nothing_falls_back_to_a_cold_start(make, make_samples):
    rates = {"learning_rate": 0.001, "table_learning_rate": 0.03}
    days = [make_samples(1500, seed=seed).with_columns(os=pl.lit("ios")) for seed in range(1, 5)]
    before, after = make(*BASE, rates=rates), make(*CHANGES["all at once"], MORE, rates=rates)
    first = train(days[0], None, before)
    second = [(train(days[1], parent, settings), settings) for parent, settings in ((first, before), (first, after), (None, after))]
    same, carried, cold = (ctr_auc(train(days[2], model, settings), days[3], settings) for model, settings in second)
    assert carried > same - 0.01
    assert carried > cold + 0.02


def ctr_auc(checkpoint, samples, settings):
    return placements(samples["clicked"].to_numpy(), scores(samples, checkpoint, settings)[:, 0]).auc


def test_learned_boundaries_are_kept_and_new_numbers_learn_theirs(make, samples):
    before, wider = make(*BASE, LEARNED), LEARNED.replace("buckets = 5", "buckets = 9")
    new = wider.replace('"rank"', '"order"')
    then, child, now, _ = carry(samples, before, make(wider, new, *BASE))
    np.testing.assert_allclose(now, then, rtol=0, atol=1e-6)
    boundaries = {field.name: field.boundaries for field in recorded(child.manifest).fields if field.boundaries}
    assert {name: len(own) for name, own in boundaries.items()} == {"rank": 3, "order": 7}


def test_an_exact_table_takes_its_ids_to_another_name(make, samples):
    exact = ID.replace("buckets = 200", "exact = true")
    then, child, now, _ = carry(samples, make(*BASE[1:], exact), make(MORE, renamed(exact, "visitor", was="user_id"), *BASE[1:]))
    np.testing.assert_allclose(now, then, rtol=0, atol=1e-6)
    after = make(MORE, renamed(exact, "visitor", was="user_id"), *BASE[1:])
    told = train(samples, child, after).manifest
    assert told["pool"] == 30
    gone, _ = carried_over(child, samples, Layout.of(make(*BASE[1:]).profile), make(*BASE[1:]))
    assert not [name for name in gone.model | gone.optimizer if "visitor" in name]
    assert not {"pool", "origins"} & gone.manifest.keys()
    assert train(samples, gone, make(*BASE[1:])).model["table"].shape == (464, 6)


def test_a_name_may_pass_to_a_new_field_and_day_after_day_goes_on(make, samples):
    moved, new = renamed(OS, "platform", was="os", column="platform"), OS.replace('["ios", "android"]', '["web"]')
    parent, after = train(samples, None, make(*BASE, OS)), make(*BASE, new, moved)
    child = train(samples, parent, after)
    assert child.manifest["carried"]["fields"] | {"os": "fresh"} == child.manifest["carried"]["fields"]
    assert child.manifest["carried"]["fields"]["platform"] == "was os, source was os"
    grandchild = train(samples, child, after)
    assert "carried" not in grandchild.manifest
    assert grandchild.manifest["steps"] == 3 * parent.manifest["steps"]


def test_the_parent_is_still_scored_by_its_own_fields_from_the_columns_that_there_are(make, samples):
    before, after = make(*BASE, OS, LEARNED), make(ITEM, PRICE, MORE, renamed(ID, "visitor", was="user_id", column="who"), CLICKED)
    parent = train(samples, None, before)
    own = own_fields(samples.rename({"user_id": "who"}).drop("os").lazy(), parent, after.profile)
    assert own.gone == ["os"]
    assert not own.like(own_fields(samples.drop("os").lazy(), parent, before.profile))  # the same fields, one read from another column
    expected = scores(samples.with_columns(os=pl.lit(None, pl.String)), parent, before)
    found = score(own.rows, parent, profile=own.profile, settings=after)
    np.testing.assert_array_equal(found.drop("impression_id").to_numpy(), expected)
    with pytest.raises(CheckpointError, match="does not fit"):
        scores(samples, parent, after)


@pytest.mark.parametrize(
    ("fields", "model", "difference"),
    [
        ([ID, ITEM, CLICKED, PRICE.replace("64", "64, scale = 2.0")], {}, "field price scale was 1.0, is 2.0"),
        ([ID, ITEM, CLICKED.replace("side", 'pooling = "mean", side'), PRICE], {}, "field clicked_items pooling was sum, is mean"),
        ([ID, ITEM, CLICKED.replace('"clicked_items"', '"clicked_items", fill = true'), PRICE], {}, "field clicked_items fill"),
        ([ID, ITEM, CLICKED.replace("item_id", "user_id"), PRICE], {}, "field clicked_items table was item_id, is user_id"),
        ([ID.replace('"user_id"', '"user_id", column = "item_id"'), *BASE[1:]], {}, 'column was user_id, is item_id .was = "user_id" says'),
        ([ID.replace("buckets = 200", 'values = ["a"]'), *BASE[1:]], {}, "vocabulary user_id was hashed, is declared values"),
        ([ID.replace("buckets = 200", "exact = true"), *BASE[1:]], {}, "vocabulary user_id was hashed, is exact"),
        (
            [renamed(ID, "visitor", was="user_id").replace('was = "user_id"', 'was = "user"'), *BASE[1:]],
            {},
            "field visitor was user, which is none of user_id, item_id",
        ),
        ([*BASE, MORE], {"embedding_width": 4}, "embedding_width was 6, is 4"),
        ([*BASE, MORE], {"hidden": [16, 4]}, r"hidden was \[16, 8\], is \[16, 4\]"),
        ([*BASE, MORE], {"bottom": "mmoe"}, "model.bottom was shared_embedding, is mmoe"),
        ([*BASE, MORE], {"loss": "product"}, "model.loss was product_masked, is product"),
    ],
)
def test_what_would_mean_something_else_is_refused(make, samples, fields, model, difference):
    parent = train(samples[:60], None, make(*BASE))
    with pytest.raises(CheckpointError, match=difference) as refusal:
        train(samples, parent, make(*fields, model=model))
    assert "give a field that means something else another name" in str(refusal.value)


def test_a_field_takes_the_place_of_one_other(make):
    with pytest.raises(SettingsError, match="fields take the place of os more than once"):
        make(*BASE, renamed(OS, "platform", was="os"), renamed(OS, "system", was="os"))
