"""Charts as SVG text: same numbers, same bytes. Colours are CSS classes of the page, so that they follow light and dark.

Roles differ by colour, dash and marker. Lengths are in the units of the view box, 400 wide; the page scales it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 400.0, 270.0
_LABEL = 26
_LEFT, _RIGHT, _TOP, _BOTTOM = 50.0, 388.0, 30.0, 226.0


@dataclass(frozen=True)
class Point:
    """A value at x, with its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points in order of x. `role` (challenger, champion or reference) chooses colour, dash and marker."""

    label: str
    role: str
    points: Sequence[Point]
    markers: bool = True
    gap: float = math.inf
    """Points further apart than this are not joined."""


@dataclass(frozen=True)
class Axis:
    """One axis: its label, range and ticks (place, text)."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Bar:
    """One horizontal bar: its name, length and the text at its end."""

    label: str
    value: float
    text: str


def nice_axis(label: str, low: float, high: float, *, count: int = 5) -> Axis:
    """Return an axis over [low, high] with about `count` ticks at round numbers."""
    span = max(high - low, 1e-9)
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    digits = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if round(step / power, 1) == 2.5 else 0))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(label, low, high, [(i * step, f"{i * step:.{digits}f}") for i in range(first, last + 1)])


def line_chart(name: str, summary: str, series: Sequence[Series], *, x: Axis, y: Axis) -> str:
    """Draw lines with markers and intervals. `name` titles the chart, `summary` says in words what it shows."""
    drawn = [_series(line, x, y, shift) for line, shift in zip(series, _shifts(series), strict=True)]
    legend = _legend([line for line in series if line.label])
    return _svg(name, summary, _HEIGHT, [*_x_axis(x), *_y_axis(y), *drawn, legend])


def bar_chart(name: str, summary: str, bars: Sequence[Bar]) -> str:
    """Draw horizontal bars, the longest across the chart."""
    longest = max((bar.value for bar in bars), default=0) or 1.0
    left, room, pitch = 118.0, 172.0, 24.0
    parts = []
    for row, bar in enumerate(bars):
        top, width = 8 + row * pitch, room * bar.value / longest
        parts.append(_text(left - 8, top + 12, bar.label, "end"))
        parts.append(f'<rect class="bar" x="{left:g}" y="{top:g}" width="{width:.1f}" height="16"/>')
        parts.append(_text(left + width + 6, top + 12, bar.text, "start"))
    return _svg(name, summary, 12 + pitch * len(bars), parts)


def heat_grid(name: str, summary: str, rows: Sequence[tuple[str, Sequence[float | None]]], *, columns: Sequence[str], limit: float) -> str:
    """Draw a square for each row and column: faint below half of `limit`, full up to it, crossed above; none where there is no value.

    The right column is the last; each square carries its value as a tooltip.
    """
    left, pitch, height = 176.0, min(38.0, 212.0 / max(len(columns), 1)), 15.0
    parts = []
    for number, (label, values) in enumerate(rows):
        top = 8 + number * height
        parts.append(_text(left - 6, top + 11, label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…", "end"))
        parts.extend(
            _square(left + place * pitch, top, pitch, value, limit, f"{label}, {columns[place]}") for place, value in enumerate(values)
        )
    bottom = 8 + height * len(rows)
    ends = {0: "start", len(columns) - 1: "end"} if len(columns) > 1 else {0: "start"}
    edges = [_text(left + (place + (anchor == "end")) * pitch, bottom + 15, columns[place], anchor) for place, anchor in ends.items()]
    return _svg(name, summary, bottom + 22, [*parts, *edges])


def _square(left: float, top: float, pitch: float, value: float | None, limit: float, what: str) -> str:
    if value is None:
        return ""
    level = "low" if value <= limit / 2 else "near" if value <= limit else "beyond"
    side = pitch - 2
    cross = f'<path d="M{left + 4:.1f} {top + 3:.1f}l{side - 8:.1f} 7m0 -7l{8 - side:.1f} 7"/>' if level == "beyond" else ""
    square = f'<rect x="{left:.1f}" y="{top:.1f}" width="{side:.1f}" height="13"/>'
    return f'<g class="{level}"><title>{escape(what)}: {value:.3g}</title>{square}{cross}</g>'


def _svg(name: str, summary: str, height: float, parts: Sequence[str]) -> str:
    body = "".join(parts)
    label = escape(f"{name}. {summary}")
    return f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{label}" xmlns="http://www.w3.org/2000/svg">{body}</svg>'


def _series(line: Series, x: Axis, y: Axis, shift: float) -> str:
    places = [(_across(point.x, x) + shift, _up(point.y, y)) for point in line.points]
    path = "".join(
        f"{'M' if i == 0 or line.points[i].x - line.points[i - 1].x > line.gap else 'L'}{left:.1f} {top:.1f}"
        for i, (left, top) in enumerate(places)
    )
    bars = "".join(_whisker(place[0], point, y) for place, point in zip(places, line.points, strict=True))
    marks = "".join(_marker(line.role, *place) for place in places) if line.markers else ""
    return f'<g class="{line.role}"><path class="line" d="{path}"/>{bars}{marks}</g>' if places else ""


def _whisker(left: float, point: Point, y: Axis) -> str:
    if point.low is None or point.high is None:
        return ""
    low, high = _up(max(point.low, y.low), y), _up(min(point.high, y.high), y)
    cap = "".join(f"M{left - 3:.1f} {end:.1f}h6" for end in (low, high))
    return f'<path class="whisker" d="M{left:.1f} {low:.1f}V{high:.1f}{cap}"/>'


def _marker(role: str, left: float, top: float) -> str:
    if role == "champion":
        return f'<rect class="mark" x="{left - 3.5:.1f}" y="{top - 3.5:.1f}" width="7" height="7"/>'
    return f'<circle class="mark" cx="{left:.1f}" cy="{top:.1f}" r="4"/>'


def _legend(series: Sequence[Series]) -> str:
    parts, left = [], _LEFT
    for line in series:
        swatch = f'<path class="line" d="M{left:.1f} 12h22"/>{_marker(line.role, left + 11, 12) if line.markers else ""}'
        parts.append(f'<g class="{line.role}">{swatch}</g>{_text(left + 27, 16, line.label, "start")}')
        left += 42 + 6.6 * len(line.label)
    return "".join(parts)


def _x_axis(x: Axis) -> list[str]:
    ticks = [_text(_across(at, x), _BOTTOM + 17, text, "middle") for at, text in x.ticks]
    line = f'<path class="axis" d="M{_LEFT:g} {_BOTTOM:g}H{_RIGHT:g}"/>'
    return [line, *ticks, _text((_LEFT + _RIGHT) / 2, _BOTTOM + 36, x.label, "middle")]


def _y_axis(y: Axis) -> list[str]:
    parts = []
    for at, text in y.ticks:
        top = _up(at, y)
        parts.append(f'<path class="grid" d="M{_LEFT:g} {top:.1f}H{_RIGHT:g}"/>{_text(_LEFT - 6, top + 4, text, "end")}')
    middle = (_TOP + _BOTTOM) / 2
    return [*parts, f'<text x="11" y="{middle:g}" text-anchor="middle" transform="rotate(-90 11 {middle:g})">{escape(y.label)}</text>']


def _text(left: float, top: float, text: str, anchor: str) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _shifts(series: Sequence[Series]) -> list[float]:
    """Set lines whose points carry intervals a little apart, so that these do not hide one another."""
    whiskers = [any(point.low is not None for point in line.points) for line in series]
    apart = sum(whiskers) > 1
    return [({"challenger": 4.0, "champion": -4.0}.get(line.role, 0.0) if apart else 0.0) for line in series]


def _across(value: float, axis: Axis) -> float:
    return _LEFT + (value - axis.low) / (axis.high - axis.low) * (_RIGHT - _LEFT)


def _up(value: float, axis: Axis) -> float:
    return _BOTTOM - (value - axis.low) / (axis.high - axis.low) * (_BOTTOM - _TOP)
