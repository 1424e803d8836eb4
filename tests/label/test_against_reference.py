"""The Polars labelling says what the plain-Python rules say, on generated days full of ties, borders and repeats."""

import pytest

from components.settings import Labels
from tests.label import logs as made
from tests.label.generated import HALF_HOUR, ONE_DAY, make_case, pool
from tests.label.logs import DAY, END
from tests.label.reference import Row, label

CASES = 250
WINDOWS = [(2 * HALF_HOUR, 4 * HALF_HOUR), (HALF_HOUR, 0 * HALF_HOUR), (0 * HALF_HOUR, HALF_HOUR), (ONE_DAY, 7 * ONE_DAY)]
LAYOUTS = [
    (through, windows, file_rows)
    for through in (END, END + 2 * ONE_DAY)
    for windows, sizes in zip(WINDOWS, [(1_000_000, 800, 300), (1_000_000, 800), (1_000_000, 800), (1_000_000, 800, 300)], strict=True)
    for file_rows in sizes
]


@pytest.mark.parametrize("number", range(len(LAYOUTS)))
def test_labels_equal_the_plain_rules(number: int) -> None:
    through, windows, file_rows = LAYOUTS[number]
    cases = [make_case(seed) for seed in range(number * CASES, (number + 1) * CASES)]
    options = Labels(click_window=windows[0], conversion_window=windows[1])
    slices = made.label(pool(cases), options, through=through, file_rows=file_rows)
    expected: list[Row] = []
    for case in cases:
        expected += label(case, day=DAY, labelled_through=through, windows=windows)
    expected.sort(key=lambda row: (row["exposed_at"], row["impression_id"]))
    found = [row for piece in slices for row in piece.to_dicts()]
    assert found == [{name: row[name] for name in slices[0].columns} for row in expected]
    assert sum(row["converted"] for row in found) > 10 * (windows[1] > windows[0])
    assert all(piece.height <= file_rows or piece["exposed_at"].dt.truncate("1m").n_unique() == 1 for piece in slices)


def test_five_thousand_days_are_compared() -> None:
    assert CASES * len(LAYOUTS) >= 5000
