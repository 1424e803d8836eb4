"""ISO times of one shape -> microseconds, by arithmetic on eight bytes at once.

Letters: a word is eight bytes of each text as one little-endian number, so its lowest byte is the leftmost letter. Less the template's
word, a digit is its value and any other letter of the template is 0.
"""

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_SHAPE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?Z?")
_TIME, _FRACTION = 11, 20
"""Where a text's hour and its fraction of a second begin."""
_AT_ONCE = 1 << 14
"""Texts that are read at once: their words fit the processor's cache."""
_TENS = np.uint64(0x00FF00FF00FF00FF)


def shape_of(text: str) -> bytes | None:
    """Return the template of texts such as 2024-05-01T08:30:00.25Z, with 0 for each digit; None for a text of another kind."""
    return re.sub(r"\d", "0", text).encode() if text.isascii() and _SHAPE.fullmatch(text) else None


def read_stamps(texts: pl.Series, shape: bytes) -> pl.Series:
    """Return the microseconds from 1970 to the clock times that `texts` show, null for each that is null, not of `shape`, or no time."""
    if texts.is_empty():
        return texts.cast(pl.Int64)
    fits = (texts.str.len_bytes() == len(shape)).fill_null(False)
    if not fits.all():
        found = pl.Series(texts.name, [None], dtype=pl.Int64).new_from_index(0, len(texts))
        return found.scatter(fits.arg_true(), read_stamps(texts.filter(fits), shape))
    array = texts.to_arrow()
    _, offsets, letters = array.buffers()
    first = int(np.frombuffer(offsets, np.int64, 1, array.offset * 8)[0])
    parts = []
    for at in range(0, len(texts), _AT_ONCE):
        rows = min(_AT_ONCE, len(texts) - at)
        parts.append(_Stamps(np.frombuffer(letters, np.uint8, rows * len(shape), first + at * len(shape)), rows, shape).micros())
    micros, known = (pl.Series(np.concatenate(arrays)) for arrays in zip(*parts, strict=True))
    return pl.select(pl.when(pl.lit(known)).then(pl.lit(micros)).alias(texts.name)).to_series()


class _Stamps:
    """Texts that are each as long as their template, one after the other."""

    def __init__(self, letters: NDArray[np.uint8], height: int, shape: bytes) -> None:
        self._letters, self._height, self._shape = letters, height, shape

    def micros(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the microseconds, and which of them are those of a text of the shape that is a time."""
        days, known = self._days()
        clock = self._word(_TIME)
        hours, minutes, seconds = (_pair(clock, at) for at in (0, 3, 6))
        known &= (hours < 24) & (minutes < 60) & (seconds < 60) & ~self._misshapen()
        whole = days * 86_400 + (hours * 60 + minutes) * 60 + seconds
        return whole * 1_000_000 + self._fraction(), known

    def _word(self, at: int) -> Words:
        """Return the words from letter `at` on, less the template's."""
        words = np.ndarray((self._height,), "<u8", self._letters, at, (len(self._shape),))
        return words ^ _number(self._shape[at : at + 8])

    def _misshapen(self) -> NDArray[np.bool_]:
        """Tell which texts have a letter that is not the template's, or no digit where the template has one."""
        last = len(self._shape) - 8
        wrong = np.zeros(self._height, np.uint64)
        for at in [*range(0, last, 8), last]:
            word = self._word(at)
            past_nine = bytes(6 if letter == ord("0") else 15 for letter in self._shape[at : at + 8])
            wrong |= word | (word + _number(past_nine))
        misshapen: NDArray[np.bool_] = (wrong & np.uint64(0xF0F0F0F0F0F0F0F0)) != 0
        return misshapen

    def _days(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the days since 1970 and which exist; worked out once for each run of equal dates."""
        months, days = self._word(0), self._word(8) & np.uint64(0xFFFF)
        starts = np.flatnonzero((months[1:] != months[:-1]) | (days[1:] != days[:-1])) + 1
        starts = np.concatenate([np.zeros(min(1, self._height), np.int64), starts])
        century, of_century, month = (_pair(months[starts], at) for at in (0, 2, 5))
        year, day = century * 100 + of_century, _pair(days[starts], 0)
        begun = (year - 1970) * 12 + month - 1
        first, after = (number.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for number in (begun, begun + 1))
        exists = (month >= 1) & (month <= 12) & (day >= 1) & (day <= after - first)
        lengths = np.diff(starts, append=self._height)
        return np.repeat(first + day - 1, lengths), np.repeat(exists, lengths)

    def _fraction(self) -> NDArray[np.int64] | int:
        """Return the microseconds of the second; digits below them are cut."""
        digits = min(len(self._shape.rstrip(b"Z")) - _FRACTION, 6)
        if digits < 1:
            return 0
        shown = self._word(_FRACTION + digits - 8) & np.uint64((1 << 64) - (1 << 8 * (8 - digits)))
        fours = _pairs(shown) & _TENS
        fours = (fours * np.uint64(100) + (fours >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
        eight = (fours * np.uint64(10_000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
        micros: NDArray[np.int64] = eight.view(np.int64) * 10 ** (6 - digits)
        return micros


def _number(letters: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(letters, "little"))


def _pairs(word: Words) -> Words:
    """Return in each byte ten times it and the digit to its right."""
    return word * np.uint64(10) + (word >> np.uint64(8))


def _pair(word: Words, at: int) -> NDArray[np.int64]:
    """Return the number of two digits that begins at byte `at`."""
    return ((_pairs(word) >> np.uint64(8 * at)) & np.uint64(0xFF)).view(np.int64)
