"""The chain of days, from literal records."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from components.checkpoints import CheckpointStore
from components.inputs import open_lake
from components.promote.versions import Model
from components.records import Records
from components.settings import Settings, load_settings
from components.status import Status, look
from components.tables import OUTCOMES
from tests.chains import change, day, forget, forget_day, model, run_again, version, write_day

ORDER = ("ingest", "label", "validate", "relabel", "aggregate", "publish", "train", "evaluate", "promote")


def judge(settings: Settings, champion: Model | None = None, **days: date) -> Status:
    return look(settings, lambda: champion, **days)


def states(status: Status) -> list[str]:
    return [link.state for link in status.days]


def repairs(status: Status) -> dict[date, str]:
    return {link.day: link.repair for link in status.days if link.repair}


@pytest.fixture
def chain(shop_settings: Settings) -> Settings:
    """Record five whole days."""
    for number in range(1, 6):
        write_day(shop_settings, number)
    return shop_settings


def test_days_of_which_each_was_trained_from_the_one_before_are_a_whole_chain(chain: Settings) -> None:
    found = judge(chain, model(5))
    assert [link.day for link in found.days] == [day(number) for number in range(1, 6)]
    assert [link.version for link in found.days] == [version(number) for number in range(1, 6)]
    assert [link.parent for link in found.days] == [None, *(version(number) for number in range(1, 5))]
    assert {state for link in found.days for state in (link.state, *link.steps.values())} == {"done"}
    assert {link.verdict for link in found.days} == {"promote"}
    assert [link.champion for link in found.days] == [False] * 4 + [True]
    assert (found.whole, found.repair, repairs(found)) == (True, "", {})
    assert found.summary == f"champion {version(5)}, 0 days old; the chain is whole"


def test_all_days_after_a_missing_one_are_stale_and_one_command_runs_them(chain: Settings) -> None:
    forget_day(chain, 3)
    found = judge(chain, model(5))
    assert states(found) == ["done", "done", "missing", "stale", "stale"]
    assert repairs(found) == {day(3): "esmm run 2024-05-03 --to 2024-05-05"}
    assert (found.whole, found.repair) == (False, "esmm run 2024-05-03 --to 2024-05-05")
    assert found.days[2].why == "ingest: has not run"
    assert found.days[3].why == "relabel: that of 2024-05-03 is missing"
    assert {step for step, state in found.days[3].steps.items() if state == "done"} == {"ingest", "label", "validate"}
    assert found.summary.endswith("3 of 5 days are not done; run: esmm run 2024-05-03 --to 2024-05-05")


def test_a_day_run_again_to_another_checkpoint_makes_its_descendants_stale_until_they_have_run(chain: Settings) -> None:
    write_day(chain, 2, content="b")
    found = judge(chain)
    assert states(found) == ["done", "done", "stale", "stale", "stale"]
    assert found.days[2].why == f"train: its parent was {version(2)}, is {version(2, 'b')}"
    assert found.days[3].why == "train: that of 2024-05-03 is stale"
    assert found.repair == "esmm run 2024-05-03 --to 2024-05-05"
    for number, parent in ((3, version(2, "b")), (4, version(3, "b")), (5, version(4, "b"))):
        write_day(chain, number, content="b", parent=parent)
    assert judge(chain).whole


def test_a_full_retrain_has_no_parent_and_is_stale_when_the_days_before_it_were_trained_again(chain: Settings) -> None:
    change(chain, 4, "train", parent=None, full_retrain=True, eve=version(3))
    assert judge(chain).whole
    assert judge(chain).days[3].parent is None
    write_day(chain, 3, content="b", parent=version(2))
    found = judge(chain)
    assert states(found) == ["done", "done", "done", "stale", "stale"]
    assert found.days[3].why == f"train: the days before it were trained again: to {version(3, 'b')}, after {version(3)}"
    assert found.repair == "esmm run 2024-05-04 --to 2024-05-05"
    change(chain, 4, "train", eve=version(3, "b"))
    assert judge(chain).whole


def test_features_of_other_labels_are_stale_though_the_checkpoint_is_the_same(chain: Settings) -> None:
    write_day(chain, 2, labels="others")
    found = judge(chain)
    assert states(found) == ["done", "done", "stale", "stale", "stale"]
    assert found.days[2].why == "aggregate: 2024-05-02 is another now"


def outcome(number: int) -> dict[str, Any]:
    at = datetime(2024, 5, 2, number, tzinfo=UTC)
    return {"impression_id": f"i{number}", "item_id": "x", "exposed_at": at, "outcome": "click", "happened_at": at}


@pytest.mark.parametrize(
    ("number", "after"), [(1, ["done"] * 5), (2, ["done", "done", "stale", "stale", "stale"])], ids=["the same bytes", "other bytes"]
)
def test_outcomes_written_again_count_where_they_are_others(chain: Settings, number: int, after: list[str]) -> None:
    lake = open_lake(chain)
    schema = {name: dtype for name, dtype in OUTCOMES.schema(chain.profile).items() if name not in OUTCOMES.partition}
    versions = [
        lake.replace(OUTCOMES, day(2), pl.LazyFrame([{**dict.fromkeys(schema), **outcome(row)}], schema=schema)) for row in (1, number)
    ]
    write_day(chain, 2, outcomes=versions[0])
    for later in (3, 4, 5):
        write_day(chain, later)
    assert judge(chain).whole
    write_day(chain, 2, outcomes=versions[1])
    assert states(judge(chain)) == after


@pytest.mark.parametrize("step", ["ingest-clicks", *ORDER[1:]])
def test_a_step_without_a_record_is_missing_and_what_reads_it_is_stale(chain: Settings, step: str) -> None:
    forget(chain, 5, step)
    (link,) = judge(chain, first=day(5)).days
    name = step.split("-", maxsplit=1)[0]
    assert link.steps[name] == "missing"
    assert link.why == f"{name}: " + ("not trained, or its checkpoint is gone" if name == "train" else "has not run")
    after = {"publish": set(), "train": {"evaluate", "promote"}}.get(name, set(ORDER[ORDER.index(name) + 1 :]))
    assert {other for other, state in link.steps.items() if state == "stale"} == after
    assert {other for other, state in link.steps.items() if state == "done"} == set(ORDER) - after - {name}


@pytest.mark.parametrize(
    ("step", "stale", "why"),
    [
        ("ingest-clicks", "label", "ingest has run since"),
        ("aggregate", "train", "aggregate has run since"),
        ("train", "evaluate", "train has run since"),
        ("evaluate", "promote", "evaluate has run since"),
    ],
)
def test_a_step_is_stale_when_the_one_that_it_reads_has_run_since(chain: Settings, step: str, stale: str, why: str) -> None:
    run_again(chain, 5, step)
    link = judge(chain).days[-1]
    assert link.steps[stale] == "stale"
    assert link.steps[step.split("-", maxsplit=1)[0]] == "done"
    assert link.why == f"{stale}: {why}"


def test_a_day_labelled_again_to_the_same_samples_is_done_and_to_others_stale(chain: Settings) -> None:
    run_again(chain, 4, "label")
    assert judge(chain).whole
    change(chain, 4, "label", fingerprint="others")
    found = judge(chain)
    assert states(found) == ["done", "done", "done", "stale", "stale"]
    assert found.days[3].why == "validate: the day was labelled again since"
    change(chain, 4, "validate", fingerprint="others")
    assert judge(chain).days[3].why == "relabel: the day was labelled again since"


def test_a_day_that_failed_its_validation_says_so_and_is_to_be_run_again_with_those_after_it(chain: Settings) -> None:
    change(chain, 4, "validate", success=False)
    found = judge(chain)
    assert states(found) == ["done", "done", "done", "failed validation", "stale"]
    assert found.days[3].why == "validate: mend the logs or the band it names"
    assert repairs(found) == {day(4): "esmm run 2024-05-04 --to 2024-05-05"}


def test_days_without_a_verdict_or_unpublished_break_no_training_and_have_commands_of_their_own(chain: Settings) -> None:
    forget(chain, 1, "publish")
    forget(chain, 2, "promote")
    forget(chain, 3, "publish", "evaluate", "promote")
    found = judge(chain)
    assert states(found) == ["unpublished", "no verdict", "no verdict", "done", "done"]
    assert [link.verdict for link in found.days] == ["promote", "", "", "promote", "promote"]
    assert repairs(found) == {
        day(1): "esmm publish 2024-05-01",
        day(2): "esmm promote 2024-05-02",
        day(3): "esmm evaluate 2024-05-03 && esmm promote 2024-05-03 && esmm publish 2024-05-03",
    }
    assert (found.whole, found.repair) == (False, "esmm publish 2024-05-01")


def test_a_verdict_on_an_earlier_checkpoint_of_the_day_is_none(chain: Settings) -> None:
    change(chain, 5, "promote", challenger=version(5, "b"))
    write_day(chain, 5)
    assert judge(chain).days[-1].verdict == "promote"
    change(chain, 5, "promote", challenger=version(5, "b"))
    assert judge(chain).days[-1].verdict == ""


def test_a_checkpoint_that_is_gone_or_not_the_recorded_one_is_told(chain: Settings) -> None:
    change(chain, 5, "train", version=version(5, "b"))
    assert judge(chain).days[-1].why == f"train: it recorded {version(5, 'b')}, the store has {version(5)}"
    store = CheckpointStore(chain.root)
    (store.folder / version(4)).rename(store.folder / "elsewhere")
    assert states(judge(chain)) == ["done", "done", "done", "missing", "stale"]


@pytest.mark.parametrize(
    ("policy", "parent", "why"),
    [
        ("last_trained", 2, ""),
        ("last_trained", 3, f"train: its parent was {version(3)}, is {version(2)}"),
        ("cold_start", None, ""),
        ("cold_start", 3, f"train: its parent was {version(3)}, is None"),
        ("fail", 3, ""),
    ],
)
def test_after_a_gap_the_parent_is_what_the_settings_say(
    chain: Settings, monkeypatch: pytest.MonkeyPatch, policy: str, parent: int | None, why: str
) -> None:
    monkeypatch.setenv("ESMM_TRAIN__MISSING_PARENT", policy)
    forget_day(chain, 3)
    write_day(chain, 4)
    change(chain, 4, "train", parent=version(parent) if parent else None)
    assert judge(load_settings(), first=day(4)).days[0].why == why


def test_days_before_the_first_that_is_kept_are_not_asked_for(chain: Settings) -> None:
    for number in (1, 2):
        forget_day(chain, number)
        Records(chain.root).path(day(number), "x").parent.rmdir()
    assert states(judge(chain)) == ["done"] * 3


def test_an_earlier_day_run_for_the_first_time_makes_what_began_without_it_stale(chain: Settings) -> None:
    write_day(chain, 0)
    found = judge(chain)
    assert states(found) == ["done", *["stale"] * 5]
    assert found.days[1].why == "aggregate: 2024-04-30 is another now"


def test_only_the_days_asked_for_are_judged(chain: Settings) -> None:
    forget_day(chain, 2)
    assert states(judge(chain, last=day(1))) == ["done"]
    assert states(judge(chain, first=day(4))) == ["stale", "stale"]  # of features of a day that is gone
    assert states(judge(chain, first=day(2), last=day(3))) == ["missing", "stale"]
    assert judge(chain, first=day(2), last=day(3)).repair == "esmm run 2024-05-02 --to 2024-05-03"
    assert states(judge(chain, last=day(7)))[-2:] == ["missing", "missing"]
    assert states(judge(chain, first=day(9))) == ["missing"]
    assert states(judge(chain, last=day(-1))) == ["missing"]


def test_a_day_that_was_only_asked_about_is_no_day_of_the_chain(chain: Settings) -> None:
    Records(chain.root).write(day(6), "ready", {"ready": False})
    assert judge(chain).whole


def test_the_champion_may_be_older_than_the_newest_checkpoint_or_of_a_day_trained_again(chain: Settings) -> None:
    change(chain, 5, "promote", verdict="hold")
    found = judge(chain, model(3))
    assert [link.champion for link in found.days] == [False, False, True, False, False]
    assert [link.verdict for link in found.days[-2:]] == ["promote", "hold"]
    assert (found.whole, found.champion, found.champion_age_days, found.champion_superseded) == (True, version(3), 2, False)
    found = judge(chain, model(3, "b"))
    assert not any(link.champion for link in found.days)
    assert found.summary == f"champion {version(3, 'b')}, 2 days old (its day has been trained again); the chain is whole"


def test_other_settings_are_told_and_break_nothing(chain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not judge(chain).settings_changed
    monkeypatch.setenv("ESMM_TRAIN__SEED", "7")
    found = judge(load_settings())
    assert (found.whole, found.settings_changed) == (True, True)
    assert "the settings have changed since the newest checkpoint was trained" in found.summary
