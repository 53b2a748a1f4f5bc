"""The HTTP client's patience, and what it makes of answers that are not ours."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from everloop.errors import EverloopError, NotFoundError, UnavailableError
from everloop.storage import HttpClient
from tests.stores import free_port

Answer = tuple[int, bytes] | None  # None cuts the connection


@contextmanager
def server(port: int, answers: list[Answer]) -> Iterator[str]:
    """Answer one request after the other as told."""
    left = iter(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = next(left)
            if answer is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer[0])
            self.send_header("content-length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    listening = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have slept, in seconds; it does not."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_nobody_listening_is_unavailable_at_once(pauses: list[float]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError, match=url) as caught:
        HttpClient(url, name="gateway").call("GET", "/")
    assert "gateway" in caught.value.message
    assert caught.value.hint
    assert pauses == []


def test_patience_outlasts_a_server_that_comes_up_late(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    starting = server(port, [(200, b"here")])
    pauses: list[float] = []

    def start_at_the_third_pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            starting.__enter__()

    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", start_at_the_third_pause)
        try:
            assert HttpClient(f"http://127.0.0.1:{port}", patience_s=600).call("GET", "/") == b"here"
        finally:
            starting.__exit__(None, None, None)
    assert pauses == [0.02, 0.04, 0.08]


def test_patience_outlasts_a_cut_connection_and_a_server_that_is_starting(pauses: list[float]) -> None:
    busy = b'{"error":"starting","family":"unavailable"}'
    with server(0, [None, (503, busy), (502, b"<html>"), (200, b"here")]) as url:
        assert HttpClient(url, patience_s=600).call("GET", "/") == b"here"
    assert len(pauses) == 3


def test_patience_ends(pauses: list[float]) -> None:
    with (
        server(0, [(503, b'{"error":"full","family":"unavailable","hint":"wait"}')]) as url,
        pytest.raises(UnavailableError, match="full") as caught,
    ):
        HttpClient(url).call("GET", "/")
    assert caught.value.hint == "wait"
    assert pauses == []


def test_an_error_that_patience_cannot_help_is_raised_at_once(pauses: list[float]) -> None:
    with (
        server(0, [(404, b'{"error":"no such thing","family":"not_found"}')]) as url,
        pytest.raises(NotFoundError, match="no such thing"),
    ):
        HttpClient(url, patience_s=600).call("GET", "/")
    assert pauses == []


@pytest.mark.parametrize("body", [b"<html>oops</html>", b"", b"[1]", b'{"error":1}', b"\xff"])
def test_an_answer_that_is_not_ours_is_shown(body: bytes) -> None:
    with server(0, [(500, body)]) as url, pytest.raises(EverloopError, match="answered 500") as caught:
        HttpClient(url).call("GET", "/")
    assert caught.value.family == "error"


def test_an_unknown_family_is_still_an_error() -> None:
    body = b'{"error":"from tomorrow","family":"teapot"}'
    with server(0, [(418, body)]) as url, pytest.raises(EverloopError, match="from tomorrow"):
        HttpClient(url).call("GET", "/")


def test_a_status_that_is_accepted_is_an_answer() -> None:
    with server(0, [(409, b"{}")]) as url:
        assert HttpClient(url).call("GET", "/", accept=(409,)) == b"{}"


def test_a_server_that_never_answers_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts in its backlog, and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="ReadTimeout"):
            HttpClient(url, timeout_s=0.05).call("GET", "/")
