"""What the models and features are asked for: scores, programs, look-ups, the registry, the chain."""

import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from components.cli.group import esmm
from components.errors import DataError
from components.settings import load_settings, with_ranking
from components.terminal import Day, shared, show, show_tables

model_option = click.option("--model", default="champion", show_default=True, help="champion, or a version of `esmm models`.")


@esmm.command()
@click.argument("items", nargs=-1)
@click.option("--user", required=True, help="Whom the items would be shown to.")
@click.option(
    "--items", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="CSV, NDJSON or Parquet: item_id, context."
)
@click.option("--day", type=Day(), help="Features as of the end of the day before; the newest when not given.")
@model_option
@click.option("--alpha", type=float, help="Exponent of pCTR; ranking.alpha when not given.")
@click.option("--beta", type=float, help="Exponent of pCVR.")
@click.option("--gamma", type=float, help="Exponent of the price.")
@shared
def score(
    items: tuple[str, ...], user: str, file: Path | None, day: date | None, model: str, path: Path | None, as_json: bool, **weights: Any
) -> None:
    """Rank items for a user by pCTR^alpha pCVR^beta price^gamma.

    Items named by id are taken with the category, shop, brand and price of their newest impressions.
    """
    from components import serving

    if bool(items) == bool(file):
        raise click.UsageError("name items, or a file of them with --items")
    settings = with_ranking(load_settings(path), {name: value for name, value in weights.items() if value is not None})
    found = serving.rank(user, file or items, settings, day=day, model=model)
    show_tables(found, {("rank", "item_id", "score", "pctr", "pcvr", "price"): found["items"]}, as_json)


@esmm.command()
@click.argument("day", type=Day())
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Parquet file to write.")
@model_option
@shared
def score_day(day: date, out: Path, model: str, path: Path | None, as_json: bool) -> None:
    """Score all samples of a labelled day into a Parquet file."""
    from components import serving

    show(serving.score_day(day, out, load_settings(path), model=model), as_json)


@esmm.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--format", "form", type=click.Choice(["torch", "onnx"]), default="torch", show_default=True, help="Of the program.")
@model_option
@shared
def export(out: Path, form: Any, model: str, path: Path | None, as_json: bool) -> None:
    """Write a model's scorer as a program that torch, or a runtime of ONNX, loads alone, and what its inputs are."""
    from components import serving

    show(serving.export(out, load_settings(path), model=model, form=form), as_json)


@esmm.command()
@click.argument("entity", type=click.Choice(["user", "item"]))
@click.argument("keys", nargs=-1, required=True)
@shared
def lookup(entity: Any, keys: tuple[str, ...], path: Path | None, as_json: bool) -> None:
    """Look up published features by key."""
    from components.publish.lookup import lookup as find

    found = find(entity, list(keys), load_settings(path))
    show(found if as_json or len(found) > 1 else found[0], as_json)
    if not any(answer["found"] for answer in found):
        raise DataError(f"lookup: no {entity} with key {', '.join(keys)} has been published")


@esmm.command()
@shared
def models(path: Path | None, as_json: bool) -> None:
    """List the registered models: version, day, verdict, champion, whether rolled back."""
    from dataclasses import asdict

    from components.steps import registry

    found = [asdict(model) for model in registry(load_settings(path)).models()]
    show_tables(found, {("version", "day", "verdict", "aliases", "rolled_back", "reason"): found}, as_json)


@esmm.command()
@click.option("--from", "first", type=Day(), help="First day to judge, the days before it being as they are; the earliest when not given.")
@click.option("--to", "last", type=Day(), help="Last day; the latest that ran when not given.")
@shared
def status(first: date | None, last: date | None, path: Path | None, as_json: bool) -> None:
    """Say of each day of the chain what was done, what is missing or stale, and which command repairs it.

    Exit status 0 where the chain is whole, 1 where it is not.
    """
    from dataclasses import asdict

    from components.status import look
    from components.steps import registry

    if first and last and last < first:
        raise click.UsageError(f"--to {last} is before --from {first}")
    settings = load_settings(path)
    found = look(settings, lambda: registry(settings).champion(), first=first, last=last)
    rows = [{**asdict(link), "champion": "yes" if link.champion else ""} for link in found.days]
    show_tables(asdict(found), {("day", "state", "version", "parent", "verdict", "champion", "why"): rows}, as_json)
    if not as_json:
        click.echo("\n".join([*(f"{link.day} {link.why}; run: {link.repair}" for link in found.days if link.repair), found.summary]))
    if not found.whole:
        sys.exit(1)


@esmm.command()
@shared
def rollback(path: Path | None, as_json: bool) -> None:
    """Make the previously promoted model the champion again."""
    from dataclasses import asdict

    from components.steps import registry

    show(asdict(registry(load_settings(path)).rollback()), as_json)
