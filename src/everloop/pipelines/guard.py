"""Run one shell script and end it when the process that asked for it is gone. Run as a script, in a session of its own.

A killed parent cannot stop what it started; without this its stage would go on writing into a folder that the next
attempt uses. Imports only the standard library, so that it starts at once.

Usage: guard.py LIFELINE_FD COMMAND...; exits with the command's code, 128 + n when signal n ended it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _end_with_parent(lifeline: int) -> None:
    # Nobody writes: reading ends when the last process that holds the other end has ended.
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Start the command, watch the lifeline, pass the exit code on."""
    # Ctrl-C and SIGTERM go to the whole group; the command decides, and this process waits for it.
    command_signals = (signal.SIGINT, signal.SIGTERM)
    for number in command_signals:
        signal.signal(number, lambda *_: None)
    lifeline = int(sys.argv[1])
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    try:
        code = subprocess.Popen(sys.argv[2:]).wait()
    except OSError as error:
        print(f"{sys.argv[2]}: {error.strerror}", file=sys.stderr)  # noqa: T201  the stage's log is this process's stderr
        code = 127
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
