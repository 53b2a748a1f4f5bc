"""What is to be run, and where: a job, the output that it prints, the promises of an executor.

Leaves how a job is run to `local.py` and to executors on clusters.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from everloop.compute.environmentspec import EnvironmentSpec

TAIL_LINES = 20
_READ_BYTES = 1 << 16


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What a job asks for.

    Attributes:
        cpus: Processors; may be a part of one.
        gpus: Accelerators; may be a part of one.
        memory_bytes: Main memory; None means that nobody said.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Shell scripts to run, with all that an executor on another machine needs to know of them.

    Attributes:
        name: For people, as `train`.
        scripts: Run in order, each by a shell of its own, until one ends with another code than 0.
        root: The workspace on this machine; absolute.
        folder: Where the scripts run, relative to the root; `.` is the root itself.
        environment: Variables on top of those of the machine that runs it. `DVC_ROOT` is the root on this machine: an
            executor that runs the job elsewhere gives its own.
        inputs: What the scripts read, `{path relative to the root: id of its bytes in the cache}`; an id that ends in
            `.dir` is a directory. They lie in place on this machine; another one finds them in the cache's remote, as
            far as they are data under version.
        outputs: The paths, relative to the root, that the scripts must have made on this machine at the end.
        resources: What it asks for.
        python: The Python environment in which the scripts run, built where they run; None is that of the machine.
    """

    name: str
    scripts: tuple[str, ...]
    root: Path
    folder: str = "."
    environment: dict[str, str] = {}
    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()
    resources: Resources = Resources()
    python: EnvironmentSpec | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended.

    Attributes:
        code: The exit code of its last script; 128 + n when signal n ended that.
        script: The script that failed; empty when none did.
        was_stopped: It was asked to stop, and nothing of it runs any more; the code means nothing then.
    """

    code: int = 0
    script: str = ""
    was_stopped: bool = False


class Output:
    """What a job prints: all of it in a file, each line told to a listener, the last lines kept.

    Belongs to one thread at a time.

    Attributes:
        path: The file; absolute. Emptied when this is made.
        tail: The last lines.
    """

    def __init__(self, path: Path, listener: Callable[[str], None]) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._listener = listener
        self._open_line = b""
        # Up to where lines were told.
        self._place = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def append(self, data: bytes) -> None:
        """Take what was printed; for an executor that has the bytes."""
        while data:
            data = data[os.write(self._file, data) :]
        self.follow()

    def follow(self) -> None:
        """Take what a process has appended to the file by itself."""
        while data := os.pread(self._file, _READ_BYTES, self._place):
            self._place += len(data)
            *lines, self._open_line = (self._open_line + data).split(b"\n")
            for line in lines:
                self._line(line)

    def finish(self) -> None:
        """Take a last line without an end."""
        self.follow()
        if self._open_line:
            self._line(self._open_line)
            self._open_line = b""

    def close(self) -> None:
        """Nothing comes any more."""
        os.close(self._file)

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self.tail.append(text)
        self._listener(text)


class Executor(Protocol):
    """Runs jobs, here or elsewhere.

    Promises:
    - Thread-safe: `run` is called by several threads at once, one for each job.
    - `run` returns only when nothing of the job runs any more, except what a script that ended well has itself left in
      the background. It asks `should_stop` several times per second and, when that is True, asks the scripts to end
      (SIGTERM), ends them (SIGKILL) if they do not within seconds, and returns. The same holds when `run` is left by an
      exception.
    - Nothing of a job outlives this process, however it dies.
    - All that the scripts print, stdout and stderr in the order in which it comes, is in the output's file when `run`
      returns; lines come to its listener while the job runs.
    - Scripts find their inputs in place, and what they have made at `outputs` lies in place in the workspace of this
      machine when `run` returns with code 0, complete. After a failure outputs may be there, in part or not at all.
    - It takes no lock and writes no record of the workspace: what a job came to is recorded by who asked for it.
    - A job may run more than once, when the machine that ran it is lost; only one run's outputs are put in place.
    - Resources that can never be had are refused with InvalidError, which names them; those that are taken now are
      waited for. The local executor passes them on without counting.
    """

    def run(self, job: Job, output: Output, should_stop: Callable[[], bool]) -> Ended:
        """Run a job to its end.

        Raises:
            InvalidError: It cannot be run as it is: its folder does not exist, it asks for what is not there.
            FailedError: The executor itself failed, through no fault of the scripts.
        """
        ...

    def close(self) -> None:
        """Give back what is held for jobs to come; no job runs now. May be called again."""
        ...


def environment_of(job: Job, machine: Mapping[str, str]) -> dict[str, str]:
    """The variables of a job on a machine whose own are given."""
    return {**machine, **job.environment}
