"""Reading a block of rows at once gives what reading them one by one gives: the same events, reasons and raw text."""

import json
import random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from components.ingest import columns, delimited, ndjson

HEADER = "id,user,item,time,position,scene,rank,price,fresh"
TIMES = (
    *("2024-05-02T08:00:00.123456Z", "2024-05-02T08:00:00.5Z", "2024-05-02T08:00:00Z", "2024-05-02 08:00:00", "2024-05-02T08:00:00+02:00"),
    *("2024-05-02T08:00:60Z", "2024-05-02T24:00:00Z", "2024-05-02T08:00:00.1234567Z", "2024-5-02T08:00:00Z", "+2024-05-2T08:00:00Z"),
    *("1999-12-31T23:59:59Z", "2024-05-03T00:00:00Z", "yesterday", "", " 2024-05-02T08:00:00Z"),
)
TEXTS = (
    "u",
    "",
    " ",
    "ünï",
    "\U0001f600",
    "a\tb",
    "say \\ no",
    "[x]",
    "{x}",
    "nan",
    "NaN",
    "null",
    "a'b",
    "\0",
    "#",
    "1.0",
    "007",
    "x" * 50,
)
NUMBERS = (
    "1",
    "0",
    "-0",
    "2.5",
    "5.0",
    "1e3",
    "1E-7",
    "1e22",
    "-0.0",
    "9007199254740993",
    "9007199254740993.0",
    "9" * 19,
    "9" * 40,
    "1e400",
    "2147483648",
    "123456.789",
)
JSON_NUMBERS = (
    *NUMBERS,
    "true",
    "false",
    "null",
    "NaN",
    "Infinity",
    "[1]",
    '{"a":1}',
    '"7"',
    '" 7"',
    '"7.0"',
    '"inf"',
    '""',
    "01",
    "1.",
    "+1",
)


def usual(draw):
    """A JSON line of the kind that logs have, values as JSON text."""
    return {
        "id": f'"i-{draw.randrange(10**9)}"',
        "user": '"u"',
        "item": str(draw.randrange(100)),
        "time": '"2024-05-02T08:00:00.123456Z"',
        "position": "3",
        "scene": '"home"',
        "rank": "7",
        "price": "1.25",
        "fresh": "true",
    }


def json_line(draw):
    row = usual(draw)
    for _ in range(draw.choice([0, 0, 1, 1, 2])):
        key = draw.choice(list(row))
        value = draw.choice(TIMES if key == "time" else TEXTS)
        row[key] = (
            json.dumps(value, ensure_ascii=draw.random() < 0.5) if draw.random() < 0.5 or key == "time" else draw.choice(JSON_NUMBERS)
        )
    pairs = [(json.dumps(key), value) for key, value in row.items() if draw.random() > 0.02]
    if draw.random() < 0.1:
        pairs.append(draw.choice([('"id"', '"again"'), ('"\\u0069d"', '"escaped"'), ('"more"', '{"id":"inner"}'), ('"id"', "null")]))
    if draw.random() < 0.05:
        pairs.append(
            ('"scene"', draw.choice(['"\\ud83d"', '"\\ud83dx"', '"\\udc00"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\uD83D\\u0041"']))
        )
    comma, colon = draw.choice([(",", ":"), (", ", ": "), (" ,", " :"), (",\t", "\t:")])
    line = ("{" + comma.join(f"{key}{colon}{value}" for key, value in pairs) + "}").encode()
    return mutated(draw, line) if draw.random() < 0.15 else line


def csv_line(draw):
    row = [f"i-{draw.randrange(10**9)}", "u", "1", "2024-05-02T08:00:00Z", "3", "home", "7", "1.25", "true"]
    for _ in range(draw.choice([0, 1, 2])):
        at = draw.randrange(len(row))
        row[at] = draw.choice(TIMES if at == 3 else TEXTS + NUMBERS)
    line = ",".join(row).encode()
    return mutated(draw, line) if draw.random() < 0.1 else line


def mutated(draw, line):
    """Change, remove or double some bytes."""
    at = draw.randrange(len(line))
    return draw.choice(
        [
            line[:at],
            line[:at] + line[at + 1 :],
            line[:at] + bytes([draw.choice(b'"\\{}[]:,\x00\x01\t\x7f\xff 09eE-.')]) + line[at:],
            line + line,
            line + b" ",
            b" " + line,
            line + b"\r",
            b"",
            b"  ",
        ]
    )


def both_ways(landing, monkeypatch, name, content):
    """Read a file as it is read, then one row at a time."""
    landing.write(name, content)
    monkeypatch.setattr(ndjson, "_SMALLEST", 1)
    at_once = landing.read()
    monkeypatch.setattr(ndjson, "_decode", lambda *_: None)
    monkeypatch.setattr(ndjson, "_SMALLEST", 10**9)
    monkeypatch.setattr(delimited, "_plain", lambda *_: False)
    monkeypatch.setattr(
        columns, "_read_at_once", lambda chunk, target: (none_read(chunk, target), pl.repeat(True, chunk.height, eager=True))
    )
    one_by_one = landing.read()
    return at_once, one_by_one


def none_read(chunk, target):
    return pl.DataFrame(schema={**target.schema, "row": pl.Int64}).clear(chunk.height)


@pytest.mark.parametrize(("kind", "zone"), [("ndjson", "UTC"), ("csv", "UTC"), ("ndjson", "America/New_York"), ("csv", "Asia/Kolkata")])
@pytest.mark.parametrize("chunk_rows", [7, 100])
def test_at_once_and_one_by_one_are_the_same(landing_with, monkeypatch, kind, zone, chunk_rows):
    draw = random.Random(f"{kind} {zone} {chunk_rows}")
    landing = landing_with(clock={"zone": zone})
    landing.chunk_rows = chunk_rows
    lines = [json_line(draw) if kind == "ndjson" else csv_line(draw) for _ in range(2000 if chunk_rows > 7 else 300)]
    head = [] if kind == "ndjson" else [HEADER.encode()]
    at_once, one_by_one = both_ways(landing, monkeypatch, f"a.{kind}", b"\n".join([*head, *lines]))
    assert_frame_equal(at_once.accepted, one_by_one.accepted)
    assert_frame_equal(at_once.quarantined, one_by_one.quarantined)
    assert at_once.accounting == one_by_one.accounting
    assert at_once.accepted.height > 50
    assert at_once.quarantined.height > 50


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_epochs_are_the_same(landing_with, monkeypatch, unit):
    landing = landing_with(clock={"unit": unit})
    scale = 1 if unit == "s" else 1000
    times = [1714608000 * scale, 1714608000, 0, -1, 10**18, 10**19, 1714608000.0 * scale, 1.5, str(1714608000 * scale), "x", "", None, True]
    rows = [{"id": f"i-{at}", "item": 1, "time": time} for at, time in enumerate(times)]
    at_once, one_by_one = both_ways(landing, monkeypatch, "a.ndjson", "\n".join(map(json.dumps, rows)))
    assert_frame_equal(at_once.accepted, one_by_one.accepted)
    assert_frame_equal(at_once.quarantined, one_by_one.quarantined)
    assert at_once.accepted.height == 3 + (unit == "s")


@pytest.mark.parametrize(
    "dtype", [pl.String, pl.Int64, pl.Float64, pl.Float32, pl.UInt64, pl.Boolean, pl.Decimal(10, 2), pl.Int8, pl.Categorical]
)
def test_parquet_types_are_the_same(landing, monkeypatch, as_parquet, dtype):
    values = pl.Series([True, False, None, True, True] if dtype == pl.Boolean else ["1", "0", None, "7", "1"]).cast(dtype)
    if dtype in (pl.Float64, pl.Float32):
        values = pl.Series([1.0, 0.1, float("nan"), float("inf"), 1e17], dtype=dtype)
    frame = pl.DataFrame({"id": ["a", "b", "c", "d", "e"], "user": ["u", "", "u", None, "u"], "time": ["2024-05-02T08:00:00Z"] * 5})
    names = ("item", "position", "scene", "rank", "price", "fresh")
    at_once, one_by_one = both_ways(landing, monkeypatch, "a.parquet", as_parquet(frame.with_columns(values.alias(name) for name in names)))
    assert_frame_equal(at_once.accepted, one_by_one.accepted)
    assert_frame_equal(at_once.quarantined, one_by_one.quarantined)


@pytest.mark.parametrize("line", ["{}", '{"id":"i","item":1,"time":'])
@pytest.mark.parametrize("rows", [5, 600])
def test_a_broken_line_costs_the_others_nothing(landing, line, rows):
    good = [json.dumps({"id": f"i-{at}", "item": 1, "time": "2024-05-02T00:00:00Z"}) for at in range(rows)]
    landing.write("a.ndjson", "\n".join([*good[:3], line, *good[3:]]))
    found = landing.read()
    assert found.accepted.height == rows
    assert [row for row, _ in found.reasons] == [4]


@pytest.mark.parametrize(("item", "accepted"), [("9007199254740993", 1), ("9007199254740993.0", 0), ("1e16", 0), ("9007199254740991.0", 1)])
def test_an_id_that_a_json_float_may_have_rounded_is_set_aside(landing, item, accepted):
    landing.write("a.ndjson", f'{{"id":"i","item":{item},"time":"2024-05-02T00:00:00Z"}}')
    found = landing.read()
    assert found.accepted["item_id"].to_list() == [item.removesuffix(".0")] * accepted
    assert [reason.split(":")[0] for _, reason in found.reasons] == ["item_id not exact as a float"] * (1 - accepted)


CELLS = [*TIMES, *TEXTS, *NUMBERS, "-nan", "+NaN", "inf", " 5", "5 ", "\t", "+5", ".5", "5.", "1_0", "٣", "0x1", "'5'", "-0.0"]


@pytest.mark.parametrize("column", ["time", "position", "scene", "rank", "price"])
def test_an_odd_csv_cell_is_the_same_at_the_head_of_a_file_and_far_down(landing, monkeypatch, column):
    """At the head it decides how the file's numbers are read; far down it comes as a surprise."""
    names = HEADER.split(",")
    usual_row = dict(zip(names, ("", "u", "1", "2024-05-02T08:00:00Z", "3", "home", "7", "1.25", "true"), strict=True))
    for number, cell in enumerate(CELLS):
        odd = ",".join((usual_row | {"id": f"i-{number}", column: cell}).values())
        landing.write(f"head-{number}.csv", f"{HEADER}\n{odd}\n")
        rows = [",".join((usual_row | {"id": f"i-{number}-{at}"}).values()) for at in range(delimited._FIRST)]
        landing.write(f"down-{number}.csv", "\n".join([HEADER, *rows, odd.replace("i-", "j-"), ""]))
    at_once, one_by_one = both_ways(landing, monkeypatch, "z.csv", HEADER)
    assert_frame_equal(at_once.accepted, one_by_one.accepted)
    assert_frame_equal(at_once.quarantined, one_by_one.quarantined)
    assert at_once.accounting == one_by_one.accounting
    assert at_once.accepted.height + at_once.quarantined.height == len(CELLS) * (delimited._FIRST + 2)


@pytest.mark.parametrize(("first", "item"), [('"id":"a","id":null', None), ('"id":null,"id":"a"', "1"), ('"id":"a"', "1")])
@pytest.mark.parametrize("space", ["", " "])
def test_a_key_spelt_twice_beside_nulls_is_the_last_of_them(landing, monkeypatch, first, item, space):
    """The written nulls of other lines must not hide that a line has one key twice."""
    time = '"time":"2024-05-02T00:00:00Z"'
    others = [f'{{"id":"i-{at}","item":1,{time},"scene":null,"rank":{at}}}' for at in range(50)]
    text = "\n".join([f'{{{first},"item":1,{time},"rank":null}}', *others, '{"id":null,"item":1,' + time + "}"])
    at_once, one_by_one = both_ways(landing, monkeypatch, "a.ndjson", text.replace('":', '":' + space))
    assert_frame_equal(at_once.accepted, one_by_one.accepted)
    assert_frame_equal(at_once.quarantined, one_by_one.quarantined)
    assert (at_once.accepted["impression_id"] == "a").sum() == (item is not None)
