"""What is asked of a trained model outside the daily run: a user's candidates ranked, a day's scores as a file, the scorer as a program."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
import pyarrow.parquet as pq

from components.candidates import newest_day, read_candidates, shown_candidates, with_features
from components.checkpoints import CheckpointStore
from components.disk import folder_beside
from components.errors import DataError, RegistryError
from components.inputs import ONE_DAY, assembled, midnight
from components.records import Record
from components.settings import Ranking, Settings
from components.steps import registry

if TYPE_CHECKING:
    from components.checkpoints import Checkpoint

log = logging.getLogger("esmm")
Form = Literal["torch", "onnx"]
PROGRAMS: Mapping[Form, str] = {"torch": "scorer.pt2", "onnx": "scorer.onnx"}
TOLD = "manifest.json"


def load_model(model: str, settings: Settings) -> "Checkpoint":
    """Load the champion, or a version by its name; raises RegistryError where there is no champion, CheckpointError for no such version."""
    if model != "champion":
        return CheckpointStore(settings.root).load(model)
    standing = registry(settings).champion()
    if standing is None:
        raise RegistryError("expected a champion, found none; promote a day first (`esmm promote DAY`), or name a version (`esmm models`)")
    return CheckpointStore(settings.root).load(standing.version)


def rank(user: str, items: Sequence[str] | Path, settings: Settings, *, day: date | None = None, model: str = "champion") -> Record:
    """Rank items, given by id or in a file, for a user by the weights of `ranking`; ties go by item_id.

    day: whose eve's features are read; the newest there are when not given. The rows are the same whatever the items' order.
    """
    chosen = day or newest_day(settings)
    candidates = read_candidates(items, settings.profile) if isinstance(items, Path) else shown_candidates(items, chosen, settings)
    if candidates.is_empty():
        raise DataError(f"score {user}: expected at least one item, found none; name some, or give a file with rows")
    priced, rows = _priced(candidates, settings), with_features(candidates, user, chosen, settings)
    checkpoint = load_model(model, settings)
    scores = _scores(rows, checkpoint, settings)
    ranked = rank_scores(scores.with_columns(priced), settings.ranking)
    return {"user_id": user, "day": str(chosen), "model": checkpoint.version, "items": ranked.to_dicts()}


def rank_scores(scores: pl.DataFrame, weights: Ranking) -> pl.DataFrame:
    """Return rank, item_id, score, pctr, pcvr and price, the first rank 1: score = pctr^alpha pcvr^beta price^gamma, ties by item_id."""
    score = pl.col("pctr") ** weights.alpha * pl.col("pcvr") ** weights.beta
    if weights.gamma:
        score = score * pl.col("price") ** weights.gamma
    ranked = scores.with_columns(score=score).sort("score", "item_id", descending=[True, False])
    return ranked.with_row_index("rank", offset=1).select("rank", "item_id", "score", "pctr", "pcvr", "price")


def _priced(candidates: pl.DataFrame, settings: Settings) -> pl.Series:
    """Return the candidates' prices; raises DataError where the weights need one that is missing or not above 0."""
    column, gamma = settings.profile.price, settings.ranking.gamma
    if gamma and not column:
        raise DataError(f"ranking.gamma {gamma}: expected a profile with `price`, found {settings.profile.name} without; use gamma 0")
    found = candidates[column] if column else pl.repeat(None, len(candidates), eager=True)
    prices = found.cast(pl.Float64).alias("price")
    without = candidates["item_id"].filter(~(prices > 0).fill_null(False))
    if gamma and len(without):
        raise DataError(
            f"ranking.gamma {gamma}: expected a price above 0 of every item, found none of {', '.join(without.head(5))}"
            f"{' and others' if len(without) > 5 else ''}; give {column} in the file of --items, or use gamma 0"
        )
    return prices


def _scores(rows: pl.DataFrame, checkpoint: "Checkpoint", settings: Settings) -> pl.DataFrame:
    """Return item_id, pctr, pcvr and pctcvr; where the network has a user's half, it is computed once."""
    from components.model.own_fields import own_fields
    from components.model.scoring import score, score_candidates, user_columns

    own = own_fields(rows.lazy().with_columns(impression_id="item_id"), checkpoint, settings.profile)
    if settings.model.bottom != "dupn":
        return score(own.rows, checkpoint, profile=own.profile, settings=settings).rename({"impression_id": "item_id"})
    candidates = own.rows.collect()
    user = candidates.select(user_columns(own.profile)).unique()
    if user.height > 1:
        raise DataError(
            f'score: expected fields with side = "user" to be the same for all items, found {user.height} values of '
            f"{', '.join(user.columns)}; give one value of each in the file of --items"
        )
    found = score_candidates(user, candidates, checkpoint, profile=own.profile, settings=settings)
    return found.with_columns(rows["item_id"])


def score_day(day: date, out: Path, settings: Settings, *, model: str = "champion") -> Record:
    """Write impression_id, pctr, pcvr and pctcvr of a labelled day's samples to a Parquet file, in time order, as they are made.

    The same samples, features and model give the same bytes. Raises DataError where the day has no samples.
    """
    from components.model.own_fields import own_fields
    from components.model.scoring import score_chunks

    checkpoint = load_model(model, settings)
    rows = assembled(day, settings, first=midnight(day), end=midnight(day + ONE_DAY))
    own = own_fields(rows, checkpoint, settings.profile)
    chunks = (frame for (frame,) in score_chunks(own.rows, [checkpoint], profile=own.profile, settings=settings))
    num_rows = _write_parquet(chunks, out, {"day": str(day), "model": str(checkpoint.version)})
    if not num_rows:
        raise DataError(f"score-day {day}: expected samples, found none; run `esmm label {day}` first")
    log.info("score-day %s: %d rows by %s", day, num_rows, checkpoint.version)
    return {"day": str(day), "model": checkpoint.version, "rows": num_rows, "out": str(out)}


def _write_parquet(frames: Iterable[pl.DataFrame], path: Path, told: dict[str, str]) -> int:
    """Write frames as the row groups of a file, which appears whole or not at all (not where there are none); return its rows."""
    writer, num_rows = None, 0
    with folder_beside(path) as aside:
        for frame in frames:
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(aside / path.name, table.schema.with_metadata(told), compression="zstd")
            writer.write_table(table.replace_schema_metadata(told))
            num_rows += frame.height
        if writer:
            writer.close()
            (aside / path.name).replace(path)
    return num_rows


def export(out: Path, settings: Settings, *, model: str = "champion", form: Form = "torch") -> Record:
    """Write the scorer to a new folder: `scorer.pt2`, which torch loads alone, or `scorer.onnx`, and `manifest.json`: what its inputs are.

    A model above 1.5 GiB has its weights beside it, in `scorer.onnx.data`; the known ids of exact tables are in `ids.safetensors`. Raises
    SettingsError where the packages for ONNX are missing.
    """
    import torch
    from safetensors.torch import save_file

    from components.model.export import KNOWN_IDS
    from components.model.export import export as trace
    from components.model.identity import rows_by_key
    from components.model.onnx import to_onnx
    from components.model.own_fields import own_profile

    if out.exists():
        raise DataError(f"{out}: expected no such folder yet, found one; choose another, or remove it")
    checkpoint = load_model(model, settings)
    program, told = trace(checkpoint, profile=own_profile(checkpoint, settings.profile), options=settings.model)
    with folder_beside(out) as aside:
        made = aside / out.name
        made.mkdir()
        if form == "onnx":
            converted, told = to_onnx(program, told)
            converted.save(made / PROGRAMS[form])
        else:
            torch.export.save(program, made / PROGRAMS[form])
        if ids := rows_by_key(checkpoint.model):
            save_file(ids, made / KNOWN_IDS)
        told["files"] = {path.name: _digest(path) for path in sorted(made.iterdir())}
        (made / TOLD).write_text(json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        made.rename(out)
    return {"model": told["version"], "out": str(out), "files": [*told["files"], TOLD]}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
