"""What a checkpoint records of the choices, what it is refused for, and the parts that are there or not."""

import polars as pl
import pytest
import torch

from components.checkpoints import Checkpoint
from components.errors import CheckpointError
from components.model.embedding import embed
from components.model.encoding import encode
from components.model.network import Network
from components.model.position import places
from components.model.restore import describe, restore
from components.model.scoring import score
from components.model_settings import Model
from components.settings import Settings

SMALL = {"embedding_width": 4, "hidden": (8, 4)}
DWELL = {"regressions": [{"name": "dwell", "column": "dwell_s"}]}
BIASES = {"ctr": -1.0, "cvr": -2.0, "action": 0.0, "acted_cvr": 0.0, "other_cvr": 0.0, "ctcvr": -3.0, "dwell": 7.0}


def options_of(**choices):
    return Model.model_validate({**SMALL, **choices})


def checkpoint_of(layout, **choices):
    network = Network(layout, options_of(**choices))
    network.initialise(torch.Generator().manual_seed(7), BIASES)
    return Checkpoint(dict(network.state_dict()), {}, describe(layout, options_of(**choices)))


@pytest.mark.parametrize(
    ("choices", "difference"),
    [
        ({"bottom": "ple"}, "model.bottom was shared_embedding, is ple"),
        ({"bottom": "separate_embedding"}, "model.bottom was shared_embedding, is separate_embedding"),
        ({"loss": "product"}, "model.loss was product_masked, is product"),
        ({"loss": "esm2"}, "model.loss was product_masked, is esm2"),
        ({"age_corrected": False}, "model.age_corrected was True, is False"),
        ({"activation": "prelu"}, "model.activation was relu, is prelu"),
        ({"position_tower": True}, "model.position_tower was False, is True"),
        (DWELL, r"model.regressions was \[\], is \[.*dwell"),
        ({"hidden": (8, 5)}, r"hidden was \[8, 4\], is \[8, 5\].*tensor ctr_tower.2.weight"),
    ],
)
def test_a_checkpoint_of_another_choice_is_refused_both_ways(layout, choices, difference):
    with pytest.raises(CheckpointError, match=difference) as refusal:
        restore(checkpoint_of(layout), layout, options_of(**choices))
    assert "train.missing_parent=cold_start" in str(refusal.value)
    with pytest.raises(CheckpointError, match=r"was .*, is "):
        restore(checkpoint_of(layout, **choices), layout, options_of())


def test_another_size_of_the_same_bottom_is_named(layout):
    few, many = ({"bottom": "mmoe", "mmoe": {"experts": experts}} for experts in (2, 4))
    with pytest.raises(CheckpointError, match=r"model.experts was 2, is 4.*tensor bottom.gates.ctr.weight was \[2, 20\], is \[4, 20\]"):
        restore(checkpoint_of(layout, **few), layout, options_of(**many))


@pytest.mark.parametrize("unused", [{"ple": {"levels": 3}}, {"gate_dropout": 0.5}, {"ctcvr_weight": 2.0}])
def test_what_does_not_shape_the_network_is_no_reason_to_refuse(layout, unused):
    restored = restore(checkpoint_of(layout), layout, options_of(**unused))
    assert torch.equal(restored.table, checkpoint_of(layout).model["table"])


def test_a_checkpoint_from_before_there_were_choices_is_esmm(layout):
    choices = {"loss": "product", "age_corrected": False}
    saved = checkpoint_of(layout, **choices)
    older = Checkpoint(saved.model, {}, {name: value for name, value in saved.manifest.items() if name != "network"})
    assert torch.equal(restore(older, layout, options_of(**choices)).table, saved.model["table"])
    with pytest.raises(CheckpointError, match=r"model.bottom was shared_embedding, is dbmtl"):
        restore(older, layout, options_of(bottom="dbmtl"))


def test_the_default_network_has_the_tensors_that_it_always_had(layout):
    towers = [f"{task}_tower.{place}.{part}" for task in ("ctr", "cvr") for place in (0, 2, 4) for part in ("weight", "bias")]
    assert list(checkpoint_of(layout).model) == ["table", *towers]


@pytest.mark.parametrize(("position", "place"), [(None, 0), (-3, 1), (0, 1), (1, 2), (8, 9), (9, 9), (2**31 - 1, 9)])
def test_a_place_is_one_more_than_the_position_and_late_ones_are_one(position, place):
    assert places(pl.Series([position], dtype=pl.Int32), 10).tolist() == [place]


def test_a_position_adds_to_the_clicks_logit_alone_and_a_missing_one_is_place_0(samples, layout):
    network = Network(layout, options_of(position_tower=True, position_buckets=10))
    network.initialise(torch.Generator().manual_seed(1), BIASES)
    embedded = embed(network.table, encode(samples, layout), layout)
    before = network(embedded)
    network.position_tower.logits.weight.data = torch.arange(10.0).unsqueeze(1)
    placed, missing = network(embedded, torch.tensor([0, 1, 5, 9])), network(embedded)
    torch.testing.assert_close(placed["ctr"] - before["ctr"], torch.tensor([0.0, 1.0, 5.0, 9.0]))
    assert torch.equal(placed["cvr"], before["cvr"])
    assert torch.equal(missing["ctr"], before["ctr"])


def test_a_score_is_the_same_at_any_position(samples, profile, layout):
    settings = Settings(model={**SMALL, "position_tower": True})
    checkpoint = checkpoint_of(layout, position_tower=True)
    checkpoint.model["position_tower.logits.weight"].normal_()
    placed = [samples.with_columns(position=pl.lit(position, pl.Int32)).lazy() for position in (1, 40)]
    first, fortieth = (score(rows, checkpoint, profile=profile, settings=settings) for rows in placed)
    assert first.equals(fortieth)
    assert first.equals(score(samples.lazy(), checkpoint, profile=profile, settings=settings))


def test_the_heads_asked_for_are_scored_beside_the_probabilities(samples, profile, layout):
    settings = Settings(model={**SMALL, **DWELL})
    checkpoint = checkpoint_of(layout, **DWELL)
    plain = score(samples.lazy(), checkpoint, profile=profile, settings=settings)
    asked = score(samples.lazy(), checkpoint, profile=profile, settings=settings, heads=("dwell",))
    assert plain.columns == ["impression_id", "pctr", "pcvr", "pctcvr"]
    assert asked.drop("dwell").equals(plain)
    assert asked["dwell"].to_list() == pytest.approx([7.0] * 4, abs=0.3)  # the bias it started with


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"regressions": [{"name": "ctr", "column": "x"}]}, "ctr taken"),
        ({"regressions": [{"name": "x", "column": "x"}, {"name": "x", "column": "y"}]}, "x taken"),
        ({"regressions": [{"name": "Dwell time", "column": "x"}]}, "should match pattern"),
        ({"bottom": "dbmtl", "hidden": ()}, "at least one layer in model.hidden"),
        ({"regressions": [{"name": "counterfactual_cvr", "column": "x"}]}, "counterfactual_cvr taken"),
        ({"escm2_ips": {"floor": 0.0}}, "greater than 0"),
        ({"bottom": "mmoe2"}, "shared_embedding"),
        ({"gate_dropout": 1.0}, "less than 1"),
    ],
)
def test_a_choice_that_no_network_can_have_is_refused(choices, says):
    with pytest.raises(ValueError, match=says):
        options_of(**choices)
