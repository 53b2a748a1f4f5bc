"""A proxy in front of a server, which does to requests what networks and servers do on a bad day."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import urllib3


class Seen(NamedTuple):
    """A request, with its number among those that the proxy has seen."""

    method: str
    path: str
    number: int


# Whether a request is treated badly.
Bad = Callable[[Seen], bool]


def never(_: Seen) -> bool:
    """No request."""
    return False


def every(n: int) -> Bad:
    """Each n-th request."""
    return lambda seen: seen.number % n == 0


class FaultyProxy:
    """A running proxy. What it does may change at any time.

    Attributes:
        way: `status` answers with `status`; `reset` ends the connection at once; `hang` never answers; `cut` sends half
            of the body; `lie` sends other bytes of the same length.
        is_bad: Which requests.
        requests: `METHOD path` of all of them.
    """

    def __init__(self, target: str, port: int) -> None:
        self.way = "status"
        self.status = 503
        self.is_bad: Bad = never
        self.requests: list[str] = []
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.pool = urllib3.PoolManager(maxsize=64)
        self.target = target
        proxy = self

        class Handler(_Handler):
            faulty = proxy

        self.server = _Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def counts(self) -> dict[str, int]:
        """How many requests of each method there were since they were forgotten."""
        return dict(Counter(request.partition(" ")[0] for request in self.requests))

    def counted(self) -> dict[str, int]:
        """The same, and forget them."""
        found = self.counts()
        self.requests.clear()
        return found


@contextmanager
def faulty_proxy(target: str, port: int = 0) -> Iterator[FaultyProxy]:
    """Start a proxy for the server at the URL, and end it with the block."""
    proxy = FaultyProxy(target, port)
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        proxy.server.shutdown()
        thread.join()
        proxy.server.end()
        proxy.server.server_close()
        proxy.pool.clear()


class _Server(ThreadingHTTPServer):
    """Ends its connections with itself, as a server that dies."""

    request_queue_size = 128

    def __init__(self, *words: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*words)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news."""

    def end(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: FaultyProxy

    def answer(self) -> None:
        proxy = self.faulty
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with proxy.lock:
            proxy.requests.append(f"{self.command} {self.path}")
            is_bad = proxy.is_bad(Seen(self.command, self.path, len(proxy.requests)))
        if is_bad and proxy.way in ("status", "reset", "hang"):
            self.treat_badly()
            return
        given = proxy.pool.request(
            self.command, proxy.target + self.path, body=body, headers=dict(self.headers), redirect=False, retries=False
        )
        data = given.data
        sent = data[::-1] if is_bad and proxy.way == "lie" else data
        if is_bad and proxy.way == "cut":
            sent = data[: len(data) // 2]
            self.close_connection = True
        self.send_response(given.status)
        for name, value in given.headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        length = given.headers.get("content-length", "0") if self.command == "HEAD" else str(len(data))
        self.send_header("content-length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815  the names that http.server looks for

    def treat_badly(self) -> None:
        proxy = self.faulty
        self.close_connection = True
        if proxy.way == "status":
            self.send_response(proxy.status)
            self.send_header("content-length", "0")
            self.end_headers()
        elif proxy.way == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            proxy.ended.wait()

    def log_message(self, *_: Any) -> None:
        """Tests are silent."""
