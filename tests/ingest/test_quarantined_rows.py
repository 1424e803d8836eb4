"""A row that is no event is set aside with its row number, a reason and its text; the rows around it are read."""

import polars as pl
import pytest

HEADER = "id,user,item,time,position,scene,rank,price,fresh"
GOOD = "i-0,u,1,2024-05-02T00:00:00Z,,,,,"
GOOD_JSON = '{"id":"i-0","item":1,"time":"2024-05-02T00:00:00Z"}'


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",u,1,2024-05-02T00:00:00Z,,,,,", "missing impression_id"),
        ('"",u,1,2024-05-02T00:00:00Z,,,,,', "missing impression_id"),
        ("i,u,,2024-05-02T00:00:00Z,,,,,", "missing item_id"),
        ("i,u,1,,,,,,", "missing exposed_at"),
        ("i,u,1,yesterday,,,,,", "bad exposed_at: 'yesterday'"),
        ("i,u,1,2024-02-30T00:00:00Z,,,,,", "bad exposed_at: '2024-02-30T00:00:00Z'"),
        ("i,u,1,2024-05-02,,,,,", "bad exposed_at: '2024-05-02'"),
        ("i,u,1,1999-12-31T23:59:59Z,,,,,", "exposed_at before 2000: '1999-12-31T23:59:59Z'"),
        ("i,u,1,2024-05-03T00:00:00Z,,,,,", "exposed_at in the future: '2024-05-03T00:00:00Z'"),
        ("i,u,1,2024-05-02T00:00:00Z,first,,,,", "bad position: 'first'"),
        ("i,u,1,2024-05-02T00:00:00Z,2147483648,,,,", "bad position: '2147483648'"),
        ("i,u,1,2024-05-02T00:00:00Z,1.5,,,,", "bad position: '1.5'"),
        ("i,u,1,2024-05-02T00:00:00Z,,,9223372036854775808,,", "bad rank: '9223372036854775808'"),
        ("i,u,1,2024-05-02T00:00:00Z,,,,cheap,", "bad price: 'cheap'"),
        ("i,u,1,2024-05-02T00:00:00Z,,,,inf,", "bad price: 'inf'"),
        ("i,u,1,2024-05-02T00:00:00Z,,,,,maybe", "bad fresh: 'maybe'"),
        ("i,u,1", "wrong number of fields: expected 9, found 3"),
        ("i,u,1,2024-05-02T00:00:00Z,,,,,,,", "wrong number of fields: expected 9, found 11"),
        ('i,u,"1,000",2024-05-02T00:00:00Z,,,,,,', "wrong number of fields: expected 9, found 10"),
        ('i,u,1,2024-05-02T00:00:00Z,,"home,,,', "broken CSV: a quote is not closed"),
        ('i,u,1,2024-05-02T00:00:00Z,,"ho"me,,,', "broken CSV: ',' expected after '\"'"),
        (f"i,u,1,{'9' * 99},,,,,", f"bad exposed_at: '{'9' * 80}'"),
        ("   ", "wrong number of fields: expected 9, found 1"),
    ],
)
@pytest.mark.parametrize("chunk_rows", [1, 1000])
def test_a_csv_row_that_is_no_event_is_set_aside_alone(landing, row, reason, chunk_rows):
    landing.chunk_rows = chunk_rows
    landing.write("a.csv", "\n".join([HEADER, GOOD, row, GOOD.replace("i-0", "i-1"), ""]))
    found = landing.read()
    assert found.quarantined.rows() == [("a.csv", 2, reason, row)]
    assert found.accepted["impression_id"].to_list() == ["i-0", "i-1"]
    assert (found.accounting[0].rows_in, found.accounting[0].quarantined) == (3, 1)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"item":1,"time":"2024-05-02T00:00:00Z"}', "missing impression_id"),
        ('{"id":null,"item":1,"time":"2024-05-02T00:00:00Z"}', "missing impression_id"),
        ('{"id":"i","item":"","time":"2024-05-02T00:00:00Z"}', "missing item_id"),
        ('{"id":"i","item":1,"time":1714608000}', "bad exposed_at: '1714608000'"),
        ('{"id":"i","item":[1],"time":"2024-05-02T00:00:00Z"}', "bad item_id: a nested value"),
        ('{"id":"i","item":"\\ud800","time":"2024-05-02T00:00:00Z"}', "bad item_id: half of a surrogate pair"),
        ('{"id":"i","item":1,"time":"2024-05-02T00:00:00Z","fresh":2}', "bad fresh: '2'"),
        ('{"id":"i","item":1,"time":"2024-05-02T00:00:00Z","price":Infinity}', "bad price: 'inf'"),
        ("[1]", "broken JSON: not an object but list"),
        ("null", "broken JSON: not an object but NoneType"),
        ("[" * 100_000, "broken JSON: nested too deep"),
    ],
)
def test_a_json_row_that_is_no_event_is_set_aside_alone(landing, row, reason):
    landing.write("a.ndjson", "\n".join([GOOD_JSON, row, GOOD_JSON.replace("i-0", "i-1")]))
    found = landing.read()
    assert found.quarantined.rows() == [("a.ndjson", 2, reason, row)]
    assert found.accepted["impression_id"].to_list() == ["i-0", "i-1"]


@pytest.mark.parametrize("row", ['{"id":"i","item":1', '{"id":"i","item":1}{', "i,1,2024", '{"id":' + "9" * 5000 + "}"])
def test_broken_json_is_set_aside_alone(landing, row):
    landing.write("a.ndjson", "\n".join([GOOD_JSON, row, GOOD_JSON.replace("i-0", "i-1")]))
    found = landing.read()
    assert [(at, reason.split(":")[0]) for at, reason in found.reasons] == [(2, "broken JSON")]
    assert found.accepted.height == 2


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson"])
def test_bytes_that_are_no_text_are_shown_as_escapes(landing, name):
    good, head = (GOOD, f"{HEADER}\n") if name == "a.csv" else (GOOD_JSON, "")
    landing.write(name, f"{head}{good}\n".encode() + b"i,\xff,\n" + good.replace("i-0", "i-1").encode() + b"\n")
    found = landing.read()
    assert found.quarantined.rows() == [(name, 2, "not UTF-8: byte 3", "i,\\xff,")]
    assert found.accepted.height == 2


def test_a_parquet_row_that_is_no_event_is_shown_as_json(landing, as_parquet):
    times = ["2024-05-02T00:00:00Z", None]
    landing.write("a.parquet", as_parquet(pl.DataFrame({"id": ["i", "j"], "user": b"u", "item": [1, 2], "time": times})), "clicks")
    found = landing.read("clicks")
    assert found.accepted["impression_id"].to_list() == ["i"]
    assert found.quarantined.rows() == [("a.parquet", 2, "missing clicked_at", '{"user":"u","item":2,"id":"j","time":null}')]


@pytest.mark.parametrize("column", ["id", "item"])
def test_parquet_bytes_that_are_no_text_cost_their_own_row(landing, as_parquet, column):
    frame = pl.DataFrame({"id": [b"i", b"j", None], "user": ["u", "v", "w"], "item": [b"1", b"2", b"3"], "time": "2024-05-02T00:00:00Z"})
    landing.write("a.parquet", as_parquet(frame.with_columns(pl.Series(column, [b"\xff", b"1", b"2"]))), "clicks")
    found = landing.read("clicks")
    assert found.reasons == [(1, "not UTF-8: byte 1")]
    assert '"\\\\xff"' in found.quarantined["raw"].item()
    assert sorted(found.accepted["user_id"]) == ["v", "w"]


@pytest.mark.parametrize(("ids", "accepted"), [("i,", 1), (",u", 1), (",", 0)])
def test_a_click_needs_an_impression_or_a_user_to_be_credited(landing, ids, accepted):
    landing.write("a.csv", f"id,user,item,time\n{ids},1,2024-05-02T00:00:00Z\n", "clicks")
    found = landing.read("clicks")
    assert found.accepted.height == accepted
    assert found.reasons == ([] if accepted else [(1, "missing impression_id and user_id")])


@pytest.mark.parametrize(("kind", "key"), [("actions", "action_id"), ("purchases", "order_id")])
def test_a_key_that_the_profile_maps_is_required(landing, kind, key):
    landing.write("a.csv", "id,user,item,time,amount\n,u,1,2024-05-02T00:00:00Z,\n", kind)
    assert landing.read(kind).reasons == [(1, f"missing {key}")]


@pytest.mark.parametrize("written", ["", "NaN", "nan"])
def test_a_number_that_is_not_one_is_missing(landing, written):
    landing.write("a.csv", f"{HEADER}\ni,u,1,2024-05-02T00:00:00Z,{written},,{written},{written},\n")
    assert landing.read().accepted.select("position", "rank", "price").rows() == [(None, None, None)]


@pytest.mark.parametrize(("written", "value"), [("1", True), ("TRUE", True), ("0", False), ("false", False)])
def test_a_boolean_is_true_false_1_or_0(landing, written, value):
    landing.write("a.csv", f"{HEADER}\ni,u,1,2024-05-02T00:00:00Z,5.0,,-3,1e2,{written}\n")
    assert landing.read().accepted.select("position", "rank", "price", "fresh").rows() == [(5, -3, 100.0, value)]


def test_a_stray_quote_costs_its_own_row_only(landing):
    stray = 'i-9,u,1,2024-05-02T00:00:00Z,,"home,,,'
    good = [GOOD.replace("i-0", f"i-{at}") for at in range(300)]
    quoted = 'i-q,u,1,2024-05-02T00:00:00Z,,"a ""b""",,,'
    landing.chunk_rows = 50
    landing.write("a.csv", "\n".join([HEADER, *good[:10], stray, *good[10:20], quoted, *good[20:], ""]))
    found = landing.read()
    assert found.quarantined.rows() == [("a.csv", 11, "broken CSV: a quote is not closed", stray)]
    assert found.accepted.height == 301


def test_an_inch_mark_inside_a_value_is_a_letter(landing):
    landing.write("a.csv", f'{HEADER}\ni,u,1,2024-05-02T00:00:00Z,,5" screen,,,\n')
    assert landing.read().accepted["scene"].to_list() == ['5" screen']


def test_the_quarantine_is_in_the_order_of_files_and_rows(landing):
    landing.chunk_rows = 1
    for name in ("b.csv", "a.csv"):
        landing.write(name, f"{HEADER}\nx\n{GOOD}\ny\n")
    found = landing.read()
    assert found.quarantined.select("file", "row", "raw").rows() == [
        ("a.csv", 1, "x"),
        ("a.csv", 3, "y"),
        ("b.csv", 1, "x"),
        ("b.csv", 3, "y"),
    ]


@pytest.mark.parametrize(("size", "accepted"), [(1 << 20, 2), ((1 << 20) + 1, 1), (64 << 20, 1)])
def test_a_text_of_more_than_a_mebibyte_costs_its_own_row_and_is_kept_in_part(landing, as_parquet, size, accepted):
    frame = pl.DataFrame({"id": ["i", "j"], "user": "u", "item": 1, "time": "2024-05-02T00:00:00Z", "position": 1, "rank": 1, "price": 1.0})
    landing.write("a.parquet", as_parquet(frame.with_columns(scene=pl.Series(["home", "x" * size]), fresh=True)))
    found = landing.read()
    assert found.accepted.height == accepted
    if accepted == 1:
        assert found.reasons == [(2, f"scene of more than 1048576 bytes: '{'x' * 80}'")]
        assert found.quarantined["raw"].str.len_bytes().item() < (1 << 20) + 100
        assert found.quarantined["raw"].item().startswith('{"user":"u"')


def test_a_json_text_of_more_than_a_mebibyte_costs_its_own_row(landing):
    landing.write("a.ndjson", GOOD_JSON + "\n" + GOOD_JSON.replace("i-0", "x" * (2 << 20)))
    found = landing.read()
    assert found.reasons == [(2, f"impression_id of more than 1048576 bytes: '{'x' * 80}'")]
    assert found.accepted.height == 1
