"""Training on a share of the unclicked rows, and what scoring makes of it."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
import torch

from components.checkpoints import Checkpoint, CheckpointStore
from components.errors import CheckpointError, DataError
from components.model.losses import LOSSES
from components.model.sampling import corrected, negative_rate
from components.model.scoring import score
from components.model_settings import Train
from components.train.loop import fine_tune
from components.train.sampling import sampled

ROWS = 60_000


def train(samples, parent, settings):
    return fine_tune(samples.lazy(), parent, profile=settings.profile, settings=settings)


def tensors(checkpoint):
    both = [*checkpoint.model.items(), *checkpoint.optimizer.items()]
    return {name: tensor.numpy().tobytes() for name, tensor in both}


@pytest.fixture(scope="module")
def world():
    """A known truth: clicks at 2 to 20 % by item, conversions at 20 to 60 % of them by price, drawn for every row."""
    generator = np.random.default_rng(8)
    items, prices = generator.integers(0, 10, ROWS), generator.integers(1, 5, ROWS)
    pctr, pcvr = 0.02 * (1 + items), 0.1 * (1 + prices)
    clicked = generator.random(ROWS) < pctr
    return pl.DataFrame(
        {
            "impression_id": np.arange(ROWS).astype(str),
            "user_id": ["u"] * ROWS,
            "item_id": items.astype(str),
            "clicked_items": pl.Series([[]] * ROWS, dtype=pl.List(pl.String)),
            "price": prices,
            "clicked": clicked,
            "acted": clicked & (items % 2 == 0),
            "converted": clicked & (generator.random(ROWS) < pcvr),
            "known_share": [1.0] * ROWS,
            "true_pctr": pctr,
            "true_pcvr": pcvr,
        }
    )


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_every_click_and_the_share_of_the_others_is_kept_in_order(make_samples, rate):
    chunks = [make_samples(20_000, seed=seed) for seed in (1, 2)]
    options = Train(negative_rate=rate)
    for number, chunk in enumerate(chunks):
        kept = sampled(chunk, options, number=number)
        assert kept.filter("clicked").equals(chunk.filter("clicked"))
        assert kept.join(chunk, on="impression_id", how="semi", maintain_order="right").equals(kept)
        others = chunk.filter(~pl.col("clicked")).height
        assert kept.filter(~pl.col("clicked")).height == pytest.approx(rate * others, abs=4 * math.sqrt(rate * (1 - rate) * others))


def test_what_is_kept_follows_the_seed_and_the_chunks_number_alone(make_samples):
    alike = [make_samples(500)] * 3
    first, second, third = (sampled(chunk, Train(negative_rate=0.5), number=number) for number, chunk in enumerate(alike))
    assert not first.equals(second)
    again = sampled(alike[0], Train(negative_rate=0.5), number=2)
    assert again.equals(third)
    other = sampled(alike[0], Train(negative_rate=0.5, seed=1), number=0)
    assert not other.equals(first)


def test_a_rate_of_one_passes_the_rows_on_and_scores_stay_as_they_are(make_samples):
    chunk = make_samples(50)
    assert sampled(chunk, Train(), number=0) is chunk
    probabilities = {"pctr": torch.tensor([0.3]), "pcvr": torch.tensor([0.2]), "pctcvr": torch.tensor([0.06])}
    assert corrected(probabilities, torch.tensor([9.0]), 1.0) == probabilities


@pytest.mark.parametrize(("pctr_sampled", "rate", "pctr"), [(0.5, 0.25, 0.2), (0.2, 1 / 6, 0.04), (0.9, 0.01, 0.0825688)])
def test_the_correction_by_hand(pctr_sampled, rate, pctr):
    """Of 100 rows of which 20 are clicked, a quarter of the others is 20: half of what is kept is clicked."""
    before = {"pctr": torch.tensor([pctr_sampled]), "pcvr": torch.tensor([0.3]), "pctcvr": torch.tensor([0.3 * pctr_sampled])}
    found = corrected(before, torch.tensor([math.log(pctr_sampled / (1 - pctr_sampled))]), rate)
    assert {name: values.item() for name, values in found.items()} == pytest.approx({"pctr": pctr, "pcvr": 0.3, "pctcvr": 0.3 * pctr})


@pytest.mark.parametrize("loss", ["product", "masked", "division"])
def test_of_a_known_truth_pcoc_is_one_with_the_correction_and_not_without(make_settings, world, loss):
    """Clicks to others as 1 to 2. The interval is that of the outcomes, 4 standard deviations, and 3 % for what training leaves."""
    rates = {"learning_rate": 0.003, "table_learning_rate": 0.03, "chunk_rows": 20_000, "batch_size": 256}
    settings = make_settings(model={"loss": loss}, negative_rate=0.25, **rates)
    checkpoint = train(pl.concat([world[: ROWS // 2]] * 3), None, settings)
    later = world[ROWS // 2 :]
    scored = score(later.lazy(), checkpoint, profile=settings.profile, settings=settings)
    plain = Checkpoint(checkpoint.model, checkpoint.optimizer, {**checkpoint.manifest, "negative_rate": 1.0})
    uncorrected = score(later.lazy(), plain, profile=settings.profile, settings=settings)
    for name, label in (("pctr", "clicked"), ("pctcvr", "converted")):
        happened = later[label].sum()
        assert scored[name].sum() / happened == pytest.approx(1, abs=4 / math.sqrt(happened) + 0.03), name
        assert uncorrected[name].sum() / happened > 2, name
    assert scored["pcvr"].equals(uncorrected["pcvr"])
    assert (scored["pcvr"] - later["true_pcvr"]).abs().mean() < 0.06
    np.testing.assert_allclose(scored["pctcvr"], scored["pctr"] * scored["pcvr"], rtol=1e-12)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_has_its_pctr_corrected_and_its_pcvr_left(make_settings, make_samples, loss):
    settings = make_settings(model={"loss": loss}, negative_rate=0.5)
    samples = make_samples(400)
    checkpoint = train(samples, None, settings)
    plain = Checkpoint(checkpoint.model, checkpoint.optimizer, {**checkpoint.manifest, "negative_rate": 1.0})
    scored, before = (score(samples.lazy(), each, profile=settings.profile, settings=settings) for each in (checkpoint, plain))
    odds, odds_before = (each["pctr"] / (1 - each["pctr"]) for each in (scored, before))
    np.testing.assert_allclose(odds, 0.5 * odds_before)
    assert scored["pcvr"].equals(before["pcvr"])


def test_two_days_saved_between_equal_the_same_two_days_in_one_process(make_settings, make_samples, tmp_path):
    settings, days = make_settings(negative_rate=0.4), (make_samples(700), make_samples(500, seed=2))
    first = train(days[0], None, settings)
    store = CheckpointStore(tmp_path)
    loaded = store.load(store.save(date(2024, 5, 1), first))
    assert tensors(train(days[1], loaded, settings)) == tensors(train(days[1], first, settings))
    assert negative_rate(loaded.manifest) == 0.4


def test_the_manifest_counts_what_was_trained_on(make_settings, make_samples):
    samples = make_samples(700)
    manifest = train(samples, None, make_settings(negative_rate=0.4)).manifest
    assert manifest["clicks"] == samples["clicked"].sum()
    assert manifest["clicks"] < manifest["rows"] < 600
    assert manifest["chunks"] == 3


def test_a_parent_of_another_rate_is_refused_and_one_from_before_had_all_rows(make_settings, make_samples):
    samples = make_samples(200)
    parent = train(samples, None, make_settings())
    del parent.manifest["negative_rate"]
    train(samples, parent, make_settings())
    with pytest.raises(CheckpointError, match=r"expected training at train.negative_rate 0.5, found that it was trained at 1.0"):
        train(samples, parent, make_settings(negative_rate=0.5))


def test_a_chunk_without_a_kept_row_is_passed_over_and_no_row_at_all_is_an_error(make_settings, make_samples):
    settings, samples = make_settings(negative_rate=1e-9), make_samples(600)
    unclicked = samples.with_columns(clicked=False, converted=False, acted=False)
    later = train(pl.concat([samples[:300], unclicked[:300]]), None, settings)
    assert (later.manifest["chunks"], later.manifest["rows"]) == (2, samples[:300]["clicked"].sum())
    with pytest.raises(DataError, match=r"train.negative_rate 1e-09 left none"):
        train(unclicked, None, settings)
