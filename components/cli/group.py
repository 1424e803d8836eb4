"""The group that all commands belong to, and how `esmm` ends."""

import logging
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import click

from components.terminal import escaped, failure

_LAST_WORDS = Path("/dev/termination-log")
"""What a container writes here Kubernetes keeps as its last words (container v1, terminationMessagePath); elsewhere it does not exist."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def esmm() -> None:
    """Daily ESMM training: raw logs to a gated champion and online features."""


def main(arguments: list[str] | None = None) -> None:
    """Run `esmm` and exit with its status."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("mlflow", "alembic", "feast", "great_expectations", "matplotlib", "httpx", "torchrec"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")  # MLflow on SQLAlchemy 2.1
    try:
        esmm.main(arguments, prog_name="esmm", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except Exception as error:
        _leave_last_words(error)
        status, message = failure(error)
        if not status:
            raise
        click.echo(escaped(message, keep="\n\t"), err=True)
        sys.exit(status)


def _leave_last_words(error: Exception) -> None:
    """Tell what started this container which error ended it: torchrun ends with status 1 whatever its ranks end with."""
    with suppress(OSError):
        if _LAST_WORDS.exists():
            with _LAST_WORDS.open("a", encoding="utf-8") as file:  # a line for each rank
                file.write(escaped(f"{type(error).__name__}: {error}") + "\n")
