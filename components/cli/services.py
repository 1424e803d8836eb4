"""The processes behind the orchestrator, and the demo through them."""

import sys
from datetime import date
from pathlib import Path

import click

from components.cli.group import esmm
from components.settings import load_settings
from components.terminal import Day, shared, show


@esmm.command()
@shared
def up(path: Path | None, as_json: bool) -> None:
    """Start PostgreSQL, Airflow, MLflow and the lookups; daily runs only with `services.schedule`."""
    from components.services.stack import up as start

    settings = load_settings(path)
    show(start(settings, schedule=settings.services.schedule), as_json)


@esmm.command()
@shared
def down(path: Path | None, as_json: bool) -> None:
    """Stop what `esmm up` started."""
    from components.services.stack import down as stop

    show(stop(load_settings(path)), as_json)


@esmm.command()
@shared
def services(path: Path | None, as_json: bool) -> None:
    """Say which services run."""
    from components.services.stack import status

    show(status(load_settings(path)), as_json)


@esmm.command()
@click.option("--raw", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Your landing zone; simulated when not given.")
@click.option("--profile", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Your data set's profile.")
@click.option("--from", "first", type=Day())
@click.option("--to", "last", type=Day())
@shared
def demo(raw: Path | None, profile: Path | None, first: date | None, last: date | None, path: Path | None, as_json: bool) -> None:
    """Run days through a real Airflow backfill, and show what came out."""
    from components.services.demo import demo as run_demo

    if raw and not (profile and first):
        raise click.UsageError("--raw needs --profile and --from (and --to)")
    status = run_demo(load_settings(path), raw=raw, profile=profile, first=first, last=last)
    if as_json:
        show({"status": status}, as_json)
    sys.exit(status)
