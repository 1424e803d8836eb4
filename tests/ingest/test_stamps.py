"""Times of one shape are read as Python reads them, whatever their digits; a text that is none is left in doubt."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from components.ingest.stamps import read_stamps, shape_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def by_python(text, shape):
    """Microseconds since 1970 of a text of the shape; None where it is no time or of another shape."""
    alike = len(text.encode()) == len(shape) and all(a == b or (b == "0" and a in "0123456789") for a, b in zip(text, shape, strict=True))
    try:
        whole = datetime.strptime(text[:10] + text[11:19], "%Y-%m-%d%H:%M:%S").replace(tzinfo=UTC) if alike else None
    except ValueError:
        whole = None
    digits = text[20:].rstrip("Z")[:6].ljust(6, "0")
    return None if whole is None else (whole - EPOCH) // timedelta(microseconds=1) + int(digits)


@pytest.mark.parametrize("fraction", ["", ".1", ".25", ".123", ".1234", ".12345", ".123456", ".1234567", ".123456789"])
@pytest.mark.parametrize("end", ["", "Z"])
def test_digits_are_read_as_python_reads_them(fraction, end):
    draw = random.Random(fraction + end)
    first = f"2024-02-29T08:30:59{fraction}{end}"
    shape = shape_of(first).decode()
    texts = [first]
    for _ in range(3000):
        letters = list(f"{draw.choice([2024, 2023, 1900, 1969, 9999])}-0{draw.randrange(10)}-{draw.randrange(40):02}{first[10:]}")
        for at in draw.sample(range(11, len(letters)), 3):
            if letters[at].isdigit():
                letters[at] = draw.choice("0123456789")
        if draw.random() < 0.2:
            letters[draw.randrange(len(letters))] = draw.choice(["/", ":", "?", "\0", "-", " ", "z", "é", "٣", "", "00", "\x7f", "@", "p"])
        texts.append("".join(letters))
    texts += [texts[-1], *["2024-02-29T08:30:59" + fraction + end] * 3]
    found = read_stamps(pl.Series("time", [*texts, None]), shape.encode())
    expected = [by_python(text, shape) for text in texts]
    assert found.to_list() == [*expected, None]
    assert 300 < found.null_count() < 2900


@pytest.mark.parametrize("height", [0, 1, (1 << 14) - 1, 1 << 14, (1 << 14) + 1])
def test_any_number_of_texts_and_any_slice_of_them_is_read(height):
    times = pl.select(at=pl.datetime(2024, 5, 1) + pl.duration(milliseconds=pl.int_range(0, height + 7) * 1_234_567)).to_series()
    texts = times.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    assert read_stamps(texts[7:], b"0000-00-00T00:00:00.000Z").to_list() == times[7:].to_physical().to_list()


@pytest.mark.parametrize(
    "text", ["", "2024-05-01", "2024-05-01T08:30Z", "2024-05-01T08:30:00+02:00", "2024-05-01T08:30:00.1234567890Z", "٢024-05-01T08:30:00"]
)
def test_a_text_of_another_kind_has_no_shape(text):
    assert shape_of(text) is None
