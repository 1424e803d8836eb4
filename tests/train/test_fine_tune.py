import subprocess
import sys
import tracemalloc
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from components.checkpoints import CheckpointStore
from components.errors import CheckpointError, DataError, TrainingDivergedError
from components.model.encoding import Layout, encode
from components.model.scoring import score
from components.train.loop import fine_tune

FIRST, SECOND = date(2024, 5, 1), date(2024, 5, 2)


def train(samples, parent, settings, progress=None):
    return fine_tune(samples.lazy(), parent, profile=settings.profile, settings=settings, progress=progress)


def assert_same_bytes(checkpoint, other):
    for tensors, others in ((checkpoint.model, other.model), (checkpoint.optimizer, other.optimizer)):
        assert tensors.keys() == others.keys()
        for name in tensors:
            assert tensors[name].numpy().tobytes() == others[name].numpy().tobytes(), name


def touched_rows(samples, settings):
    encoded = encode(samples, Layout.of(settings.profile))
    return np.unique(np.concatenate([encoded.ids_NS.ravel(), encoded.values_E]))


def test_64_rows_are_learned_by_heart(make_settings, make_samples):
    samples = make_samples(64).with_columns(user_id=pl.int_range(64).cast(pl.String))
    settings = make_settings(chunk_rows=64, batch_size=16, learning_rate=0.01, table_learning_rate=0.1)
    checkpoint = train(pl.concat([samples] * 30), None, settings)
    scored = score(samples.lazy(), checkpoint, profile=settings.profile, settings=settings)
    clicked = samples["clicked"].to_numpy()
    assert roc_auc_score(clicked, scored["pctr"]) == 1
    assert roc_auc_score(samples["converted"], scored["pctcvr"]) == 1
    assert roc_auc_score(samples["converted"].to_numpy()[clicked], scored["pcvr"].to_numpy()[clicked]) == 1


def test_one_pass_learns_what_clicks_and_conversions_follow(make_settings, make_samples):
    settings = make_settings(learning_rate=0.005, table_learning_rate=0.05)
    checkpoint, later = train(make_samples(6000), None, settings), make_samples(3000, seed=2)
    scored = score(later.lazy(), checkpoint, profile=settings.profile, settings=settings)
    clicked, converted = later["clicked"].to_numpy(), later["converted"].to_numpy()
    assert roc_auc_score(clicked, scored["pctr"]) > 0.78  # the truth itself: 0.80
    assert roc_auc_score(converted[clicked], scored["pcvr"].to_numpy()[clicked]) > 0.77
    assert scored["pctcvr"].sum() / converted.sum() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bytes(make_settings, make_samples, threads):
    settings, samples = make_settings(threads=threads), make_samples(700)
    assert_same_bytes(train(samples, None, settings), train(samples, None, settings))


def test_another_seed_gives_another_model(make_settings, make_samples):
    samples = make_samples(200)
    one, other = (train(samples, None, make_settings(seed=seed)) for seed in (1, 2))
    assert not torch.equal(one.model["table"], other.model["table"])


def test_two_days_saved_between_equal_the_same_two_days_in_one_process(make_settings, make_samples, tmp_path):
    settings, days = make_settings(), (make_samples(700), make_samples(500, seed=2))
    store = CheckpointStore(tmp_path)
    loaded = store.load(store.save(FIRST, train(days[0], None, settings)))
    challenger = train(days[1], loaded, settings)
    assert_same_bytes(challenger, train(days[1], train(days[0], None, settings), settings))
    assert (challenger.manifest["parent"], challenger.manifest["steps"], challenger.manifest["chunks"]) == (
        store.head(FIRST),
        12 + 9,
        3 + 2,
    )


def test_two_days_in_a_process_each_give_the_versions_of_both_in_one(make_settings, make_samples, tmp_path):
    """With a bottom whose gates drop out, positions that do, and a list field."""
    settings = make_settings(model={"bottom": "mmoe", "mmoe": {"experts": 4, "expert_width": 8, "hidden": (8,)}, "position_tower": True})
    days = {FIRST: make_samples(700), SECOND: make_samples(500, seed=2)}
    (tmp_path / "settings.json").write_text(settings.model_dump_json(include={"model", "train", "data"}))
    script = f"""
import json, pathlib, sys
from datetime import date, timedelta
import polars
from components.checkpoints import CheckpointStore
from components.settings import Settings
from components.train.loop import fine_tune
home, day = pathlib.Path({str(tmp_path)!r}), date.fromisoformat(sys.argv[1])
settings, store = Settings(**json.loads((home / "settings.json").read_text())), CheckpointStore(home / "theirs")
before = store.head(day - timedelta(days=1))
rows = polars.scan_parquet(home / f"{{day}}.parquet")
store.save(day, fine_tune(rows, store.load(before) if before else None, profile=settings.profile, settings=settings))
"""
    ours, theirs, parent = CheckpointStore(tmp_path / "ours"), CheckpointStore(tmp_path / "theirs"), None
    for day, samples in days.items():
        samples.write_parquet(tmp_path / f"{day}.parquet")
        subprocess.run([sys.executable, "-c", script, str(day)], check=True, timeout=120)
        challenger = train(samples, parent, settings)
        version = ours.save(day, challenger)
        assert version == theirs.head(day)
        for file in (ours.folder / version).iterdir():
            assert file.read_bytes() == (theirs.folder / version / file.name).read_bytes(), file.name
        parent = replace(challenger, manifest={**challenger.manifest, "version": version})  # not read back


def test_rows_that_no_sample_touches_keep_their_bytes_and_the_table_has_no_gradient(make_settings, make_samples):
    settings = make_settings()
    parent, samples = train(make_samples(700), None, settings), make_samples(40, seed=3).head(4)
    challenger = train(samples, parent, settings)
    touched = touched_rows(samples, settings)
    moved = (challenger.model["table"] != parent.model["table"]).any(dim=1).nonzero().flatten().numpy()
    assert moved.tolist() == touched.tolist()
    accumulated = challenger.optimizer["table.accumulator"] != parent.optimizer["table.accumulator"]
    assert accumulated.nonzero().flatten().numpy().tolist() == touched.tolist()
    assert challenger.model["table"].grad is None
    assert not challenger.model["table"].requires_grad


def test_no_gradient_is_ever_as_large_as_the_table(make_settings, make_samples):
    """With a table of 4 million rows (96 MB) training allocates no second one."""
    profile = """
fields = [{ name = "item_id", kind = "id", buckets = 4000000 }]
""" + (make_settings().profile_path.read_text().split("]\n[impressions]")[1].join(["[impressions]", ""]))
    settings = make_settings('name = "wide"\n' + profile, threads=1)
    samples, activities = make_samples(300), [torch.profiler.ProfilerActivity.CPU]
    tracemalloc.start()
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        checkpoint = train(samples, None, settings)
    _, of_numpy = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table = checkpoint.model["table"].nbytes
    of_torch = max(event.cpu_memory_usage for event in profiler.events() if event.name == "aten::empty")
    assert table == 96_000_000
    assert of_numpy == pytest.approx(table * 7 / 6, rel=0.1)  # the table and the accumulator, one float a row
    assert of_torch <= table / 6


def test_the_parent_is_not_changed(make_settings, make_samples):
    settings = make_settings()
    parent = train(make_samples(700), None, settings)
    before = [{name: tensor.clone() for name, tensor in tensors.items()} for tensors in (parent.model, parent.optimizer)]
    train(make_samples(300, seed=2), parent, settings)
    for tensors, copies in zip((parent.model, parent.optimizer), before, strict=True):
        assert all(torch.equal(tensors[name], copies[name]) for name in copies)


def test_a_cold_start_predicts_the_base_rates_of_the_first_rows(make_settings, make_samples):
    settings, samples = make_settings(learning_rate=0.0, table_learning_rate=0.0, chunk_rows=700), make_samples(700)
    scored = score(samples.lazy(), train(samples, None, settings), profile=settings.profile, settings=settings)
    clicks, conversions = samples["clicked"].sum(), samples["converted"].sum()
    assert scored["pctr"].mean() == pytest.approx((clicks + 1) / 702, rel=0.03)
    assert scored["pcvr"].mean() == pytest.approx((conversions + 1) / (clicks + 2), rel=0.03)  # embeddings are small, not 0


def test_a_first_day_without_a_click_trains(make_settings, make_samples):
    samples = make_samples(100).with_columns(clicked=pl.lit(False), converted=pl.lit(False))
    assert train(samples, None, make_settings()).manifest["base_rates"] == {"ctr": 0.0, "cvr": None}


def test_a_loss_that_is_not_finite_names_the_batch_and_its_rows(make_settings, make_samples):
    settings = make_settings(learning_rate=1e30)
    with pytest.raises(
        TrainingDivergedError, match=r"batch \d+ \(rows (0 to 300|300 to 600|600 to 700), shuffled\).*the loss is NaN or inf"
    ):
        train(make_samples(700), None, settings)


def test_a_parameter_that_is_not_finite_at_the_end_is_refused(make_settings, make_samples):
    with pytest.raises(
        TrainingDivergedError, match=r"batch 1 \(rows 0 to 40, shuffled\).*a parameter is NaN or infinite; nothing was saved"
    ):
        train(make_samples(40), None, make_settings(table_learning_rate=float("inf")))


def test_a_parent_of_another_profile_is_refused(make_settings, make_samples):
    settings = make_settings()
    parent = train(make_samples(100), None, settings)
    other = make_settings(settings.profile_path.read_text().replace("buckets = 64", "buckets = 64, scale = 2.0"))
    with pytest.raises(CheckpointError, match=r"field price scale was 1.0, is 2.0.*train.missing_parent=cold_start"):
        train(make_samples(100), parent, other)


def test_no_rows_are_refused(make_settings, make_samples):
    with pytest.raises(DataError, match="no rows"):
        train(make_samples(10).clear(), None, make_settings())


def test_progress_counts_the_rows_batch_by_batch(make_settings, make_samples):
    seen: list[int] = []
    train(make_samples(700), None, make_settings(), progress=seen.append)
    assert seen == [60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 650, 700]  # 300 rows in 5 even batches of at most 64, twice; 100 in 2


def test_the_manifest_says_what_was_trained_on(make_settings, make_samples):
    settings, samples = make_settings(), make_samples(700)
    manifest = train(samples, None, settings).manifest
    clicks, conversions = int(samples["clicked"].sum()), int(samples["converted"].sum())
    assert [manifest[name] for name in ("rows", "clicks", "conversions", "steps", "parent")] == [700, clicks, conversions, 12, None]
    assert manifest["settings"] == settings.fingerprint
    assert manifest["base_rates"] == {"ctr": clicks / 700, "cvr": conversions / clicks}
    assert manifest["vocabularies"] == {"user_id": 200, "item_id": 400, "price": 64}
    assert set(manifest["losses"]) == {"ctr", "ctcvr", "masked_cvr"}
    assert 0 < manifest["losses"]["ctr"] < 0.7


def test_the_masked_term_is_trained_where_the_loss_has_it(make_settings, make_samples):
    settings, samples = make_settings(), make_samples(700)
    product = settings.model_copy(update={"model": settings.model.model_copy(update={"loss": "product"})})
    plain, masked = train(samples, None, product), train(samples, None, settings)
    assert set(plain.manifest["losses"]) == {"ctr", "ctcvr"}
    assert set(masked.manifest["losses"]) == {"ctr", "ctcvr", "masked_cvr"}
    assert not torch.equal(plain.model["cvr_tower.0.weight"], masked.model["cvr_tower.0.weight"])
