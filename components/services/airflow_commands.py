"""Several `airflow` commands in one process: reads a JSON list of argument lists from stdin and runs them through Airflow's own CLI."""

import json
import sys


def main() -> None:
    """Run the commands in order; the first that fails ends this process with its status."""
    commands: list[list[str]] = json.load(sys.stdin)
    from airflow.cli import cli_parser

    parser = cli_parser.get_parser()
    for command in commands:
        print("$ airflow", *command, flush=True)  # noqa: T201 - this process's log
        arguments = parser.parse_args(command)
        arguments.func(arguments)


if __name__ == "__main__":
    main()
