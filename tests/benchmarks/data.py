"""What the data layer costs beside what bounds it: `make bench-data`. Steps and peers in turn, medians, peak memory, growth.

    python -m tests.benchmarks.data [--impressions 2e6,20e6,100e6] [--rounds 3]

Each size is a generated day of that many impressions, 4 % clicked, after a day alike; every step and peer runs in a process of its own,
timed without the interpreter's start and imports. Goals of time and memory are judged at 20 M, of text logs at 2 M. Sizes above 20 M run
once and without DuckDB; text logs are read at the smallest size, shuffled ones up to 20 M. All three sizes take about half an hour on two
idle cores and, under TMPDIR, 40 GB of disk (15 GB up to 20 M). Prints a table and writes `<ESMM_HOME>/bench/data.json`.
"""

import argparse
import logging
import tempfile
from pathlib import Path

from components.settings import load_settings
from tests.benchmarks.data_rounds import AFTER_INGEST, TEXTS, Bench, Measured
from tests.benchmarks.table import Row, report, row

JUDGED, JUDGED_TEXT = 20_000_000, 2_000_000
STEPS = ("ingest parquet", *AFTER_INGEST)
PEAK_MIB, GROWTH = 1536, 1.2
RATIOS: tuple[tuple[tuple[str, ...], str, float | None, str], ...] = (
    (("label",), "copy impressions", 1.4, "plain Polars copy of the impressions; aim 1.1"),
    (("label",), "duckdb ordered", 0.8, "the same samples made by DuckDB, 2 threads"),
    (("label",), "duckdb unordered", None, "the same, DuckDB writing rows in any order"),
    (("ingest parquet",), "copy parquet", 1.5, "plain Polars copy of the raw files"),
    (("ingest shuffled",), "copy shuffled", None, "plain Polars copy of the raw files"),
    *(((f"ingest {form}",), f"copy {form}", 1.3, "plain Polars read to Parquet") for form in TEXTS),
    (("aggregate", "validate"), "label", 1.0, "label"),
    (("relabel",), "label", None, "label; one earlier day is labelled again"),
)


def main() -> None:
    """Measure every size and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impressions", default="2e6,20e6,100e6", help="impressions of the generated days, ascending")
    parser.add_argument("--rounds", type=int, default=3, help="how often each step runs up to 20 M")
    options = parser.parse_args()
    home, sizes = load_settings().root, sorted(int(float(size)) for size in options.impressions.split(","))
    found = [_measure(size, options.rounds, smallest=size == sizes[0]) for size in sizes]
    results = [result for measured in found for result in _results(measured)] + _growth(found)
    report(home, "data", sorted(results, key=lambda result: result["goal"] is None))


def _measure(impressions: int, rounds: int, *, smallest: bool) -> Measured:
    """Measure one size in a folder that is gone afterwards."""
    large = impressions > JUDGED
    forms = (*(() if large else ("shuffled",)), *(TEXTS if smallest else ()))
    with tempfile.TemporaryDirectory(prefix="bench-data-") as folder:
        return Bench(Path(folder), impressions, 1 if large else rounds, forms, with_duckdb=not large).measure()


def _results(measured: Measured) -> list[Row]:
    """Return the rows of one size."""
    size, judged, rounds = _named(measured.impressions), measured.impressions == JUDGED, f"median of {measured.rounds}"
    rows = [*_ratios(measured), *_sameness(measured)]
    for name in measured.costs:
        rows.append(row(f"{size} {name}", measured.median("seconds", name), "s", f"{rounds}; {measured.median('cpu_s', name):.2f} CPU s"))
        goal = PEAK_MIB if judged and not name.startswith("duckdb") else None
        if not name.startswith("copy"):
            rows.append(row(f"{size} {name}, peak memory", measured.peak_mib(name), "MiB", "highest of the rounds", goal=goal))
    rows.append(row(f"{size} validate, imports", measured.median("imports_s", "validate"), "s", "Great Expectations; not in its seconds"))
    stored = (row(f"{size} {table} in the lake", value, "B/row", "Parquet") for table, value in measured.bytes_per_row.items())
    return [*rows, *stored]


def _ratios(measured: Measured) -> list[Row]:
    """Return seconds of ours over those of a peer; text is judged at 2 M, the rest at 20 M."""
    size, judged = _named(measured.impressions), measured.impressions == JUDGED
    rows = []
    for ours, peer, goal, against in RATIOS:
        if {*ours, peer} <= measured.costs.keys():
            value = sum(measured.median("seconds", name) for name in ours) / measured.median("seconds", peer)
            binding = goal if judged or (measured.impressions == JUDGED_TEXT and peer.endswith(TEXTS)) else None
            rows.append(row(f"{size} {' + '.join(ours)} / {peer}", value, "x", against, goal=binding))
    return rows


def _sameness(measured: Measured) -> list[Row]:
    """Return what must not differ: bytes from run to run and from form to form, samples from DuckDB's."""
    size, ingested = _named(measured.impressions), [name for name in measured.costs if name.startswith("ingest")]
    label, ingest = (measured.fingerprints(*names) for names in (("label",), ingested))
    rows = [
        row(f"{size} label, fingerprints", label, "distinct", f"{measured.rounds} runs", goal=1),
        row(f"{size} ingest, fingerprints", ingest, "distinct", f"{measured.rounds} runs of {', '.join(ingested)}", goal=1),
    ]
    if measured.differences is not None:
        rows.append(row(f"{size} label, samples unlike DuckDB's", measured.differences, "rows", "all rows, in order", goal=0))
    return rows


def _growth(found: list[Measured]) -> list[Row]:
    """Return seconds a million impressions at each size, and the peaks of larger sizes over those at 20 M."""
    rows = [
        row(f"{_named(size.impressions)} {name}, a million", size.median("seconds", name) / size.impressions * 1e6, "s", "growth")
        for name in STEPS
        for size in found
    ]
    base = next((size for size in found if size.impressions == JUDGED), None)
    if base is None:
        return rows
    for size in found[found.index(base) + 1 :]:
        for name in STEPS:
            value = size.peak_mib(name) / base.peak_mib(name)
            rows.append(row(f"{_named(size.impressions)} {name}, peak memory", value, "x", "that at 20M", goal=GROWTH))
    return rows


def _named(impressions: int) -> str:
    return f"{impressions / 1e6:g}M"


if __name__ == "__main__":
    logging.disable(logging.INFO)
    main()
