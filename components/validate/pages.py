"""The Data Docs of a day as a folder that opens from disk: nothing in it is fetched from elsewhere.

Great Expectations' pages load scripts, styles and a logo from six hosts; its index is drawn by such a script and is empty without it.
So the pages keep their own text and tables, get a small style, and the index is ours.
"""

import errno
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment

from components.validate.bands import Band
from components.validate.failures import Failure, show, show_range
from components.validate.verdicts import is_within

_DRIFT = ("psi_1d", "psi_7d", "js_1d", "js_7d", "new_share")
_REMOTE = re.compile(r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*\bsrc=\"https?://[^>]*>", re.DOTALL)
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; display: block; overflow-x: auto }
td, th { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left }
td.critical, td.warning { font-weight: 600 } summary { padding: .3rem 0 } details details { margin-left: 1rem }
.critical, .fa-times::before { color: #b00020 } .warning, .fa-exclamation-triangle::before { color: #9a5b00 } .ok { color: #11692b }
.fa-check-circle::before { content: "passed"; color: #11692b } .fa-times::before { content: "failed" }
.fa-exclamation-triangle::before { content: "raised" } nav ul { display: block }
.card:has(.btn-group-toggle), [data-toggle="collapse"], footer { display: none }
</style>"""
_INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Validation of {{ summary.day }}</title></head><body>
<h1>Validation of {{ summary.day }}: <span class="{{ verdict }}">{{ verdict }}</span></h1>
{% if summary.raised %}<h2>Could not be evaluated</h2><ul>{% for line in summary.raised %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
<h2>Failed expectations</h2>
{% if summary.failures %}<table><tr><th>severity<th>table<th>expectation<th>column<th>expected<th>found</tr>
{% for failure in summary.failures %}<tr><td class="{{ failure.severity }}">{{ failure.severity }}<td>{{ failure.table }}
<td>{{ failure.expectation }}<td>{{ failure.column }}<td>{{ failure.expected }}<td>{{ failure.found }}</tr>{% endfor %}</table>
{% else %}<p>None.</p>{% endif %}
<h2>Not run</h2><ul>{% for line in not_run %}<li>{{ line }}</li>{% else %}<li>Nothing was left out.</li>{% endfor %}</ul>
<h2 id="drift">Drift</h2>
{% if drift %}<table><tr><th>table<th>column{% for name in drift_names %}<th>{{ name }}{% endfor %}</tr>
{% for table, column, values in drift %}<tr><td>{{ table }}<td>{{ column }}{% for value, severity in values %}
<td class="{{ severity }}">{{ show(value) if value is not none else "" }}{% endfor %}</tr>{% endfor %}</table>
<p>Population stability index (psi) and Jensen-Shannon divergence in bits (js) against yesterday (1d) and the last 7 days (7d).
Coloured: outside its band.</p>
{% else %}<p>Not run: there is no earlier day that passed.</p>{% endif %}
<h2>Suites</h2>{% if pages %}<table><tr><th>suite<th>results<th>expectations</tr>
{% for name, results, suite in pages %}<tr><td>{{ name }}<td><a href="{{ results }}">results</a>
<td><a href="{{ suite }}">expectations</a></tr>
{% endfor %}</table>
<p>A suite named after a table judges its exact profile; one named <i>table</i>_rows shows examples from a sample, as warnings.</p>
{% else %}<p>Great Expectations' pages are written with the day's report.</p>{% endif %}
<h2>Exact profile</h2>
{% for table, rows, others in profiles %}
{% set left = rows | selectattr("verdict") | list | length %}
<details{% if left %} open{% endif %}><summary>{{ table }}: {{ rows | length }} expectations, {{ left or "none" }} not met</summary><table>
<tr><th>measure<th>value<th>expected<th>severity<th>meaning</tr>
{% for row in rows %}<tr><td>{{ row.measure }}<td class="{{ row.verdict }}">{{ row.value }}<td>{{ row.expected }}<td>{{ row.severity }}
<td>{{ row.meaning }}</tr>{% endfor %}</table>
<details><summary>Measures without a band</summary><table>
{% for name, value in others %}<tr><td>{{ name }}<td>{{ show(value) }}</tr>{% endfor %}</table></details></details>{% endfor %}
</body></html>
"""


@dataclass(frozen=True)
class Summary:
    """What the index page tells."""

    day: date
    failures: Sequence[Failure]
    raised: Sequence[str]
    profiles: Sequence[Mapping[str, Any]]
    """One or more profiles of the day, of different tables."""


@contextmanager
def publish_site(docs: Path) -> Iterator[Path]:
    """Give an empty folder beside `docs`, which then takes its place; after an error `docs` is as it was."""
    docs.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=docs.parent, prefix=f".{docs.name}."))
    try:
        site = aside / "new"
        site.mkdir()
        yield site
        _take_place(site, docs, aside)
    finally:
        shutil.rmtree(aside)


def write_index(site: Path, summary: Summary) -> None:
    """Write the index of the pages below `site` and make them all self-contained."""
    pages = [
        (page.stem, next(site.glob(f"validations/{page.stem}/**/*.html")).relative_to(site).as_posix(), page.relative_to(site).as_posix())
        for page in sorted(site.glob("expectations/*.html"))
    ]
    template = Environment(autoescape=True).from_string(_INDEX)
    tables = {name: found for profile in summary.profiles for name, found in profile["tables"].items()}
    html = template.render(
        summary=summary,
        pages=pages,
        verdict=_verdict(summary),
        show=show,
        not_run=[line for profile in summary.profiles for line in profile["not_run"]],
        drift_names=_DRIFT,
        drift=[row for table, found in tables.items() for row in _list_drift(table, found)],
        profiles=[(table, *_list_measures(found)) for table, found in tables.items()],
    )
    (site / "index.html").write_text(html, encoding="utf-8")
    _make_self_contained(site)


def _list_drift(table: str, found: Mapping[str, Any]) -> Iterator[tuple[str, str, list[tuple[float | None, str]]]]:
    """Give a row for each column of a table that was compared: every measure of drift with the severity of the band it left."""
    measures, left = found["measures"], _judge(found)
    columns = [name.removesuffix("_psi_7d") for name in measures if name.endswith("_psi_7d")]
    for column in columns:
        names = [f"{column}_{name}" for name in _DRIFT]
        yield table, column, [(measures.get(name), left.get(name, "")) for name in names]


def _list_measures(found: Mapping[str, Any]) -> tuple[list[dict[str, str]], list[tuple[str, Any]]]:
    """Return a row for each band of a table, and the measures that have none."""
    bands = [Band(*band) for band in found["bands"]]
    rows = [
        {
            "measure": band.measure,
            "value": show(found["measures"][band.measure]),
            "expected": show_range(band.low, band.high),
            "severity": band.severity,
            "meaning": band.meaning,
            "verdict": "" if _meets(found["measures"][band.measure], band) else band.severity,
        }
        for band in bands
    ]
    return rows, [(name, value) for name, value in found["measures"].items() if name not in {band.measure for band in bands}]


def _judge(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the worst severity of the bands that each measure left."""
    left = [band for band in (Band(*band) for band in found["bands"]) if not _meets(found["measures"][band.measure], band)]
    return {band.measure: band.severity for band in sorted(left, key=lambda band: band.severity, reverse=True)}


def _meets(value: float | None, band: Band) -> bool:
    return value is not None and is_within(value, band)


def _make_self_contained(site: Path) -> None:
    shutil.rmtree(site / "static", ignore_errors=True)  # fonts and pictures that no page refers to any more
    for page in site.rglob("*.html"):
        text = _REMOTE.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", f"{_STYLE}</head>", 1), encoding="utf-8")


def _take_place(site: Path, docs: Path, aside: Path) -> None:
    """Rename `site` to `docs`; when another run of the day does the same meanwhile, the last one stands, whole."""
    for attempt in itertools.count():
        with suppress(FileNotFoundError):
            docs.replace(aside / f"old-{attempt}")
        try:
            site.replace(docs)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return


def _verdict(summary: Summary) -> str:
    if summary.raised:
        return "not judged"
    severities = {failure.severity for failure in summary.failures}
    return next((severity for severity in ("critical", "warning") if severity in severities), "ok")
