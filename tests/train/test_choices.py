"""Every choice of bottom and loss trains, keeps its seed, and learns what it is for."""

from datetime import date

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from components.checkpoints import CheckpointStore
from components.errors import CheckpointError, SettingsError
from components.model.bottoms import BOTTOMS
from components.model.losses import LOSSES
from components.model.scoring import score
from components.train.loop import fine_tune

DWELL = {"regressions": [{"name": "dwell", "column": "dwell_s"}]}
SIZES = {
    "shared_bottom": {"layers": (16,), "hidden": (8,)},
    "mmoe": {"experts": 4, "expert_width": 8, "hidden": (8,)},
    "ple": {"levels": 2, "own_experts": 1, "shared_experts": 1, "expert_width": 8, "hidden": (8,)},
    "nfwfm": {"layers": (16,), "hidden": (8,)},
    "dupn": {"sequence": "clicked_items", "user_width": 8, "state_width": 8, "attention_width": 8, "hidden": (8,)},
}


def train(samples, parent, settings):
    return fine_tune(samples.lazy(), parent, profile=settings.profile, settings=settings)


def tensors(checkpoint):
    both = [*checkpoint.model.items(), *checkpoint.optimizer.items()]
    return {name: tensor.numpy().tobytes() for name, tensor in both}


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("bottom", sorted(BOTTOMS))
def test_64_rows_are_learned_by_heart(make_settings, make_samples, bottom, loss):
    samples = make_samples(64).with_columns(user_id=pl.int_range(64).cast(pl.String))
    rates = {"learning_rate": 0.01, "table_learning_rate": 0.1}
    settings = make_settings(model={**SIZES, "bottom": bottom, "loss": loss}, chunk_rows=64, batch_size=16, **rates)
    scored = score(samples.lazy(), train(pl.concat([samples] * 30), None, settings), profile=settings.profile, settings=settings)
    clicked = samples["clicked"].to_numpy()
    assert roc_auc_score(clicked, scored["pctr"]) > 0.99
    assert roc_auc_score(samples["converted"], scored["pctcvr"]) > 0.99
    assert roc_auc_score(samples["converted"].to_numpy()[clicked], scored["pcvr"].to_numpy()[clicked]) > 0.99


@pytest.mark.parametrize(
    "choices",
    [
        {"bottom": "mmoe", "loss": "esm2", "position_tower": True, **DWELL},
        {"bottom": "ple", "loss": "split_kl", "activation": "prelu"},
        {"bottom": "nfwfm", "loss": "product_masked"},
        {"bottom": "separate_embedding", "loss": "division"},
        {"bottom": "dupn", "loss": "masked"},
    ],
)
def test_two_days_saved_between_equal_the_same_two_days_in_one_process(make_settings, make_samples, tmp_path, choices):
    settings, days = make_settings(model={**SIZES, **choices}), (make_samples(700), make_samples(500, seed=2))
    store = CheckpointStore(tmp_path)
    loaded = store.load(store.save(date(2024, 5, 1), train(days[0], None, settings)))
    torch.manual_seed(1)  # the global generator must not matter
    straight = train(days[0], None, settings)
    assert tensors(train(days[1], loaded, settings)) == tensors(train(days[1], straight, settings))


@pytest.mark.parametrize(
    ("model", "changed"),
    [
        ({"position_tower": True}, {"position_dropout": 0.2}),
        ({"bottom": "mmoe"}, {"gate_dropout": 0.0}),
        ({"bottom": "nfwfm"}, {"interaction_dropout": 0.0}),
    ],
)
def test_a_drop_out_that_is_set_is_part_of_the_bytes(make_settings, make_samples, model, changed):
    samples = make_samples(200)
    one, other = (train(samples, None, make_settings(model={**SIZES, **model, **more})) for more in ({}, changed))
    assert tensors(one) != tensors(other)
    assert tensors(one) == tensors(train(samples, None, make_settings(model={**SIZES, **model})))


def test_what_drops_out_follows_the_seed_of_training(make_settings, make_samples):
    """From one parent that learns no more, on rows that are all alike, the loss tells what dropped out and nothing else."""
    alike = pl.concat([make_samples(8).filter("clicked").head(1)] * 100)
    for dropout, same in ((0.5, False), (0.0, True)):
        model = {**SIZES, "bottom": "mmoe", "gate_dropout": dropout}
        parent = train(make_samples(300), None, make_settings(model=model, table_learning_rate=0.1, learning_rate=0.01))
        frozen = [make_settings(model=model, learning_rate=0.0, table_learning_rate=0.0, seed=seed) for seed in (1, 1, 2)]
        one, again, other = (train(alike, parent, settings).manifest["losses"]["ctr"] for settings in frozen)
        assert one == again
        assert (one == other) == same


def test_attention_learns_that_a_click_follows_what_was_clicked_before(make_settings):
    """The item alone says nothing: it is clicked where it is among the four of twelve that the user has clicked."""
    generator = np.random.default_rng(5)
    before = np.stack([generator.permutation(12)[:4] for _ in range(4000)])
    items = np.where(generator.random(4000) < 0.5, before[:, 0], generator.integers(0, 12, 4000))
    clicked = generator.random(4000) < np.where((before == items[:, None]).any(axis=1), 0.9, 0.1)
    samples = pl.DataFrame(
        {
            "impression_id": np.arange(4000).astype(str),
            "user_id": ["u"] * 4000,
            "item_id": items.astype(str),
            "clicked_items": before.astype(str).tolist(),
            "price": [1] * 4000,
            "clicked": clicked,
            "converted": clicked,
            "known_share": [1.0] * 4000,
        }
    )
    profile, found = make_settings().profile_path.read_text(), {}
    for pooling in ("sum", "attention"):
        own = profile.replace('table = "item_id", side = "user"', f'table = "item_id", pooling = "{pooling}"')
        model = {"embedding_width": 8, "activation": "prelu", "attention_hidden": (16,)}
        settings = make_settings(own, model=model, learning_rate=0.01, table_learning_rate=0.1)
        checkpoint = train(samples[:3000], None, settings)
        for _ in range(3):
            checkpoint = train(samples[:3000], checkpoint, settings)
        scored = score(samples[3000:].lazy(), checkpoint, profile=settings.profile, settings=settings)
        found[pooling] = roc_auc_score(clicked[3000:], scored["pctr"])
    assert found["attention"] > max(0.8, found["sum"] + 0.05), found  # the truth itself: 0.9


@pytest.mark.parametrize("loss", ["masked", "division"])
def test_the_papers_separate_networks_have_nothing_in_common(make_settings, make_samples, loss):
    """Of BASE and DIVISION: whatever the conversions, all that belongs to the click's network keeps its bytes."""
    settings, samples = make_settings(model={"bottom": "separate_embedding", "loss": loss}), make_samples(700)
    one, other = (train(rows, None, settings) for rows in (samples, samples.with_columns(converted=pl.col("clicked"))))
    assert torch.equal(one.model["table"][:, :6], other.model["table"][:, :6])
    assert not torch.equal(one.model["table"][:, 6:], other.model["table"][:, 6:])
    sums, others = (checkpoint.optimizer["table.accumulator"].view(-1, 2) for checkpoint in (one, other))
    assert torch.equal(sums[:, 0], others[:, 0])
    assert not torch.equal(sums[:, 1], others[:, 1])
    clicks = [name for name in one.model if name.startswith("ctr_tower")]
    assert all(torch.equal(one.model[name], other.model[name]) for name in clicks)


def test_a_masked_loss_does_not_read_the_conversions_of_unclicked_rows(make_settings, make_samples):
    settings, samples = make_settings(model={"loss": "masked"}), make_samples(700)
    wrong = samples.with_columns(converted=pl.col("converted") | ~pl.col("clicked"))
    first_rows_alike = pl.concat([samples[:300], wrong[300:]])  # a cold start reads the rates of the first chunk
    assert tensors(train(samples, None, settings)) == tensors(train(first_rows_alike, None, settings))


def test_the_position_tower_takes_the_position_out_of_the_click(make_settings):
    """Half the items are liked; those that are not are shown on top, where all are looked at: the position hides what is liked."""
    generator = np.random.default_rng(3)
    liked, noise = generator.integers(0, 2, 6000), generator.random(6000)
    position = np.where((generator.random(6000) < 0.75) == (liked == 1), 10, 1)
    clicked = noise < 1 / (1 + np.exp(2.5 - 1.5 * liked - 3 * (position == 1)))
    items = generator.integers(0, 10, 6000) * 2 + liked
    samples = pl.DataFrame(
        {
            "impression_id": np.arange(6000).astype(str),
            "user_id": ["u"] * 6000,
            "item_id": items.astype(str),
            "clicked_items": pl.Series([[]] * 6000, dtype=pl.List(pl.String)),
            "price": [1] * 6000,
            "position": pl.Series(position, dtype=pl.Int32),
            "clicked": clicked,
            "converted": [False] * 6000,
            "known_share": [1.0] * 6000,
        }
    )
    found = {}
    for tower in (False, True):
        settings = make_settings(model={"position_tower": tower, "activation": "prelu"}, learning_rate=0.01, table_learning_rate=0.05)
        checkpoint = train(pl.concat([samples] * 2), None, settings)
        scored = score(samples.lazy(), checkpoint, profile=settings.profile, settings=settings)
        found[tower] = roc_auc_score(liked, scored["pctr"])
    assert found[False] < 0.4
    assert found[True] > 0.9


def test_a_regression_learns_the_values_that_are_there(make_settings, make_samples):
    settings = make_settings(model=DWELL, learning_rate=0.01, table_learning_rate=0.1)
    samples, later = make_samples(6000), make_samples(1000, seed=2)
    checkpoint = train(samples, None, settings)
    scored = score(later.lazy(), checkpoint, profile=settings.profile, settings=settings, heads=("dwell",))
    error = (scored["dwell"] - later["price"] / 2).abs().mean()
    assert error < 0.25  # the mean alone is 1.0 off
    assert set(checkpoint.manifest["losses"]) == {"ctr", "ctcvr", "masked_cvr", "dwell"}


def test_the_manifest_records_the_choices_and_a_parent_of_others_is_refused(make_settings, make_samples):
    settings = make_settings(model={**SIZES, "bottom": "ple", "loss": "esm2"})
    parent = train(make_samples(100), None, settings)
    recorded = parent.manifest["network"]
    assert [recorded[name] for name in ("bottom", "loss", "levels", "own_experts")] == ["ple", "esm2", 2, 1]
    with pytest.raises(CheckpointError, match=r"model.bottom was ple, is shared_embedding; model.loss was esm2, is product_masked"):
        train(make_samples(100), parent, make_settings())


@pytest.mark.parametrize(
    ("choices", "remove", "says"),
    [
        ({"loss": "esm2"}, '[actions]\ncolumns = { user_id = "user_id", item_id = "item_id", acted_at = "acted_at" }\n', "model.loss esm2"),
        ({"position_tower": True}, ', position = "position"', "model.position_tower: expected a profile whose impressions have a position"),
        ({"regressions": [{"name": "rating", "column": "stars"}]}, "", "model.regressions rating.*stars is none; name one of price"),
        ({"regressions": [{"name": "rating", "column": "item_id"}]}, "", "model.regressions rating.*item_id is none"),
    ],
)
def test_a_choice_that_the_data_cannot_teach_is_refused(make_settings, make_samples, choices, remove, says):
    profile = make_settings().profile_path.read_text()
    assert remove in profile
    settings = make_settings(profile.replace(remove, ""), model=choices)
    with pytest.raises(SettingsError, match=says):
        train(make_samples(50), None, settings)
