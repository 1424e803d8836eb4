"""Logs from elsewhere: simulated worlds, published sets; and the experiment on them."""

from datetime import date
from pathlib import Path
from typing import Any

import click

from components.cli.group import esmm
from components.settings import load_settings
from components.terminal import Day, Shares, shared, show


@esmm.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Landing zone to write.")
@click.option("--start", type=Day(), required=True)
@click.option("--days", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--impressions-per-day", type=click.IntRange(min=1), default=200_000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=2018, show_default=True)
@click.option("--world", default="dense", show_default=True)
@click.option("--truth", type=click.Path(path_type=Path, file_okay=False), help="Folder of the truth; `truth` beside OUT when not given.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def simulate(out: Path, start: date, truth: Path | None, as_json: bool, **size: Any) -> None:
    """Write days of raw logs and their profile, and beside them the truth; reads no settings, which may name that profile.

    Worlds: dense (5 % clicked, 10 % of those bought), default (4 %, 2 %), half_confounded, confounded, clickbait.
    """
    from components.simulate.world import simulate as write

    try:
        show(write(out, start=start, truth=truth, **size), as_json)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@esmm.command()
@click.argument("name", type=click.Choice(["ali-ccp", "aliexpress", "criteo-attribution", "kuairand"]))
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--start", type=Day(), default="2024-05-01", show_default=True, help="First day, of sets without dates.")
@click.option("--days", type=click.IntRange(min=1), default=7, show_default=True, help="For the training rows of sets without times.")
@click.option("--conversion", default="", help="The column that counts, of sets with several, such as is_like of kuairand.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def convert(name: str, source: Path, out: Path, as_json: bool, **choices: Any) -> None:
    """Write a published data set, whose files are in SRC, as the landing zone OUT with its profile; reads no settings."""
    from components.convert.choices import Choices
    from components.convert.convert import convert as write

    show(write(name, source, out, Choices(**choices)), as_json)


@esmm.command()
@click.option("--world", default="default", show_default=True, help="As of `esmm simulate`.")
@click.option("--impressions-per-day", type=click.IntRange(min=1), default=200_000, show_default=True)
@click.option("--days", type=click.IntRange(min=2), default=8, show_default=True, help="The last one is the test.")
@click.option("--world-seed", type=click.IntRange(min=0), default=2018, show_default=True)
@click.option("--arms", default="all", show_default=True, help="Names, or what they begin with, separated by commas.")
@click.option("--seeds", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--labels", type=click.Choice(["final", "logged"]), default="final", show_default=True, help="What arms are trained on.")
@click.option("--shares", type=Shares(), default="1", show_default=True, help="Of the training rows; several make the sampling curve.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the world, the runs, the results.")
@shared
def experiment(world: str, world_seed: int, arms: str, seeds: int, out: Path, path: Path | None, as_json: bool, **rest: Any) -> None:
    """Train arms on one simulated world and judge them against its truth; goes on where it was ended."""
    from components.experiment.bars import bars
    from components.experiment.experiment import experiment as try_out
    from components.experiment.worlds import Size

    size = Size(world, rest.pop("impressions_per_day"), rest.pop("days"), world_seed)
    with bars() as advance:
        found = try_out(size, arms.split(","), seeds, out, load_settings(path), **rest, progress=advance)
    show(found, as_json)


@esmm.command()
@click.option("--world", default="dense", show_default=True, help="As of `esmm simulate`.")
@click.option("--impressions-per-day", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--world-seed", type=click.IntRange(min=0), default=2018, show_default=True)
@click.option("--logs-from", "first", type=Day(), help="Take the settings' own logs from this day on instead of a world.")
@click.option("--days", type=click.IntRange(min=2), default=20, show_default=True)
@click.option("--judged", type=click.IntRange(min=1), default=14, show_default=True, help="So many days at the end are judged on.")
@click.option("--strategies", default="never,retrain", show_default=True, help="Names, separated by commas; the daily chain is with them.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the days, the courses, the results."
)
@shared
def experiment_days(first: date | None, strategies: str, out: Path, path: Path | None, as_json: bool, **rest: Any) -> None:
    """Keep a model up to date day by day in several ways, and judge each day by the model of the day before.

    Strategies: never, retrain, weekly, fade, wait, corrected, replay, two_tracks, two_tracks_corrected, hindsight.
    """
    from components.experiment.bars import bars
    from components.experiment.calendar import Logs
    from components.experiment.days import experiment_days as try_out
    from components.experiment.worlds import Size

    settings, days = load_settings(path), rest["days"]
    size = Size(rest["world"], rest["impressions_per_day"], days, rest["world_seed"])
    source = Logs(settings.profile.name, first, days) if first else size
    with bars() as advance:
        found = try_out(source, strategies.split(","), rest["seeds"], rest["judged"], out, settings, progress=advance)
    show(found, as_json)
