import itertools
from datetime import date
from pathlib import Path

import pytest

from components.errors import RegistryError
from components.promote.gate import Verdict
from components.promote.registry import Registry

PROMOTE, HOLD = Verdict("promote", "not worse"), Verdict("hold", "cvr_auc is below the margin")
INSUFFICIENT = Verdict("insufficient", "3 conversions")
LINEAGE = {"settings": "f00d", "rows": 1200, "samples_version": 7}


def day(number):
    return date(2024, 5, number)


def enter(registry, version, number):
    return registry.register(version, day=day(number), parent=None, source=Path("checkpoints") / version, tags=LINEAGE)


def judge(registry, version, number, verdict=PROMOTE):
    """Register a version and apply its verdict, as `promote` does."""
    enter(registry, version, number)
    return registry.apply(verdict, version, day(number))


def champion(registry):
    found = registry.champion()
    return found.version if found else None


def baseline(registry, number):
    found = registry.champion_before(day(number))
    return found.version if found else None


def challenger(registry):
    return next(model.version for model in registry.models() if "challenger" in model.aliases)


def state(registry):
    return [(model.version, model.verdict, model.reason, model.aliases, model.tags) for model in registry.models()]


def test_a_registered_version_keeps_its_lineage_and_is_the_challenger(registry):
    registry.register("v1", day=day(1), parent="v0", source=Path("checkpoints/v1"), tags=LINEAGE)
    (model,) = registry.models()
    assert (model.version, model.day, model.parent, model.aliases, model.verdict) == ("v1", day(1), "v0", ("challenger",), "")
    assert {name: model.tags[name] for name in LINEAGE} == {"settings": "f00d", "rows": "1200", "samples_version": "7"}
    assert model.created_at.tzinfo is not None


def test_registering_again_makes_no_second_entry(registry):
    first, second = enter(registry, "v1", 1), enter(registry, "v1", 1)
    assert first == second
    assert len(registry.models()) == 1


def test_a_version_belongs_to_one_day(registry):
    enter(registry, "v1", 1)
    with pytest.raises(RegistryError, match="version v1 is of 2024-05-01, not of 2024-05-02"):
        enter(registry, "v1", 2)
    with pytest.raises(RegistryError, match="version v1 is of 2024-05-01, not of 2024-05-02"):
        registry.apply(PROMOTE, "v1", day(2))


@pytest.mark.parametrize(("order", "expected"), [((1, 2), "v2"), ((2, 1), "v2")])
def test_the_challenger_is_of_the_newest_day(registry, order, expected):
    for number in order:
        enter(registry, f"v{number}", number)
    assert challenger(registry) == expected


def test_the_latest_version_of_the_same_day_is_the_challenger(registry):
    for version in ("old", "new"):
        enter(registry, version, 1)
    assert challenger(registry) == "new"
    enter(registry, "old", 1)
    assert challenger(registry) == "old"


def test_an_unregistered_version_gets_no_verdict(registry):
    with pytest.raises(RegistryError, match="found no such version"):
        registry.apply(PROMOTE, "v1", day(1))


@pytest.mark.parametrize("verdict", [HOLD, INSUFFICIENT])
def test_only_promote_moves_the_champion(registry, verdict):
    assert not judge(registry, "v1", 1, verdict)
    assert champion(registry) is None
    assert judge(registry, "v2", 2)
    assert not judge(registry, "v3", 3, verdict)
    assert champion(registry) == "v2"
    assert [(model.verdict, model.reason, model.promoted) for model in registry.models()] == [
        (verdict.verdict, verdict.reason, False),
        ("promote", "not worse", True),
        (verdict.verdict, verdict.reason, False),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_days_promoted_in_any_order_leave_the_newest_as_champion(registry, order):
    for number in order:
        judge(registry, f"v{number}", number)
    assert champion(registry) == "v3"
    assert [model.version for model in registry.models()] == ["v3", "v2", "v1"]
    assert [baseline(registry, number) for number in (1, 2, 3, 4)] == [None, "v1", "v2", "v3"]


def test_an_older_day_does_not_displace_the_champion_and_says_why(registry):
    judge(registry, "v2", 2)
    assert not judge(registry, "v1", 1)
    older = registry.models()[1]
    assert older.promoted
    assert older.reason == "not worse; the champion alias did not move: v2 of the newer day 2024-05-02 stands"


def test_the_baseline_of_a_backfilled_day_is_of_its_own_past(registry):
    for number, verdict in ((1, PROMOTE), (2, HOLD), (3, PROMOTE), (5, PROMOTE)):
        judge(registry, f"v{number}", number, verdict)
    assert [baseline(registry, number) for number in range(1, 7)] == [None, "v1", "v1", "v3", "v3", "v5"]


def test_promoting_the_same_version_again_changes_nothing(registry):
    for number, verdict in ((1, PROMOTE), (2, HOLD), (3, PROMOTE)):
        judge(registry, f"v{number}", number, verdict)
    before = state(registry)
    for number, verdict in ((1, PROMOTE), (2, HOLD), (3, PROMOTE)):
        assert not judge(registry, f"v{number}", number, verdict)
    assert state(registry) == before
    assert (champion(registry), challenger(registry)) == ("v3", "v3")


def test_a_promoted_rerun_of_the_champions_day_takes_its_place(registry):
    judge(registry, "old", 1)
    assert judge(registry, "new", 1)
    assert (champion(registry), baseline(registry, 2)) == ("new", "new")
    assert {model.version: model.superseded_by for model in registry.models()} == {"old": "new", "new": ""}


def test_a_held_rerun_leaves_the_champion_serving_until_a_promotion(registry):
    judge(registry, "v1", 1)
    judge(registry, "old", 2)
    assert not judge(registry, "new", 2, HOLD)
    assert (champion(registry), baseline(registry, 3)) == ("old", "old")
    assert judge(registry, "newer", 2)
    assert (champion(registry), baseline(registry, 3)) == ("newer", "newer")


def test_a_held_rerun_of_an_older_day_ends_its_old_version_as_a_baseline(registry):
    for number in (1, 2, 3):
        judge(registry, f"v{number}", number)
    judge(registry, "new", 2, HOLD)
    assert (champion(registry), baseline(registry, 3)) == ("v3", "v1")
    judge(registry, "v2", 2)
    assert baseline(registry, 3) == "v2"


def test_rollback_returns_to_the_champion_before_and_again(registry):
    for number, verdict in ((1, PROMOTE), (2, HOLD), (3, PROMOTE), (4, PROMOTE)):
        judge(registry, f"v{number}", number, verdict)
    assert registry.rollback("click-through fell").version == "v3"
    assert champion(registry) == "v3"
    assert registry.models()[0].rolled_back == "click-through fell"
    restored = registry.rollback()
    assert (restored.version, restored.aliases) == ("v1", ("champion",))
    with pytest.raises(RegistryError, match="before the day of champion v1, found none"):
        registry.rollback()
    assert champion(registry) == "v1"
    assert registry.models()[-1].rolled_back == ""


def test_there_is_nothing_to_roll_back_without_a_champion(registry):
    enter(registry, "v1", 1)
    with pytest.raises(RegistryError, match="expected a champion, found none"):
        registry.rollback()


def test_a_rolled_back_version_is_neither_baseline_nor_promoted_again(registry):
    for number in (1, 2):
        judge(registry, f"v{number}", number)
    registry.rollback("complaints")
    assert not judge(registry, "v2", 2)
    assert registry.models()[0].reason.endswith("; the champion alias did not move: this version was rolled back (complaints)")
    assert (champion(registry), baseline(registry, 3)) == ("v1", "v1")
    stricter = Verdict("promote", "judged anew")
    assert not registry.apply(stricter, "v2", day(2))
    assert registry.models()[0].reason == "judged anew; the champion alias did not move: this version was rolled back (complaints)"
    assert judge(registry, "repaired", 2)
    assert champion(registry) == "repaired"


def test_a_rollback_passes_over_versions_that_a_rerun_replaced(registry):
    judge(registry, "v1", 1)
    judge(registry, "old", 2)
    judge(registry, "new", 2, HOLD)
    judge(registry, "v3", 3)
    assert registry.rollback().version == "v1"


def test_a_rollback_killed_between_its_writes_is_finished_by_the_next(registry):
    for number in (1, 2, 3):
        judge(registry, f"v{number}", number)
    registry._store.tag(registry.champion(), rolled_back="killed here")
    assert registry.champion_before(day(4)).version == "v2"
    assert registry.rollback("again").version == "v2"


def test_a_promotion_killed_before_the_alias_is_finished_by_the_rerun(registry):
    model = enter(registry, "v1", 1)
    registry._store.tag(model, verdict="promote", promoted=True)
    assert judge(registry, "v1", 1)
    assert champion(registry) == "v1"


def test_an_evaluation_is_one_run_however_often_it_is_logged(registry):
    enter(registry, "v1", 1)
    for value in (0.71, 0.71, 0.65):
        registry.log_evaluation("v1", day(1), {"cvr_auc": value, "rows": 900.0})
    client = registry._store._client
    experiment = client.get_experiment_by_name("esmm")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics == {"cvr_auc": 0.65, "rows": 900.0}
    assert [len(client.get_metric_history(run.info.run_id, name)) for name in ("cvr_auc", "rows")] == [2, 1]
    assert run.data.params == {"version": "v1", "day": "2024-05-01", "parent": "", "settings": "f00d"}
    assert (run.data.tags["version"], run.data.tags["day"], run.info.status) == ("v1", "2024-05-01", "FINISHED")
    with pytest.raises(RegistryError, match="found no such version"):
        registry.log_evaluation("v9", day(1), {})


def test_the_registry_records_no_path_of_this_machine_but_the_checkpoints(registry):
    enter(registry, "v1", 1)
    registry.log_evaluation("v1", day(1), {"rows": 1.0})
    locations = {experiment.artifact_location for experiment in registry._store._client.search_experiments()}
    assert all(location.startswith("mlflow-artifacts:/") for location in locations)
    assert not Path("mlruns").exists()


def test_only_databases_with_a_lock_are_opened():
    with pytest.raises(RegistryError, match="expected a postgresql or sqlite database, found mysql"):
        Registry("mysql://server/mlflow")


def test_more_versions_than_a_page_are_all_listed(registry, monkeypatch):
    for number in (1, 2, 3):
        enter(registry, f"v{number}", number)
    client = registry._store._client
    search = client.search_model_versions
    monkeypatch.setattr(client, "search_model_versions", lambda query, page_token=None: search(query, max_results=2, page_token=page_token))
    assert [model.version for model in registry.models()] == ["v3", "v2", "v1"]


def test_a_version_made_by_hand_in_mlflow_is_left_alone_and_is_no_champion(registry):
    judge(registry, "ours", 1)
    client = registry._store._client
    by_hand = client.create_model_version("esmm", "somewhere", await_creation_for=0)
    assert [model.version for model in registry.models()] == ["ours"]
    client.set_registered_model_alias("esmm", "champion", by_hand.version)
    with pytest.raises(RegistryError, match="made by hand"):
        registry.champion()
