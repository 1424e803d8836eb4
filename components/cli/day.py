"""The steps of a day, one by one and in a row, and what they left behind."""

import os
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from components.cli.group import esmm
from components.settings import load_settings
from components.terminal import Day, Instant, kind_option, progress, shared, show, show_tables

ACCOUNTING = ("kind", "file", "rows_in", "accepted", "exact_duplicates", "conflicting_duplicates", "quarantined", "warning")


def _step_command(name: str, text: str) -> None:
    @esmm.command(name, help=text)
    @click.argument("day", type=Day())
    @shared
    def run(day: date, path: Path | None, as_json: bool) -> None:
        from components import steps

        show(getattr(steps, name)(day, load_settings(path)), as_json)


for _name, _text in {
    "relabel": "Label the earlier days that a day's events may still change again.",
    "aggregate": "Compute user and item features as of the end of a day.",
    "publish": "Write a day's features to Feast, offline and online.",
}.items():
    _step_command(_name, _text)


@esmm.command()
@click.argument("day", type=Day())
@shared
def ready(day: date, path: Path | None, as_json: bool) -> None:
    """Say whether a day's raw logs have all arrived, and what is missing."""
    from components import enquiries

    show(enquiries.ready(day, load_settings(path)), as_json)


@esmm.command()
@click.argument("day", type=Day())
@kind_option
@shared
def ingest(day: date, kind: Any, path: Path | None, as_json: bool) -> None:
    """Read the raw logs that arrived on a day."""
    from components import steps

    settings = load_settings(path)
    record = steps.ingest_kind(day, kind, settings) if kind else steps.ingest(day, settings)
    files = [{"kind": read["kind"], **file} for read in record.get("kinds", [record]) for file in read["files"]]
    show_tables(record, {ACCOUNTING: files}, as_json)
    if sum(file["quarantined"] + file["conflicting_duplicates"] for file in files):
        click.echo(f"some rows were kept out; `esmm quarantine {day}` lists them", err=True)


@esmm.command()
@click.argument("day", type=Day())
@kind_option
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Rows to list.")
@shared
def quarantine(day: date, kind: Any, limit: int, path: Path | None, as_json: bool) -> None:
    """List the raw rows of a day that were kept out, and why."""
    from components import enquiries

    found = enquiries.quarantine(day, load_settings(path), kind=kind, limit=limit)
    show_tables(found, {("kind", "reason", "rows"): found["counts"], ("kind", "file", "row", "reason", "raw"): found["rows"]}, as_json)


@esmm.command()
@click.argument("day", type=Day())
@click.option("--suggest", is_flag=True, help="Propose thresholds from this day and those before it instead.")
@shared
def validate(day: date, suggest: bool, path: Path | None, as_json: bool) -> None:
    """Check a day against its suites."""
    from components import checks, steps

    if not suggest:
        show(steps.validate(day, load_settings(path)), as_json)
        return
    proposed = checks.suggest(day, load_settings(path))
    show({"day": str(day), "toml": proposed} if as_json else proposed, as_json)


@esmm.command()
@shared
def vacuum(path: Path | None, as_json: bool) -> None:
    """Remove the tables' files that newer versions replaced longer ago than `lake.keep`."""
    from components import enquiries

    show(enquiries.vacuum(load_settings(path)), as_json)


@esmm.command()
@click.argument("day", type=Day())
@click.option("--labelled-through", type=Instant(), help="Cut-off of the labels; the day's end when not given.")
@shared
def label(day: date, labelled_through: datetime | None, path: Path | None, as_json: bool) -> None:
    """Join a day's impressions with their clicks and conversions."""
    from components import steps

    show(steps.label(day, load_settings(path), labelled_through=labelled_through), as_json)


@esmm.command()
@click.argument("day", type=Day())
@shared
def train(day: date, path: Path | None, as_json: bool) -> None:
    """Fine-tune yesterday's checkpoint on a day; under torchrun, with its other ranks, of which the first prints the record."""
    from components import steps

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun's
        if record := steps.train_as_rank(day, load_settings(path)):
            _show_trained(record, as_json)
        return
    with progress(f"train {day}") as advance:
        record = steps.train(day, load_settings(path), progress=advance)
    _show_trained(record, as_json)


def _show_trained(record: dict[str, Any], as_json: bool) -> None:
    """Print a training's record, what became of the ids as a table."""
    ids = [{**facts, **{name: _percent(facts[name]) for name in ("unknown_share", "collision_share")}} for facts in record["ids"]]
    show(record if as_json else {name: value for name, value in record.items() if name != "ids"}, as_json)
    if ids and not as_json:
        show_tables(record, {tuple(ids[0]): ids}, as_json)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


@esmm.command()
@click.argument("day", type=Day())
@shared
def train_job(day: date, path: Path | None, as_json: bool) -> None:
    """Print the TrainJob that trains a day on Kubernetes, as the DAG submits it; for `kubectl apply -f -`."""
    from components.kubeflow.trainjob import render

    show(render(day, load_settings(path)), as_json)


@esmm.command()
@click.argument("day", type=Day())
@shared
def evaluate(day: date, path: Path | None, as_json: bool) -> None:
    """Compare challenger and champion on a day's holdout."""
    from components import steps

    _show_part(steps.evaluate(day, load_settings(path)), "day rows clicks conversions models difference", as_json)


@esmm.command()
@click.argument("day", type=Day())
@shared
def promote(day: date, path: Path | None, as_json: bool) -> None:
    """Let the gate decide on a day's challenger, and write the report."""
    from components import steps

    _show_part(steps.promote(day, load_settings(path)), "day verdict reason champion challenger metrics", as_json)


def _show_part(record: dict[str, Any], names: str, as_json: bool) -> None:
    show({name: record[name] for name in names.split()}, as_json)


@esmm.command()
@click.argument("first", metavar="DAY", type=Day())
@click.option("--to", "last", type=Day(), help="Last day, included; DAY when not given.")
@shared
def run(first: date, last: date | None, path: Path | None, as_json: bool) -> None:
    """Run whole days in order, without an orchestrator."""
    from components import steps
    from components.services.summary import print_summary

    settings = load_settings(path)
    end = last or first
    if end < first:
        raise click.UsageError(f"--to {end} is before {first}")
    records = []
    for day in (first + timedelta(days=number) for number in range((end - first).days + 1)):
        with progress(f"train {day}") as advance:
            records.append(steps.run_day(day, settings, progress=advance))
    if as_json:
        show(records, as_json)
    else:
        print_summary(settings, first, end)


@esmm.command()
@click.argument("day", type=Day())
@shared
def report(day: date, path: Path | None, as_json: bool) -> None:
    """Write a day's report page and print where it is."""
    from components import enquiries

    page = enquiries.report(day, load_settings(path))
    show({"day": str(day), "report": str(page)}, as_json)
