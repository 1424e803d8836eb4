"""The Data Docs of a day as a folder that opens from disk: nothing in it is fetched from elsewhere.

Great Expectations' pages load scripts, styles and a logo from six hosts; its index is drawn by such a script and is empty without it.
So the pages keep their own text and tables, get a small style, and the index is ours.
"""

import errno
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment

from components.validate.failures import Failure, show

_REMOTE = re.compile(r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*\bsrc=\"https?://[^>]*>", re.DOTALL)
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; display: block; overflow-x: auto }
td, th { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left }
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
<h2>Not run</h2><ul>{% for line in summary.profile.not_run %}<li>{{ line }}</li>{% else %}<li>Nothing was left out.</li>{% endfor %}</ul>
<h2>Suites</h2><table><tr><th>suite<th>results<th>expectations</tr>
{% for name, results, suite in pages %}<tr><td>{{ name }}<td><a href="{{ results }}">results</a>
<td><a href="{{ suite }}">expectations</a></tr>
{% endfor %}</table>
<p>A suite named after a table judges its exact profile; one named <i>table</i>_rows shows examples from a sample, as warnings.</p>
<h2>Exact profile</h2>
{% for table, found in summary.profile.tables.items() %}<h3>{{ table }}</h3><table>
{% for name, value in found.measures.items() %}<tr><td>{{ name }}<td>{{ show(value) }}</tr>{% endfor %}</table>{% endfor %}
</body></html>
"""


@dataclass(frozen=True)
class Summary:
    """What the index page tells."""

    day: date
    failures: Sequence[Failure]
    raised: Sequence[str]
    profile: dict[str, Any]


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
    html = template.render(summary=summary, pages=pages, verdict=_verdict(summary), show=show)
    (site / "index.html").write_text(html, encoding="utf-8")
    _make_self_contained(site)


def _make_self_contained(site: Path) -> None:
    shutil.rmtree(site / "static")  # fonts and pictures that no page refers to any more
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
