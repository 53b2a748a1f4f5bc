"""A hub in a process of its own, to be killed and started again on the same port and data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from everloop.config import Settings
from everloop.server.client import Hub
from everloop.storage import HttpClient
from tests.stores import free_port


class HubProcess:
    """`ever hub`; not running until `start`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")}
        settings = {"EVERLOOP_HOME": str(self.home), "EVERLOOP_HUB_PORT": str(self.port)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "everloop", "hub"],
            env=kept | settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        HttpClient(self.url, patience_s=60.0).call("GET", "/health")

    def kill(self) -> None:
        """SIGKILL; harmless when it does not run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def client(self) -> Hub:
        return Hub(Settings(hub_url=self.url), patience_s=10.0)
