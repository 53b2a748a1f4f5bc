"""Seeing to it that a run is ended whose process is killed: a shell waits beside it, and sends what it left.

The shell holds the reading end of a pipe of which only the process has the other, so it learns of every death, SIGKILL
included, at once and without asking around. It costs a process of a megabyte; a machine without `sh` goes without, and
`ever sync` does the same later.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

# A word says that the process ended by itself; the end of the pipe without one that it was killed. The second time is
# for what processes that joined the run had to tell, which may outlive it by some seconds.
_SCRIPT = 'read -r word && exit; "$0" -m everloop sync "$1"; sleep 10; exec "$0" -m everloop sync "$1"'


class Watch:
    """Watches over the run of this process until `stop`."""

    def __init__(self, run_id: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["sh", "-c", _SCRIPT, sys.executable, run_id],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what is sent to the group of the process is not meant for it
            )

    def stop(self) -> None:
        """The run was ended: nothing is left to see to."""
        if self._process is None or self._process.stdin is None:
            return
        with suppress(OSError):
            self._process.stdin.write(b"ended\n")
            self._process.stdin.close()
        self._process.wait()
        self._process = None
