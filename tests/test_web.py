"""What every HTTP face shares: who is loopback, which status an error has, and how a server stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from everloop import web
from everloop.errors import FAMILIES, DeniedError, UnavailableError
from everloop.storage import HttpClient
from tests.stores import LoopbackServer, free_port


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_names_are_known(host: str) -> None:
    assert web.is_loopback(host)
    web.require_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "example.com", "127.1", "localhost.example"])
def test_any_other_address_is_refused(host: str) -> None:
    assert not web.is_loopback(host)
    with pytest.raises(DeniedError, match="loopback"):
        web.require_loopback(host)


def test_every_family_has_a_status() -> None:
    assert set(web.STATUS_BY_FAMILY) == set(FAMILIES)
    for family, kind in FAMILIES.items():
        assert kind.family == family
        assert 400 <= web.status_of(kind("m")) < 600


async def nothing(scope: web.Scope, receive: web.Receive, send: web.Send) -> None:
    """An app that is never asked."""


def test_a_port_that_is_taken_is_said_so_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=str(port)) as caught:
            web.run(nothing, host="127.0.0.1", port=port)
    assert "--port" in (caught.value.hint or "")


def test_a_foreign_address_is_refused_before_the_port_is_opened() -> None:
    with pytest.raises(DeniedError):
        web.run(nothing, host="0.0.0.0", port=free_port())


SERVE = """
import asyncio, sys
from everloop import web

async def app(scope, receive, send):
    if scope["path"] == "/slow":
        print("began", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

web.run(app, host="127.0.0.1", port=int(sys.argv[1]), on_stop=lambda: print("stopped", flush=True))
"""


async def _early(scope: web.Scope, receive: web.Receive, send: web.Send) -> None:
    """An app that answers without a look at what is sent."""
    await send({"type": "http.response.start", "status": 400, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


@pytest.mark.parametrize(("size_bytes", "is_kept"), [(70_000, True), (web.UNREAD_LIMIT_BYTES * 3, False)])
def test_an_early_answer_keeps_its_connection_or_says_that_it_does_not(
    loopback_server: LoopbackServer, size_bytes: int, is_kept: bool
) -> None:
    with loopback_server.serving(_early) as url, urllib3.PoolManager(maxsize=1) as pool:
        for body in (b"x" * size_bytes, b"next") * (100 if is_kept else 3):
            answer = pool.request("POST", url, body=body, retries=False)
            assert (answer.status, answer.data) == (400, b"no")
            assert ("connection" in answer.headers) == (not is_kept and len(body) == size_bytes)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_server_told_to_stop_finishes_the_request_under_way(stop: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVE, str(port)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        ThreadPoolExecutor(1) as pool,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        client = HttpClient(f"http://127.0.0.1:{port}", patience_s=30)
        client.call("GET", "/")
        answer = pool.submit(client.call, "GET", "/slow")
        assert process.stdout.readline() == "began\n"
        os.kill(process.pid, stop)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert answer.result() == b"done"
        assert process.stdout.read() == "stopped\n"
        assert process.wait() == 0
