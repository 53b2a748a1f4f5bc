"""`python children.py HOME NAME...`: a supervisor in a process of its own, as `ever up` is one, over small children.

A child tells `NAME up PID` when it runs and `NAME down` when it is told to stop. Its name says what else it does:
`fails` ends at once, `talks` prints. With `--child`, this file is such a child.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from pathlib import Path

from everloop.compute import Child, Supervisor, hold_lifeline
from everloop.errors import ConflictError


def tell(home: Path, text: str) -> None:
    """Append one line to the events: a FIFO, which the test reads as it is written.

    A test that has ended reads no more; without O_NONBLOCK its last children would wait for it for ever.
    """
    try:
        handle = os.open(home / "events", os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return
        raise
    os.write(handle, f"{text}\n".encode())
    os.close(handle)


def child(home: Path, name: str, lifeline: int) -> None:
    hold_lifeline(lifeline)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if name == "talks":
        print("out", flush=True)  # noqa: T201
        print("err", file=sys.stderr)  # noqa: T201
    tell(home, f"{name} up {os.getpid()}")
    if name == "fails":
        raise SystemExit(3)
    stop.wait()
    tell(home, f"{name} down")


def supervise(home: Path, names: list[str]) -> None:
    def command(name: str) -> list[str]:
        return [sys.executable, __file__, "--child", str(home), name, "{lifeline}"]

    children = [Child(name=name, command=command(name), environment=os.environ) for name in names]
    supervisor = Supervisor(home, children, on_event=lambda name, what: tell(home, f"> {name} {what}"))
    try:
        supervisor.run()
    except ConflictError as error:
        tell(home, f"refused {error.message}")
        return
    tell(home, "supervisor done")


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        supervise(Path(sys.argv[1]), sys.argv[2:])
