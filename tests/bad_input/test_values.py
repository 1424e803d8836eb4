"""Values that are none: the row is kept out with its reason, its neighbours are read, and nothing is guessed."""

from typing import Any

import polars as pl
import pytest

from tests.bad_input.conftest import DAY, Zone
from tests.bad_input.logs import as_csv, as_ndjson, as_parquet, rows

FOUR = ["a", "b", "c", "d"]
INF = float("inf")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", as_csv(rows(FOUR, price=["NaN", "inf", "-Infinity", "2.5"]))),
        ("a.ndjson", as_ndjson(rows(FOUR, price=[float("nan"), INF, -INF, 2.5]))),
        ("a.parquet", as_parquet(rows(FOUR, price=[float("nan"), INF, -INF, 2.5]))),
    ],
)
def test_nan_is_missing_and_infinity_is_no_number(zone: Zone, name: str, content: str | bytes) -> None:
    zone.write(name, content)
    assert zone.counts() == (2, 2)
    assert dict(zone.rows().select("impression_id", "price").iter_rows()) == {"a": None, "d": 2.5}
    assert [(row, reason.split(":")[0]) for _, row, reason in zone.reasons()] == [(2, "bad price"), (3, "bad price")]


@pytest.mark.parametrize(
    ("unit", "times", "reasons"),
    [
        (
            "iso",
            ["-1", "9999-12-31T00:00:00Z", "1969-12-31T00:00:00Z", "12024-05-02T00:00:00Z"],
            ["bad exposed_at", "exposed_at in the future", "exposed_at before 2000", "bad exposed_at"],
        ),
        (
            "ms",
            [-1, 99999999999999999, -(2**63), 10**20],
            ["exposed_at before 2000", "exposed_at in the future", "exposed_at before 2000", "bad exposed_at"],
        ),
        ("ms", [1714636800] * 4, ["exposed_at before 2000"] * 4),  # seconds
        ("s", [1714636800000] * 4, ["exposed_at in the future"] * 4),  # milliseconds
        ("us", [1714636800000] * 4, ["exposed_at before 2000"] * 4),
        ("iso", [1714636800] * 4, ["bad exposed_at"] * 4),
        ("ms", ["2024-05-02T08:00:00Z"] * 4, ["bad exposed_at"] * 4),
    ],
)
@pytest.mark.parametrize("write", [as_csv, as_ndjson])
def test_times_that_cannot_be_are_kept_out_and_not_guessed(zone: Zone, unit: str, times: list[Any], reasons: list[str], write: Any) -> None:
    zone.amend_profile(('unit = "iso"', f'unit = "{unit}"'))
    zone.write("a.csv" if write is as_csv else "a.ndjson", write(rows(FOUR, time=times)))
    assert zone.counts() == (0, 4)
    assert [reason.split(": '") for _, _, reason in zone.reasons()] == [
        [reason, f"{time}'"] for reason, time in zip(reasons, times, strict=True)
    ]


@pytest.mark.parametrize(
    ("zone_name", "hours"), [("UTC", ["08:00", "23:30"]), ("Asia/Kolkata", ["02:30", "18:00"]), ("America/New_York", ["12:00"])]
)
def test_a_local_time_without_a_zone_is_of_the_zone_that_the_profile_names(zone: Zone, zone_name: str, hours: list[str]) -> None:
    zone.amend_profile(('zone = "UTC"', f'zone = "{zone_name}"'))
    zone.write("a.csv", as_csv(rows(["a", "b"], time=["2024-05-02T08:00:00", "2024-05-02 23:30:00"])))
    assert zone.counts() == (len(hours), 2 - len(hours))  # in New York half past eleven is the next UTC day
    assert zone.rows()["exposed_at"].dt.strftime("%H:%M").to_list() == hours


def test_a_column_that_changes_type_between_files_reads_as_the_same_text(zone: Zone) -> None:
    items: dict[str, Any] = {"int": 7, "text": "7", "float": 7.0}
    for name, item in items.items():
        zone.write(f"{name}.parquet", as_parquet(rows([name], item=item)))
        zone.write(f"{name}.ndjson", as_ndjson(rows([f"{name}-json"], item=item)))
    zone.write("rank.parquet", as_parquet(rows(["rank"], rank="first")))
    assert zone.counts() == (6, 1)
    assert zone.rows()["item_id"].to_list() == ["7"] * 6
    assert zone.reasons() == [("rank.parquet", 1, "bad rank: 'first'")]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64 + 1, -(2**53) - 1])
def test_an_integer_above_2_to_the_53_is_exact_as_an_id(zone: Zone, number: int) -> None:
    zone.write("a.csv", as_csv(rows(["a"], item=number)))
    zone.write("b.ndjson", as_ndjson(rows(["b"], item=number)))
    files = 2
    if number < 2**64:
        zone.write(
            "c.parquet", as_parquet(pl.DataFrame(rows(["c"])).with_columns(item=pl.lit(number, dtype=pl.Int128).cast(_type(number))))
        )
        files = 3
    assert zone.counts() == (files, 0)
    assert set(zone.rows()["item_id"]) == {str(number)}


def _type(number: int) -> pl.DataType:
    return pl.Int64() if number < 2**63 else pl.UInt64()


@pytest.mark.parametrize(
    ("dtype", "number", "exact"),
    [(pl.Float64, 2**53 - 1, True), (pl.Float64, 2**53, False), (pl.Float32, 2**24 - 1, True), (pl.Float32, 2**24, False)],
)
def test_an_id_that_a_float_may_have_rounded_is_not_taken_for_another(
    zone: Zone, dtype: type[pl.DataType], number: int, exact: bool
) -> None:
    zone.write("a.parquet", as_parquet(pl.DataFrame(rows(["a"])).with_columns(item=pl.lit(float(number), dtype=dtype))))
    assert zone.counts() == ((1, 0) if exact else (0, 1))
    if exact:
        assert zone.rows()["item_id"].to_list() == [str(number)]
    else:
        assert zone.reasons()[0][2].startswith("item_id not exact as a float: '")


def test_a_key_that_no_row_of_a_json_file_has_is_warned_of(zone: Zone) -> None:
    zone.write("a.ndjson", as_ndjson(rows()).replace('"price"', '"prize"'))
    zone.write("b.ndjson", as_ndjson(rows(["b"], scene=None)))
    zone.write("c.ndjson", as_ndjson(rows(["c"])))
    warnings = [file["warning"] for file in zone.ingest().json["files"]]
    assert warnings == ["no event has a value of 'price'", "no event has a value of 'scene'", ""]
    shown = zone.command("ingest", str(DAY), "--kind", "impressions").out
    assert "no event has a value of 'price'" in shown


@pytest.mark.parametrize(("number", "accepted"), [(2**53 + 1, 1), (2**63 - 1, 1), (2**63, 0)])
def test_an_integer_of_the_context_has_64_bits(zone: Zone, number: int, accepted: int) -> None:
    zone.write("a.csv", as_csv(rows(["a"], rank=number)))
    assert zone.counts() == (accepted, 1 - accepted)
    assert zone.rows()["rank"].to_list() == [number] * accepted
