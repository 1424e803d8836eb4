"""Limits for `[settings.validation]`, proposed from the profiles of days that passed: quantiles of what was measured, with slack."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.settings import Settings

Profiles = Sequence[Mapping[str, Any]]
LEAST_DAYS = 2
_OUTER = 0.05
_WIDER = 1.5
"""A band reaches this many times beyond the outer quantiles; the least rows are these divided by it, twice."""
_BANDS = {
    "ctr_band": ("ctr",),
    "cvr_band": ("cvr",),
    "click_delay_band_s": ("click_delay_median_s",),
    "conversion_delay_band_s": ("conversion_delay_median_s",),
    "rate_ratio_band": ("ctr_ratio", "cvr_ratio", "credited_share_ratio"),
    "delay_ratio_band": tuple(f"{word}_delay_{what}_ratio" for word in ("click", "conversion") for what in ("median", "p95")),
    "count_ratio_band": ("count_ratio",),
    "rows_each_ratio_band": ("_rows_each_ratio",),
    "median_ratio_band": ("_median_ratio",),
}
_SHARES = {
    "max_null_rise": ("_null_rise",),
    "max_quarantined_share": ("quarantined_share",),
    "max_duplicate_share": ("duplicate_share",),
    "max_duplicate_rise": ("duplicate_rise",),
    "max_late_share": ("late_share",),
    "max_twin_share": ("twin_share",),
    "max_user_share": ("user_id_top_share",),
    "max_zero_delay_share": ("click_zero_delay_share", "conversion_zero_delay_share"),
    "max_js": ("_js_1d", "_js_7d"),
    "max_new_share": ("_new_share",),
}
_LEAST_SHARE = 0.01


def suggest_bands(profiles: Profiles, *, settings: Settings) -> str:
    """Return TOML to paste into a profile, with what was measured beside each limit.

    profiles: of at least two days. Limits that nothing was measured for are left as they are. Each day given is within the bands.
    """
    lines = ["[settings.validation]", f"# proposed from {len(profiles)} days, {_first(profiles)} to {_last(profiles)}"]
    for name, value, found in [*_suggest_rows(profiles), *_suggest_bands(profiles), *_suggest_most(profiles)]:
        now = getattr(settings.validation, name)
        told = f"measured {_round(min(found), down=True):g} to {_round(max(found), down=False):g}; now {_write(now)}"
        lines.append(f"{name} = {_write(value)} # {told}")
    return "\n".join(lines) + "\n"


def _suggest_rows(profiles: Profiles) -> Iterator[tuple[str, int, list[float]]]:
    for kind in ("impressions", "clicks", "purchases"):
        found = [day["tables"][kind]["measures"]["num_rows"] for day in profiles if kind in day["tables"]]
        least = int(_quantile(found, 0) / _WIDER / _WIDER)
        yield f"min_{kind}", max(least, int(kind == "impressions")), found


def _suggest_bands(profiles: Profiles) -> Iterator[tuple[str, list[float], list[float]]]:
    for name, endings in _BANDS.items():
        if found := list(_read(profiles, endings)):
            low = min(_quantile(found, _OUTER) / _WIDER, *found)
            high = max(_quantile(found, 1 - _OUTER) * _WIDER, *found)
            top = 1.0 if name in ("ctr_band", "cvr_band") else math.inf
            low, high = _round(low, down=True), min(_round(high, down=False), top)
            yield name, [low, high if high > low else low + 1], found


def _suggest_most(profiles: Profiles) -> Iterator[tuple[str, float | list[float], list[float]]]:
    for name, endings in _SHARES.items():
        if found := list(_read(profiles, endings)):
            most = max(_quantile(found, 1 - _OUTER) * _WIDER, *found, _LEAST_SHARE)
            yield name, min(_round(most, down=False), 1.0), found
    if found := list(_read(profiles, ("_psi_1d", "_psi_7d"))):
        most = max(_quantile(found, 1 - _OUTER) * _WIDER, *found, 0.1)
        yield "max_psi", _round(most, down=False), found
        yield "critical_psi", _round(max(5 * most, 2.0), down=False), found
    if found := list(_read(profiles, ("_coverage_ratio",))):
        yield "coverage_ratio_band", [_round(min(found) / _WIDER, down=True), _round(max(found) * 100, down=False)], found
    if found := list(_read(profiles, ("num_missing_hours",))):
        yield "max_missing_hours", int(max(found)), found


def _read(profiles: Profiles, endings: tuple[str, ...]) -> Iterator[float]:
    """Give every defined value of the measures with these names; a name that begins with an underscore is an ending."""
    for profile in profiles:
        for found in profile["tables"].values():
            for name, value in found["measures"].items():
                fits = any(_is_of_column(name, ending) if ending.startswith("_") else name == ending for ending in endings)
                if fits and value is not None:
                    yield float(value)


def _is_of_column(name: str, ending: str) -> bool:
    return name.endswith(ending) and "_delay_" not in name


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]


def _round(value: float, *, down: bool) -> float:
    """Round to two digits, away from what was measured."""
    if not value:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{(math.floor if down else math.ceil)(round(value / unit, 6)) * unit:.6g}")


def _write(value: Any) -> str:
    if isinstance(value, Sequence):
        return f"[{', '.join(_write(each) for each in value)}]"
    return str(value) if isinstance(value, int) else repr(float(f"{value:.6g}"))


def _first(profiles: Profiles) -> str:
    return str(min(profile["day"] for profile in profiles))


def _last(profiles: Profiles) -> str:
    return str(max(profile["day"] for profile in profiles))
