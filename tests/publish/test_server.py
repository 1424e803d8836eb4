"""Lookups over HTTP: the answers, and a 4xx with a JSON reason for everything else."""

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx
import pytest
import uvicorn

from components.publish.server import MAX_BODY_BYTES, create_app
from components.publish.token import read_token, token_path
from components.settings import Settings

DAY = date(2024, 5, 1)
JSON = {"content-type": "application/json"}


@contextmanager
def serve(settings: Settings) -> Iterator[httpx.Client]:
    """A client, with the token, of a real server on a free port of loopback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESMM_LOOKUP_TOKEN", "a-token")
        app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": "Bearer a-token"}, timeout=60, trust_env=False
        ) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serve(settings) as client:
        yield client


@pytest.fixture(scope="module")
def published(
    settle: Callable[[Path], Settings], publish_to: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    settings = settle(tmp_path_factory.mktemp("home"))
    publish_to(settings, DAY, {"ann": 1, "a/b c": 2, "żółw/🐢": 3}, {"bag": 4})
    with serve(settings) as client:
        yield client


def error_of(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "reason"}
    assert body["error"]["reason"]
    return response.status_code, body["error"]["code"]


def test_one_key_answers_its_features_and_day(published: httpx.Client) -> None:
    answer = published.get("/v1/features/user/ann").json()
    assert (answer["key"], answer["found"], answer["day"]) == ("ann", True, "2024-05-01")
    assert answer["features"]["user_click_items_30d"] == ["items-0"]
    assert published.get("/v1/features/item/bag").json()["features"]["item_click_count_1d"] == 4


@pytest.mark.parametrize(("path", "n"), [("a/b%20c", 2), ("a%2Fb%20c", 2), ("%C5%BC%C3%B3%C5%82w%2F%F0%9F%90%A2", 3)])
def test_keys_may_hold_slashes_spaces_and_any_letters(published: httpx.Client, path: str, n: int) -> None:
    assert published.get(f"/v1/features/user/{path}").json()["features"]["user_click_count_1d"] == n


def test_many_keys_answer_in_order_and_unknown_ones_are_not_found(published: httpx.Client) -> None:
    response = published.post("/v1/features/user", json={"keys": ["nobody", "ann", "ann"], "features": ["user_click_count_1d"]})
    nobody = {"key": "nobody", "found": False, "day": None, "features": None}
    ann = {"key": "ann", "found": True, "day": "2024-05-01", "features": {"user_click_count_1d": 1}}
    assert (response.status_code, response.json()) == (200, {"answers": [nobody, ann, ann]})


def test_readers_at_the_same_time_get_their_own_answers(published: httpx.Client) -> None:
    numbers = {"ann": 1, "a/b c": 2, "żółw/🐢": 3}

    def ask(key: str) -> bool:
        body = {"keys": [key, "nobody"], "features": ["user_click_count_1d"]}
        first, second = published.post("/v1/features/user", json=body).json()["answers"]
        return bool(first["features"] == {"user_click_count_1d": numbers[key]}) and not second["found"]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, list(numbers) * 20))


def test_no_keys_get_no_answers(published: httpx.Client) -> None:
    assert published.post("/v1/features/user", json={"keys": []}).json() == {"answers": []}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/features/user/nobody", (404, "unknown_key")),
        ("GET", "/v1/features/user/", (404, "unknown_key")),
        ("GET", f"/v1/features/user/{'x' * 50_000}", (404, "unknown_key")),
        ("GET", "/v1/features/user/%00%ff%fe", (404, "unknown_key")),
        ("GET", "/v1/features/shop/ann", (404, "unknown_entity")),
        ("GET", "/v1/features/%F0%9F%90%A2/ann", (404, "unknown_entity")),
        ("GET", "/v2/features", (404, "not_found")),
        ("GET", "/docs", (404, "not_found")),
        ("GET", "/v1/features/user", (405, "method_not_allowed")),
        ("DELETE", "/v1/features/user/ann", (405, "method_not_allowed")),
        ("POST", "/v1/features/user/ann", (405, "method_not_allowed")),
    ],
)
def test_unknown_things_are_refused_by_name(published: httpx.Client, method: str, path: str, expected: tuple[int, str]) -> None:
    assert error_of(published.request(method, path)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (422, "malformed_body")),
        (b"{", (422, "malformed_body")),
        (b"[]", (422, "malformed_body")),
        (b"null", (422, "malformed_body")),
        (b"\xff\xfe", (422, "malformed_body")),
        (b"[" * 100_000, (422, "malformed_body")),
        (b"{}", (422, "malformed_body")),
        (b'{"keys": "ann"}', (422, "malformed_body")),
        (b'{"keys": [1]}', (422, "malformed_body")),
        (b'{"keys": [null]}', (422, "malformed_body")),
        (b'{"keys": ["\\ud800"]}', (422, "malformed_body")),
        (b'{"keys": ["ann"], "feature": []}', (422, "malformed_body")),
        (b'{"keys": ["ann"], "features": "user_click_count_1d"}', (422, "malformed_body")),
        (b'{"keys": ["ann"], "features": ["item_click_count_1d"]}', (422, "unknown_feature")),
        (b'{"keys": ["ann"], "features": ["user_id"]}', (422, "unknown_feature")),
        (b'{"keys": ["ann"], "features": ["a:b"]}', (422, "unknown_feature")),
        (json.dumps({"keys": ["k"] * 1001}).encode(), (413, "too_many_keys")),
        (b" " * (MAX_BODY_BYTES + 1), (413, "body_too_large")),
    ],
)
def test_malformed_bodies_are_refused(published: httpx.Client, body: bytes, expected: tuple[int, str]) -> None:
    assert error_of(published.post("/v1/features/user", content=body, headers=JSON)) == expected


def test_the_largest_allowed_question_is_answered(published: httpx.Client) -> None:
    keys = ["k" * 1000 + str(n) for n in range(1000)]
    assert len(published.post("/v1/features/user", json={"keys": keys, "features": []}).json()["answers"]) == 1000


def test_an_oversize_body_without_a_length_is_refused_before_it_ends(published: httpx.Client) -> None:
    sent = []

    def endless() -> Iterator[bytes]:
        for _ in range(64):
            sent.append(1)
            yield b" " * 65536

    assert error_of(published.post("/v1/features/user", content=endless(), headers=JSON)) == (413, "body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_a_body_of_another_type_is_refused(published: httpx.Client, kind: str) -> None:
    assert error_of(published.post("/v1/features/user", content=b'{"keys": []}', headers={"content-type": kind})) == (415, "not_json")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (401, "token_missing")),
        ("", (401, "token_missing")),
        ("a-token", (401, "token_missing")),
        ("Basic a-token", (401, "token_missing")),
        ("Bearer", (401, "token_missing")),
        ("Bearer a-toke", (403, "token_wrong")),
        ("Bearer a-token2", (403, "token_wrong")),
        ("Bearer żółw".encode(), (403, "token_wrong")),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/features/user/ann"), ("POST", "/v1/features/user"), ("GET", "/v1/features/shop/x")]
)
def test_no_token_no_answer(published: httpx.Client, header: str | bytes | None, expected: tuple[int, str], method: str, path: str) -> None:
    headers: dict[str, str | bytes] = {} if header is None else {"authorization": header}
    response = httpx.request(method, published.base_url.join(path), headers=headers, trust_env=False)  # type: ignore[arg-type]
    assert error_of(response) == expected
    assert ("www-authenticate" in response.headers) == (expected[0] == 401)


def test_before_the_first_publish_lookups_say_so_and_health_is_ok(client: httpx.Client) -> None:
    assert error_of(client.get("/v1/features/user/ann")) == (503, "not_published")
    assert error_of(client.post("/v1/features/user", json={"keys": ["ann"]})) == (503, "not_published")
    del client.headers["authorization"]
    assert client.get("/health").json() == {"status": "ok", "day": None}


def test_a_running_server_sees_the_next_publish(client: httpx.Client, publish: Callable[..., object]) -> None:
    publish(DAY, {"ann": 1})
    assert client.get("/v1/features/user/ann").json()["day"] == "2024-05-01"
    publish(date(2024, 5, 2), {"bob": 1})
    assert client.get("/v1/features/user/bob").json()["day"] == "2024-05-02"
    assert client.get("/v1/features/user/ann").status_code == 404
    assert client.get("/health").json()["day"] == "2024-05-02"


def test_a_broken_store_is_a_503_that_hides_its_cause(client: httpx.Client, publish: Callable[..., object], settings: Settings) -> None:
    publish(DAY, {"ann": 1})
    (settings.root / "online" / "online.db").write_bytes(b"not a database, at all" * 100)
    response = client.get("/v1/features/user/ann")
    assert error_of(response) == (503, "unavailable")
    assert str(settings.root) not in response.text


def test_a_token_is_made_once_for_its_owner_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ESMM_LOOKUP_TOKEN", raising=False)
    token = read_token(settings.root)
    assert len(token) >= 32
    assert read_token(settings.root) == token
    assert stat.S_IMODE(token_path(settings.root).stat().st_mode) == 0o600
    assert [path.name for path in token_path(settings.root).parent.iterdir()] == ["lookup_token"]
    monkeypatch.setenv("ESMM_LOOKUP_TOKEN", "other")
    assert read_token(settings.root) == "other"
