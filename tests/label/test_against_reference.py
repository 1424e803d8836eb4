"""The Polars labelling says what the plain-Python rules say, on generated logs full of ties, borders and duplicates."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.label.samples import label_samples
from components.settings import Labels
from tests.label.logs import DAY, END, SCHEMAS, START, frame
from tests.label.reference import label

_MICROSECOND = timedelta(microseconds=1)
_HALF_HOUR = timedelta(minutes=30)
_WINDOWS = [(timedelta(hours=1), timedelta(hours=2)), (timedelta(minutes=30), timedelta(0)), (timedelta(0), timedelta(minutes=30))]
# Half hours from the start of the day: its eve, its first, its last and those of the next day.
_instants = st.builds(
    lambda step, jitter: START + step * _HALF_HOUR + jitter * _MICROSECOND,
    st.sampled_from([*[44, 45, 46, 47] * 5, -1, 0, 48, 49, 50]),
    st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1]),
)
_arrivals = st.sampled_from([*[DAY] * 9, DAY + timedelta(days=1), DAY + timedelta(days=2), DAY - timedelta(days=1)])
_users = st.sampled_from(["u", "u", "u", "u", "v", None])
_named = st.sampled_from([None, None, None, None, None, None, *"abcdefgh"])
_items = st.sampled_from(["i", "i", "i", "i", "j"])


def _rows(kind: str, keys: str, sizes: tuple[int, int], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows of one kind of log; `keys` are its possible keys, "-" a null."""
    key, at = next(iter(SCHEMAS[kind])), next(name for name in SCHEMAS[kind] if name.endswith("_at"))
    columns = {"impression_id": _named, "user_id": _users, "item_id": _items, at: _instants, "arrived_on": _arrivals, **more}
    columns[key] = st.sampled_from([None if name == "-" else name for name in keys])
    return st.lists(st.fixed_dictionaries({name: columns[name] for name in SCHEMAS[kind]}), min_size=sizes[0], max_size=sizes[1])


_logs = st.fixed_dictionaries(
    {
        "impressions": _rows("impressions", "abcdefgh", (2, 8), position=st.sampled_from([None, 1, 2]), scene=st.sampled_from([None, "h"])),
        "clicks": _rows("clicks", "-1234567", (3, 10)),
        "actions": _rows("actions", "-1234", (0, 5)),
        "purchases": _rows("purchases", "-12345", (2, 8), amount=st.just(1.0)),
    }
)


def _ordered(logs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Put the columns in the schema's order, which breaks the last ties between rows of one key."""
    return {kind: [{name: row[name] for name in SCHEMAS[kind]} for row in rows] for kind, rows in logs.items()}


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(logs=_logs, through=st.sampled_from([END, END + timedelta(days=2)]), windows=st.sampled_from(_WINDOWS[:1] * 3 + _WINDOWS))
def test_labels_equal_the_plain_rules(logs: Any, through: datetime, windows: tuple[timedelta, timedelta]) -> None:
    logs = _ordered(logs)
    frames = {kind: frame(kind, rows) for kind, rows in logs.items()}
    options = Labels(click_window=windows[0], conversion_window=windows[1])
    found = label_samples(**frames, day=DAY, labelled_through=through, windows=options).collect()
    assert found.to_dicts() == [
        {name: row[name] for name in found.columns} for row in label(logs, day=DAY, labelled_through=through, windows=windows)
    ]
