import numpy as np
import polars as pl
import pytest
import torch

from components.checkpoints import Checkpoint
from components.errors import CheckpointError
from components.model.encoding import Layout
from components.model.network import Network
from components.model.restore import describe
from components.model.scoring import score, score_all, score_chunks
from components.settings import Settings

SETTINGS = Settings(model={"hidden": (8, 4), "embedding_width": 4})
BIASES = {"ctr": np.log(0.2 / 0.8), "cvr": np.log(0.05 / 0.95)}


def checkpoint_of(profile, *, std=1.0):
    network = Network(Layout.of(profile), SETTINGS.model)
    network.initialise(torch.Generator().manual_seed(7), BIASES)
    network.table.mul_(std / 0.01)
    return Checkpoint(dict(network.state_dict()), {}, describe(Layout.of(profile), SETTINGS.model))


@pytest.fixture
def many(samples):
    """10,000 samples, no two blocks alike."""
    generator = np.random.default_rng(4)
    rows = samples[generator.integers(0, 4, 10_000)]
    return rows.with_columns(price=pl.Series(generator.exponential(20, 10_000)), impression_id=pl.int_range(10_000).cast(pl.String))


def test_scores_keep_the_rows_order_and_pctcvr_is_the_product(many, profile):
    scored = score(many.lazy(), checkpoint_of(profile), profile=profile, settings=SETTINGS)
    assert scored.schema == {"impression_id": pl.String, "pctr": pl.Float64, "pcvr": pl.Float64, "pctcvr": pl.Float64}
    assert scored["impression_id"].to_list() == many["impression_id"].to_list()
    np.testing.assert_allclose(scored["pctcvr"], scored["pctr"] * scored["pcvr"], rtol=1e-12)
    assert scored["pctr"].std() > 0.01


def test_a_new_network_predicts_the_base_rates(samples, profile):
    scored = score(samples.lazy(), checkpoint_of(profile, std=1e-9), profile=profile, settings=SETTINGS)
    assert scored["pctr"].to_list() == pytest.approx([0.2] * 4)
    assert scored["pcvr"].to_list() == pytest.approx([0.05] * 4)


def test_the_same_rows_score_the_same_bytes_in_whatever_chunks(many, profile):
    whole = score(many.lazy(), checkpoint_of(profile), profile=profile, settings=SETTINGS)
    smaller = SETTINGS.model_copy(update={"train": SETTINGS.train.model_copy(update={"chunk_rows": 4096, "batch_size": 7})})
    assert whole.equals(score(many.lazy(), checkpoint_of(profile), profile=profile, settings=smaller))


def test_a_row_scores_alike_alone_and_among_others(many, profile):
    whole = score(many.lazy(), checkpoint_of(profile), profile=profile, settings=SETTINGS)
    for row in (0, 4095, 9_999):
        alone = score(many[row : row + 1].lazy(), checkpoint_of(profile), profile=profile, settings=SETTINGS)
        assert alone.row(0)[1:] == pytest.approx(whole.row(row)[1:], rel=1e-6)


def test_scoring_leaves_the_checkpoint_as_it_was(samples, profile):
    checkpoint = checkpoint_of(profile)
    before = {name: tensor.clone() for name, tensor in checkpoint.model.items()}
    score(samples.lazy(), checkpoint, profile=profile, settings=SETTINGS)
    assert all(torch.equal(checkpoint.model[name], tensor) for name, tensor in before.items())


def test_chunks_are_whole_blocks_and_those_of_the_whole(samples, profile):
    generator = np.random.default_rng(4)
    rows = samples[generator.integers(0, 4, 140_000)].with_columns(price=pl.Series(generator.exponential(20, 140_000)))
    chunks = [chunk for (chunk,) in score_chunks(rows.lazy(), [checkpoint_of(profile)], profile=profile, settings=SETTINGS)]
    assert [chunk.height for chunk in chunks] == [65_536, 65_536, 8_928]
    assert pl.concat(chunks).equals(score(rows.lazy(), checkpoint_of(profile), profile=profile, settings=SETTINGS))
    first = score(rows[:65_536].lazy(), checkpoint_of(profile), profile=profile, settings=SETTINGS)
    assert chunks[0].equals(first)


def test_models_that_are_scored_together_score_as_each_does_alone(many, profile):
    models = [checkpoint_of(profile), checkpoint_of(profile, std=0.1)]
    alone = [score(many.lazy(), model, profile=profile, settings=SETTINGS) for model in models]
    together = score_all(many.lazy(), models, profile=profile, settings=SETTINGS)
    assert [found.equals(own) for found, own in zip(together, alone, strict=True)] == [True, True]
    assert not alone[0].equals(alone[1])


def test_no_rows_score_to_no_rows(samples, profile):
    assert score(samples.clear().lazy(), checkpoint_of(profile), profile=profile, settings=SETTINGS).height == 0


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda fields: fields[:-1], "fields was .*clicked_items, is .*price;"),
        (lambda fields: [fields[1], fields[0], *fields[2:]], "fields was item_id, category.*, is category, item_id"),
        (lambda fields: [{**fields[0], "buckets": 51}, *fields[1:]], "vocabulary item_id was 50, is 51"),
        (lambda fields: [*fields[:3], {**fields[3], "scale": 2.0}, fields[4]], "field price scale was 1.0, is 2.0"),
    ],
)
def test_a_checkpoint_of_other_fields_is_refused_with_the_difference(samples, profile, make_profile, change, difference):
    fields = [field.model_dump() for field in profile.fields]
    other = make_profile(change(fields))
    with pytest.raises(CheckpointError, match=difference) as refusal:
        score(samples.lazy(), checkpoint_of(profile), profile=other, settings=SETTINGS)
    assert "train.missing_parent=cold_start" in str(refusal.value)


def test_a_checkpoint_of_another_size_is_refused(samples, profile):
    narrow = Settings(model={"hidden": (8, 4), "embedding_width": 3})
    with pytest.raises(CheckpointError, match=r"embedding_width was 4, is 3.*tensor table was \[102, 4\], is \[102, 3\]"):
        score(samples.lazy(), checkpoint_of(profile), profile=profile, settings=narrow)
