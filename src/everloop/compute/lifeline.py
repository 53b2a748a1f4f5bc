"""Ending with one's parent: a child holds the reading end of a pipe whose writing end only its supervisor has.

When the supervisor dies, even by SIGKILL, the pipe reaches its end and the child stops itself cleanly. This works on
every POSIX system, unlike `PR_SET_PDEATHSIG`, and needs no polling of parent ids.
"""

from __future__ import annotations

import os
import signal
import threading


def hold_lifeline(fd: int) -> None:
    """Send SIGTERM to this process when the pipe at `fd` ends. Returns at once; a daemon thread waits."""

    def wait() -> None:
        while os.read(fd, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
