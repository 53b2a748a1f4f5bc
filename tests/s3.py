"""A real S3 protocol for tests: moto's server, in a process of its own on a free loopback port."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import urllib3

KEYS = {"access_key_id": "someone", "secret_access_key": "secret", "region": "us-east-1"}
_REQUEST = re.compile(r'"([A-Z]+ \S+) HTTP/')


class S3Server:
    """A running server. Buckets are made by name; they go with the server.

    Attributes:
        requests: `METHOD path` of all that it has answered, as it tells them.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[str] = []

    def listen(self, said: IO[str]) -> None:
        """Note what the server tells until it ends."""
        for line in said:
            if request := _REQUEST.search(line):
                self.requests.append(request[1])

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its URL."""
        answer = urllib3.request("PUT", f"{self.url}/{name}", retries=False)
        assert answer.status == 200, answer.data
        return f"s3://{name}"

    def keep_versions(self, name: str) -> None:
        """Let a bucket keep what was under a key before."""
        body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        answer = urllib3.request("PUT", f"{self.url}/{name}?versioning", body=body, retries=False)
        assert answer.status == 200, answer.data

    @property
    def options(self) -> dict[str, str]:
        """What a remote on it needs."""
        return {"endpointurl": self.url, **KEYS}


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start a server, and end it with the block."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
        url = next(match[0] for match in said if match)
        # It tells of each request, and would stop when nobody listened.
        server = S3Server(url)
        listener = threading.Thread(target=server.listen, args=(process.stderr,))
        listener.start()
        yield server
    finally:
        process.kill()
        process.wait()
    listener.join()
    process.stderr.close()
