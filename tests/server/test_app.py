"""The hub as HTTP sees it: every operation reachable, and every way of asking wrongly answered as it should be."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
from typing import Any

import pytest
import sqlalchemy as sa
import urllib3

from everloop import __version__
from everloop.server.app import PUBLISHED
from everloop.server.operations import BODY_LIMIT_BYTES
from everloop.storage import HttpClient, operations_of
from tests.stores import Stores

JSON = "application/json"


class Answer:
    """An HTTP answer: its status and, where it is JSON, its value."""

    def __init__(self, found: urllib3.BaseHTTPResponse) -> None:
        self.status = found.status
        self.body = found.data
        self.value: Any = found.json() if found.headers.get("content-type") == JSON else None


def ask(hub: Stores, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    assert hub.client is not None
    return Answer(urllib3.request(method, hub.client.url + path, body=body, headers=headers, retries=False))


def raw(hub: Stores, request: bytes) -> tuple[int, Any]:
    """Send bytes as they are and return the status and the JSON of the answer."""
    assert hub.client is not None
    port = urllib3.util.parse_url(hub.client.url).port
    assert port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            status = int(stream.readline().split()[1])
            headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
            return status, json.loads(stream.read(int(headers["content-length"])))


def test_health_says_who_answers(hub: Stores) -> None:
    answer = ask(hub, "GET", "/health")
    assert answer.status == 200
    assert answer.value["status"] == "ok"
    assert answer.value["version"] == __version__


# --- operations


def test_every_operation_is_described_and_every_description_answers(hub: Stores) -> None:
    document = ask(hub, "GET", "/api/openapi.json").value
    published = {each.path: each for protocol, room in PUBLISHED for each in operations_of(protocol, room)}
    assert set(document["paths"]) == set(published)
    for path, described in document["paths"].items():
        assert described["post"]["x-permission"] == published[path].permission
        # An unknown field is refused before the store is called, so this asks every route and changes nothing.
        answer = ask(hub, "POST", path, b'{"no such field":1}')
        assert (answer.status, answer.value["family"]) == (400, "invalid"), path
        assert path in answer.value["error"]
        assert all(name in answer.value["hint"] for name in published[path].request.__struct_fields__)


def test_every_reference_of_the_description_resolves(hub: Stores) -> None:
    text = ask(hub, "GET", "/api/openapi.json").body.decode()
    document = json.loads(text)
    prefix = '"$ref":"#/components/schemas/'
    names = {part.partition('"')[0] for part in text.split(prefix)[1:]}
    assert names
    assert names <= set(document["components"]["schemas"])
    assert text.count('"$ref"') == text.count(prefix)


def test_an_operation_without_arguments_needs_no_body(hub: Stores) -> None:
    assert [each["name"] for each in ask(hub, "POST", "/api/tracking/search_experiments").value["experiments"]] == [
        "Default"
    ]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"{", "truncated"),
        (b"[]", "object"),
        (b"{}", "name"),
        (b'{"name":3}', "$.name"),
        (b'{"name":"a","colour":1}', "colour"),
        (b'{"name":"\xff"}', "utf-8"),
    ],
)
def test_malformed_json_is_refused_with_its_place(hub: Stores, body: bytes, place: str) -> None:
    answer = ask(hub, "POST", "/api/tracking/create_experiment", body)
    assert (answer.status, answer.value["family"]) == (400, "invalid")
    assert place in answer.value["error"].lower()
    assert "name" in answer.value["hint"]


def test_a_nested_field_is_named(hub: Stores) -> None:
    body = b'{"run_id":"7f","metrics":[{"key":"a","value":"much","logged_at":"2013-03-01T00:00:00Z"}]}'
    assert "$.metrics[0].value" in ask(hub, "POST", "/api/tracking/log", body).value["error"]


def test_a_time_without_a_zone_is_refused_not_a_crash(hub: Stores) -> None:
    body = {"run_id": "7f" * 16, "experiment": "a", "started_at": "2013-03-01T00:00:00"}
    answer = ask(hub, "POST", "/api/tracking/create_run", json.dumps(body))
    assert (answer.status, answer.value["family"]) == (400, "invalid")
    metric = {"key": "a", "value": 1.0, "logged_at": "2013-03-01T00:00:00"}
    answer = ask(hub, "POST", "/api/tracking/log", json.dumps({"run_id": "7f" * 16, "metrics": [metric]}))
    assert (answer.status, answer.value["family"]) == (400, "invalid")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/tracking/get_run", {"run_id": "7f" * 16}, 404),
        ("/api/tracking/create_experiment", {"name": "a\nb"}, 400),
    ],
)
def test_an_error_of_a_room_has_its_family_and_status(hub: Stores, path: str, body: Any, status: int) -> None:
    answer = ask(hub, "POST", path, json.dumps(body))
    assert answer.status == status
    assert set(answer.value) == {"error", "family", "hint"}


def test_an_operation_is_asked_by_post_only(hub: Stores) -> None:
    assert ask(hub, "GET", "/api/tracking/search_experiments").status == 405
    assert ask(hub, "POST", "/api/tracking/drop_everything").status == 404


# --- limits


def test_a_body_that_says_it_is_too_large_is_refused_unread(hub: Stores) -> None:
    # Only the head is sent: an answer means that the 100 MB were not waited for.
    head = b"POST /api/tracking/log HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000000\r\n\r\n"
    status, value = raw(hub, head)
    assert (status, value["family"]) == (413, "too_large")
    assert f"{BODY_LIMIT_BYTES:,}" in value["error"]


def test_a_body_that_grows_too_large_is_refused_while_it_comes(hub: Stores) -> None:
    # The body never ends: an answer means that its end was not waited for.
    head = b"POST /api/tracking/log HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    status, value = raw(hub, head + chunk * (BODY_LIMIT_BYTES // (1 << 20) + 1))
    assert (status, value["family"]) == (413, "too_large")


# --- the guard


@pytest.mark.parametrize("host", ["localhost", "localhost:7300", "127.0.0.1", "127.8.8.8:1", "[::1]:7300"])
def test_a_loopback_host_is_served(hub: Stores, host: str) -> None:
    assert ask(hub, "GET", "/health", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["everloop.example", "127.0.0.1.nip.io", "localhost.example", "10.0.0.1", "0.0.0.0", "a@b", "[::1", ""]
)
def test_a_foreign_host_is_refused(hub: Stores, host: str) -> None:
    answer = ask(hub, "GET", "/health", host=host)
    assert (answer.status, answer.value["family"]) == (403, "denied")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://[::1"])
def test_a_foreign_origin_is_refused_before_anything_happens(hub: Stores, origin: str) -> None:
    answer = ask(hub, "POST", "/api/tracking/create_experiment", b'{"name":"a"}', origin=origin)
    assert (answer.status, answer.value["family"]) == (403, "denied")
    assert [each.name for each in hub.tracking.search_experiments().experiments] == ["Default"]


def test_a_page_of_the_hub_itself_may_ask(hub: Stores) -> None:
    assert isinstance(hub.client, HttpClient)
    assert ask(hub, "POST", "/api/tracking/search_experiments", origin=hub.client.url).status == 200


# --- objects


def test_an_object_goes_up_and_comes_down(hub: Stores) -> None:
    data = bytes(range(256)) * 5000
    digest = hashlib.sha256(data).hexdigest()
    assert ask(hub, "PUT", f"/api/objects/{digest}", data).status == 201
    assert ask(hub, "PUT", f"/api/objects/{digest}", data).status == 201  # and may be repeated
    assert ask(hub, "GET", f"/api/objects/{digest}").body == data


def test_an_object_of_another_digest_is_refused(hub: Stores) -> None:
    promised = hashlib.sha256(b"promised").hexdigest()
    answer = ask(hub, "PUT", f"/api/objects/{promised}", b"other")
    assert (answer.status, answer.value["family"]) == (400, "invalid")
    assert not hub.local.objects.has(promised)
    assert [path for path in hub.local.objects.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("digest", "status"), [("ab" * 32, 404), ("ab", 400), ("..%2f..%2fetc%2fpasswd", 404), ("A" * 64, 400)]
)
def test_an_object_that_is_not_there_is_answered_as_such(hub: Stores, digest: str, status: int) -> None:
    assert ask(hub, "GET", f"/api/objects/{digest}").status == status


# --- what nobody expected


def test_an_internal_error_is_logged_whole_and_answered_without_its_inside(
    hub: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    with hub.local.database.write() as connection:
        connection.execute(sa.text("DROP TABLE edges"))
    with caplog.at_level(logging.ERROR, logger="everloop"):
        answer = ask(hub, "POST", "/api/tracking/edges_of", b'{"address":"runs/1"}')
    assert (answer.status, answer.value["family"]) == (500, "error")
    assert "log" in answer.value["error"]
    for inside in (b"SELECT", b"edges", b"Traceback", b".py"):
        assert inside not in answer.body
    (record,) = [record for record in caplog.records if record.name.startswith("everloop")]
    assert record.getMessage() == "POST /api/tracking/edges_of failed"
    assert record.exc_info
    assert "no such table: edges" in str(record.exc_info[1])
    assert ask(hub, "GET", "/health").status == 200  # and the hub goes on
