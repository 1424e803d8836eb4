"""A number that is not finite, anywhere and at any step: training ends in that step and says which, and nothing is left of it."""

import random
from collections.abc import Callable, Iterator

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
def before_step(monkeypatch) -> Iterator[Callable[..., None]]:
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

    yield arrange
    monkeypatch.undo()


def spoil_row(place: int, value: float) -> Callable[..., object]:
    def disturb(learner, batch) -> None:
        learner.network.table[batch.samples.ids_NS[0, place], 0] = value

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
        learner.adagrad.accumulator_R[batch.samples.ids_NS[0, place]] = NAN

    return disturb


SPOILED = {
    "a row of the table": (spoil_row(0, NAN), r"field user_id: .* a parameter is NaN .* train from an earlier parent"),
    "an infinite row": (spoil_row(2, -INFINITE), r"field price: .* a parameter"),
    "a row that two fields share": (spoil_row(1, NAN), r"field item_id(, field clicked_items)?: .* a parameter"),
    "a weight": (spoil_weight("cvr_tower.2.weight", NAN), r"cvr_tower\.2\.weight: .* a parameter"),
    "an infinite bias": (spoil_weight("ctr_tower.0.bias", -INFINITE), r"ctr_tower\.0\.bias: .* a parameter"),
    "a weight that overflows": (spoil_weight("ctr_tower.4.bias", 3e38), r"the terms of the loss: .* the loss is"),
    "a gradient": (spoil_gradient("ctr_tower.2.weight", NAN), r"ctr_tower\.2\.weight: .* the square of a gradient is .* lower"),
    "a gradient without a square": (spoil_gradient("cvr_tower.0.bias", 1e30), r"cvr_tower\.0\.bias: .* the square of a gradient is .* lower"),
    "Adam's state": (spoil_state("ctr_tower.0.weight", INFINITE), r"ctr_tower\.0\.weight: .* a parameter"),
    "Adagrad's state": (spoil_accumulator(0), r"field user_id: .* a parameter"),
}


def test_at_any_of_a_hundred_steps_training_ends_there_and_says_what(make_settings, make_samples, before_step, monkeypatch):
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
        monkeypatch.undo()
        seen.add(what)
        assert content(parent) == kept
    assert seen == set(SPOILED)
    assert content(train(samples, parent, settings)) == undisturbed
