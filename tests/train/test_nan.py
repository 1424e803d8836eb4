"""A number that is not finite, anywhere and at any step: training ends in that step and says which, and nothing is left of it."""

import random
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch

from components.checkpoints import Checkpoint
from components.errors import TrainingDivergedError
from components.train.learner import Learner
from components.train.loop import fine_tune

ROWS, STEPS = 400, 7  # 300 rows in five batches, 100 in two
NAN, INFINITE = float("nan"), float("inf")


def train(samples: pl.DataFrame, parent: Checkpoint | None, settings) -> Checkpoint:
    return fine_tune(samples.lazy(), parent, profile=settings.profile, settings=settings)


def content(checkpoint: Checkpoint) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in {**checkpoint.model, **checkpoint.optimizer}.items()}


def rows_of(step: int) -> str:
    return r"\(rows 0 to 300, shuffled\)" if step <= 5 else r"\(rows 300 to 400, shuffled\)"


@pytest.fixture
def before_step(monkeypatch) -> Callable[..., None]:
    """Return what lets a function of the learner and the batch run right before a step, numbered from 1."""
    step = Learner.step

    def arrange(number: int, disturb: Callable[..., object]) -> None:
        count = 0

        def disturbed(self, batch):
            nonlocal count
            count += 1
            if count == number:
                disturb(self, batch)
            return step(self, batch)

        monkeypatch.setattr(Learner, "step", disturbed)

    return arrange


def spoil_row(place: int, value: float) -> Callable[..., object]:
    def disturb(learner, batch) -> None:
        learner.network.table[batch.rows_U[batch.labelled.samples.ids_NS[0, place]], 0] = value

    return disturb


def spoil_weight(name: str, value: float) -> Callable[..., object]:
    def disturb(learner, _batch) -> None:
        learner.network.get_parameter(name).data.view(-1)[0] = value

    return disturb


def spoil_gradient(name: str, value: float) -> Callable[..., object]:
    """Put a value into a parameter's gradient: as where a backward pass overflows."""

    def disturb(learner, _batch) -> None:
        learner.network.get_parameter(name).register_hook(lambda gradient: torch.full_like(gradient, value))

    return disturb


def spoil_state(name: str, value: float) -> Callable[..., object]:
    """Put a value into Adam's mean of a gradient, so that the update makes the parameter that."""

    def disturb(learner, _batch) -> None:
        learner.adam.state[learner.network.get_parameter(name)]["exp_avg"].view(-1)[0] = value

    return disturb


def spoil_accumulator(place: int) -> Callable[..., object]:
    def disturb(learner, batch) -> None:
        learner.adagrad.accumulator_R[batch.rows_U[batch.labelled.samples.ids_NS[0, place]]] = NAN

    return disturb


SPOILED = {
    "a row of the table": (spoil_row(0, NAN), r"field user_id: .* a parameter is NaN .* train from an earlier parent"),
    "an infinite row": (spoil_row(2, -INFINITE), r"field price: .* a parameter"),
    "a row that two fields share": (spoil_row(1, NAN), r"field item_id(, field clicked_items)?: .* a parameter"),
    "a weight": (spoil_weight("cvr_tower.2.weight", NAN), r"cvr_tower\.2\.weight: .* a parameter"),
    "an infinite bias": (spoil_weight("ctr_tower.0.bias", -INFINITE), r"ctr_tower\.0\.bias: .* a parameter"),
    "a weight that overflows": (spoil_weight("ctr_tower.4.bias", 3e38), r"the terms of the loss: .* the loss is"),
    "a gradient": (spoil_gradient("ctr_tower.2.weight", NAN), r"ctr_tower\.2\.weight: .* the square of a gradient is .* lower"),
    "a gradient without a square": (
        spoil_gradient("cvr_tower.0.bias", 1e30),
        r"cvr_tower\.0\.bias: .* the square of a gradient is .* lower",
    ),
    "Adam's state": (spoil_state("ctr_tower.0.weight", INFINITE), r"ctr_tower\.0\.weight: .* a parameter"),
    "Adagrad's state": (spoil_accumulator(0), r"field user_id: .* a parameter"),
}


def test_at_any_of_a_hundred_steps_training_ends_there_and_says_what(make_settings, make_samples, before_step):
    settings, samples = make_settings(), make_samples(ROWS, seed=2)
    parent = train(make_samples(ROWS), None, settings)
    kept, undisturbed = content(parent), content(train(samples, parent, settings))
    generator, seen = random.Random(5), set()
    for _ in range(100):
        step, what = generator.randint(1, STEPS), generator.choice(sorted(SPOILED))
        disturb, says = SPOILED[what]
        before_step(step, disturb)
        with pytest.raises(TrainingDivergedError, match=f"batch {step} {rows_of(step)}, .*{says}"):
            train(samples, parent, settings)
        seen.add(what)
        assert content(parent) == kept
    assert seen == set(SPOILED)
    before_step(0, spoil_row(0, NAN))
    assert content(train(samples, parent, settings)) == undisturbed


@pytest.mark.parametrize(("bottom", "layer"), [("mmoe", "experts.layer"), ("dupn", "user.0")])
def test_other_bottoms_name_their_layers(make_settings, make_samples, before_step, bottom, layer):
    sizes = {"mmoe": {"experts": 4, "expert_width": 8, "hidden": (8,)}, "dupn": {"sequence": "clicked_items", "hidden": (8,)}}
    settings = make_settings(model={"bottom": bottom, bottom: sizes[bottom]})

    def overflow(learner, _batch) -> None:
        learner.network.table.mul_(1e4)
        learner.network.get_parameter(f"bottom.{layer}.weight").data.fill_(3e38)

    before_step(3, overflow)
    with pytest.raises(TrainingDivergedError, match=rf"batch 3 .*, bottom\.{layer}: .* the loss is NaN or infinite"):
        train(make_samples(ROWS), None, settings)


def test_a_loss_that_overflows_is_looked_into_with_the_noise_it_had(make_settings, make_samples, before_step, monkeypatch):
    settings = make_settings(model={"bottom": "mmoe", "mmoe": {"experts": 4, "expert_width": 8, "hidden": (8,)}})
    losses, noises = Learner.losses, []

    def noting(self, table_RW, batch):
        noises.append(self.noise.get_state())
        return losses(self, table_RW, batch)

    monkeypatch.setattr(Learner, "losses", noting)
    before_step(3, spoil_weight("ctr_tower.2.bias", 3e38))
    with pytest.raises(TrainingDivergedError, match=r"batch 3 .*, the terms of the loss: "):
        train(make_samples(ROWS), None, settings)
    assert len(noises) == 4
    assert torch.equal(noises[3], noises[2])
    assert not torch.equal(noises[2], noises[1])


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("clicked", NAN, "label clicked: .* the label of 1 of 300 rows is NaN or infinite; nothing was saved; mend clicked"),
        ("clicked", None, "label clicked"),
        ("converted", INFINITE, "label converted"),
        ("known_share", NAN, "label known_share"),
        ("dwell_s", -INFINITE, "label dwell_s"),
    ],
)
def test_a_label_that_is_no_number_is_named_with_its_batch_before_its_chunk_is_trained_on(make_settings, make_samples, column, value, says):
    settings = make_settings(model={"age_corrected": True, "regressions": [{"name": "dwell", "column": "dwell_s"}]})
    samples = make_samples(700)
    generator, batches = np.random.default_rng(0), set()
    for row in generator.integers(300, 600, 10).tolist():
        spoiled = pl.when(pl.int_range(700) == row).then(value).otherwise(pl.col(column).cast(pl.Float64))
        with pytest.raises(TrainingDivergedError, match=rf"\(rows 300 to 600, shuffled\), {says}") as raised:
            train(samples.with_columns(spoiled.alias(column)), None, settings)
        batches.add(int(str(raised.value).split()[2]))
    assert batches <= set(range(6, 11))
    assert len(batches) > 1


def test_rows_are_those_of_the_day_where_some_are_left_out(make_settings, make_samples):
    samples = make_samples(700).with_columns(converted=pl.when(pl.int_range(700) == 650).then(NAN).otherwise(pl.col("clicked") * 1.0))
    with pytest.raises(TrainingDivergedError, match=r"\(rows 600 to 700, shuffled\), label converted"):
        train(samples.with_columns(clicked=(pl.int_range(700) == 650) | pl.col("clicked")), None, make_settings(negative_rate=0.1))


def test_an_input_that_is_not_finite_is_a_number_like_others(make_settings, make_samples):
    """NaN is a missing number, and infinite ones are in the last bucket."""
    settings, samples = make_settings(), make_samples(ROWS)
    prices = [samples.with_columns(price=pl.lit(value, pl.Float64)) for value in (None, NAN, INFINITE, 1e300, -INFINITE, 0.0)]
    missing, also_missing, most, large, least, none = (content(train(rows, None, settings)) for rows in prices)
    assert missing == also_missing
    assert most == large
    assert least == none


def test_a_row_of_the_parent_that_no_sample_reads_is_named_at_the_end(make_settings, make_samples):
    settings, samples = make_settings(), make_samples(ROWS)
    parent = train(samples, None, settings)
    unread = (parent.model["table"] == train(samples, parent, settings).model["table"]).all(dim=1).nonzero().flatten()
    row = int(unread[unread >= 200][0])
    parent.model["table"][row, 3] = NAN
    with pytest.raises(TrainingDivergedError, match=rf"batch 7 .*, row {row - 200} of table item_id, which no batch read: .* a parameter"):
        train(samples, parent, settings)
