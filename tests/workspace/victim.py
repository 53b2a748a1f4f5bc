"""Runs verbs of the workspace in children that die at a chosen system call. Run as a script by `test_kill.py`.

Reads lines `VERB CALLS ROOT`, and answers each with the child's exit status and the calls that were left, `None` where
it died. One interpreter serves all rounds, since starting one takes longer than a round.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from everloop.workspace import Workspace
from everloop.workspace.gc import Scope

# All that changes the disk, and enough of the rest to die between the changes.
DEADLY = (
    "open", "os.rename", "os.mkdir", "os.chmod", "os.remove", "os.rmdir", "os.link", "os.utime", "os.listdir",
    "os.scandir", "os.symlink", "fcntl.flock",
)  # fmt: skip

VERBS: dict[str, Callable[[Workspace], object]] = {
    "checkout": lambda workspace: workspace.checkout(force=True),
    "gc": lambda workspace: workspace.gc(Scope(workspace=True)),
    "move": lambda workspace: workspace.move("d", "new/e"),
    "remove": lambda workspace: workspace.remove(["d"], outs=True),
    "undo": lambda workspace: workspace.undo(),
    "unprotect": lambda workspace: workspace.unprotect("d"),
    "symlink": lambda workspace: workspace.add(["d"]),
    "migrate": lambda workspace: workspace.migrate(records=True),
    "traits": lambda workspace: workspace.checkout(force=True),
    "part": lambda workspace: workspace.add(["d/x", "d/sub"]),
}


def run(verb: str, calls: int, root: str, answer: int) -> None:
    """Do the verb, and die before the given call."""
    left = calls

    def count(event: str, _: object) -> None:
        nonlocal left
        if event in DEADLY:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    workspace = Workspace.open(root)
    sys.addaudithook(count)
    VERBS[verb](workspace)
    os.write(answer, str(left).encode())


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        verb, calls, root = line.rstrip("\n").split(" ", 2)
        reading, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run(verb, int(calls), root, answer)
                code = 0
            finally:
                os._exit(code)
        os.close(answer)
        left = os.read(reading, 64).decode() or "None"
        os.close(reading)
        print(os.waitpid(pid, 0)[1], left, flush=True)  # noqa: T201  the answer


if __name__ == "__main__":
    main()
