"""Great Expectations, in memory: runs suites over their frames and writes Data Docs; reads what failed, and what could not be run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

from components.validate.batches import Batch
from components.validate.failures import Failure, Severity, describe_failure


class ExpectationRaisedError(RuntimeError):
    """An expectation could not be evaluated: the fault is in the checks or their host, and says nothing about the data."""


def run_suites(batches: Sequence[Batch], *, run_name: str, site: Path) -> tuple[list[Failure], list[str]]:
    """Run each suite over its frame and write Data Docs into the folder `site`; returns what `judge_batches` does."""
    context = open_context(site)
    judged = judge_batches(batches, context, run_name=run_name)
    context.build_data_docs()
    return judged


def judge_batches(batches: Sequence[Batch], context: Any, *, run_name: str) -> tuple[list[Failure], list[str]]:
    """Return the failures, critical ones first, and a line for each expectation that raised instead of answering."""
    frames = context.data_sources.add_pandas("day").add_dataframe_asset("table").add_batch_definition_whole_dataframe("all")
    run_id = gx.RunIdentifier(run_name=run_name)
    failures: list[Failure] = []
    raised: list[str] = []
    for batch in batches:
        definition = gx.ValidationDefinition(name=batch.suite.name, data=frames, suite=context.suites.add(batch.suite))
        outcome = _run(context.validation_definitions.add(definition), batch, run_id)
        raised.extend(f"{batch.table}: {line}" for line in _read_raised(outcome))
        failures.extend(_read_failures(batch.table, outcome))
    return sorted(failures, key=lambda failure: failure.severity != "critical"), raised


def _run(definition: gx.ValidationDefinition, batch: Batch, run_id: gx.RunIdentifier) -> Any:
    """Ask whether the frame meets its suite, which takes half the time, and only where it does not also for what was found instead."""
    asked: dict[str, Any] = {"batch_parameters": {"dataframe": batch.frame}, "run_id": run_id}
    outcome = definition.run(**asked, result_format="BOOLEAN_ONLY")
    if outcome.success:
        return outcome
    shape = {"result_format": "COMPLETE", **({"unexpected_index_column_names": list(batch.key)} if batch.key else {})}
    return definition.run(**asked, result_format=shape)


def open_context(site: Path) -> Any:
    """Open a context that keeps nothing but the site, draws no progress bars and calls nobody."""
    docs = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites={"day": docs},
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _read_failures(table: str, outcome: Any) -> Iterator[Failure]:
    for answer in outcome.results:
        if answer.success or _exceptions(answer):
            continue
        asked = answer.expectation_config
        severity: Severity = "critical" if asked.severity.value == "critical" else "warning"
        yield describe_failure(table, severity, asked.type, arguments=asked.kwargs, result=answer.result)


def _read_raised(outcome: Any) -> Iterator[str]:
    for answer in outcome.results:
        for message in _exceptions(answer):
            yield f"{answer.expectation_config.type}({answer.expectation_config.kwargs.get('column', '')}) raised {message}"


def _exceptions(answer: Any) -> list[str]:
    """Return the messages of what an expectation raised: its `exception_info` is one record, or one for each metric."""
    told = answer.exception_info or {}
    records = [told] if "raised_exception" in told else list(told.values())
    return [str(record["exception_message"]) for record in records if record["raised_exception"]]
