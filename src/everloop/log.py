"""How processes log: one line an event, UTC time first, to stderr, which the supervisor writes to a file."""

from __future__ import annotations

import logging
import time


def start_logging(role: str, level: str = "info") -> None:
    """Set up this process's log. Called once, at the process's edge."""
    formatter = logging.Formatter(f"%(asctime)s.%(msecs)03dZ {role} %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
