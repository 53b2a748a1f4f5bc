"""Start commands for another process and end them when that one is gone. Run as a script, in a session of its own.

A killed parent cannot stop what it started; without this its stages would go on writing into folders that the next
attempt uses. One launcher serves a whole run: it is the parent of every command, so there is no moment at which a
command lives that it does not know of. Imports almost nothing, so that it starts at once.

Usage: launcher.py REQUESTS_FD REPLIES_FD. A request is four bytes of length and a marshalled `(number, words, folder,
environment, log)`; replies are the lines `number started pid`, `number ended code` (below 0: the signal that ended it)
and `number failed reason`. Each command leads a process group of its own; it reads nothing and appends all that it
prints to the log.
"""

from __future__ import annotations

import marshal
import os
import select
import sys

_READ_BYTES = 1 << 20
_LENGTH_BYTES = 4
# Python ignores both (SIGPIPE, SIGXFSZ), and a command must not inherit that. `signal` itself is slow to import.
_DEFAULT_SIGNALS = (13, 25)
_KILL = 9
_UNWATCHED_POLL_MS = 20

Request = tuple[int, list[str], str, dict[str, str], str]


class Launcher:
    """The commands that run now."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies
        self._buffer = b""
        # `{descriptor of the process: (number, pid)}`; below 0 where the system has no such descriptors.
        self._running: dict[int, tuple[int, int]] = {}
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)

    def serve(self) -> None:
        """Do what is asked until nobody is there to ask; then kill what runs."""
        while True:
            is_unwatched = any(key < 0 for key in self._running)
            for descriptor, _ in self._poll.poll(_UNWATCHED_POLL_MS if is_unwatched else None):
                if descriptor in self._running:
                    self._reap(descriptor)
                elif descriptor == self._requests and not self._read():
                    self._kill_all()
                    return
            for key in [key for key in self._running if key < 0]:
                self._reap(key)

    def _read(self) -> bool:
        data = os.read(self._requests, _READ_BYTES)
        self._buffer += data
        while len(self._buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if len(self._buffer) < end:
                break
            request = marshal.loads(self._buffer[_LENGTH_BYTES:end])  # noqa: S302  from the process that started this one
            self._buffer = self._buffer[end:]
            self._start(request)
        return bool(data)

    def _start(self, request: Request) -> None:
        number, words, folder, environment, log = request
        try:
            os.chdir(folder)
            pid = os.posix_spawnp(
                words[0],
                words,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setpgroup=0,
                setsigdef=_DEFAULT_SIGNALS,
            )
        except (OSError, ValueError) as error:
            self._reply(f"{number} failed {error}")
            return
        key = _watched(pid)
        self._running[key] = (number, pid)
        if key >= 0:
            self._poll.register(key, select.POLLIN)
        self._reply(f"{number} started {pid}")

    def _reap(self, key: int) -> None:
        number, pid = self._running[key]
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            return
        del self._running[key]
        if key >= 0:
            self._poll.unregister(key)
            os.close(key)
        self._reply(f"{number} ended {os.waitstatus_to_exitcode(status)}")

    def _reply(self, line: str) -> None:
        try:
            # Short enough for the system to write it in one piece.
            os.write(self._replies, line.encode("utf-8", "replace")[:400].replace(b"\n", b" ") + b"\n")
        except BrokenPipeError:
            # Nobody listens any more: the end of the requests follows at once.
            return

    def _kill_all(self) -> None:
        for _, pid in self._running.values():
            try:
                os.killpg(pid, _KILL)
            except ProcessLookupError:
                continue


def _watched(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -pid


def main() -> None:
    """Serve the process that holds the other ends."""
    requests, replies = (int(word) for word in sys.argv[1:3])
    for descriptor in (requests, replies):
        # A command that inherited them would keep them open.
        os.set_inheritable(descriptor, False)
    Launcher(requests, replies).serve()


if __name__ == "__main__":
    main()
