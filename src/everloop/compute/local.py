"""Run jobs as processes of this machine, in the user's shell; nothing of them outlives this process.

The processes are started by a launcher, see `launcher.py`: one for all jobs of an executor.
"""

from __future__ import annotations

import gc
import itertools
import marshal
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn

from everloop.compute import launcher
from everloop.compute.environmentspec import EnvironmentSpec
from everloop.compute.job import Ended, Job, Output, environment_of
from everloop.errors import FailedError, InvalidError

_POLL_S = 0.1
_GRACE_S = 5.0
_LAUNCHER_S = 30.0
# The shell's own files could change what the command means; DVC keeps them out in the same way.
_SHELL_OPTIONS = {"bash": ["--noprofile", "--norc"], "zsh": ["--no-rcs"]}


class LocalExecutor:
    """Processes of this machine. An `Executor`; the launcher is started with the first job."""

    def __init__(self) -> None:
        self._launcher: _Launcher | None = None
        self._starting = threading.Lock()

    def prepare(self) -> None:
        """Start the launcher now: cheaper before this process has further threads."""
        with self._starting:
            if self._launcher is None:
                self._launcher = _Launcher()

    def run(self, job: Job, output: Output, should_stop: Callable[[], bool]) -> Ended:
        folder = job.root / job.folder
        if not folder.is_dir():
            raise InvalidError(f"{job.name}: its folder {job.folder} does not exist", hint=f"mkdir -p {folder}")
        self.prepare()
        assert self._launcher is not None
        environment = environment_of(job, os.environ)
        if job.python is not None:
            environment |= _python(job.python, environment, output)
        for script in job.scripts:
            if not script.strip():
                continue
            command = self._launcher.launch(_shell(script), str(folder), environment, str(output.path))
            code = _watched(command, output, should_stop)
            if code is None:
                return Ended(was_stopped=True)
            if code != 0:
                return Ended(code=code if code > 0 else 128 - code, script=script)
        return Ended()

    def close(self) -> None:
        with self._starting:
            if self._launcher is not None:
                self._launcher.close()
                self._launcher = None


def _python(spec: EnvironmentSpec, around: Mapping[str, str], output: Output) -> dict[str, str]:
    """The variables of a Python environment, which is built when it is not there; the output says so."""
    from everloop.compute import environments

    found = environments.prepare(spec, on_progress=lambda text: output.append(f"everloop: {text}\n".encode()))
    return environments.variables(found, around)


def _watched(command: _Command, output: Output, should_stop: Callable[[], bool]) -> int | None:
    """The exit code; None when it was stopped."""
    try:
        while (code := command.wait(_POLL_S)) is None:
            output.follow()
            if should_stop():
                return None
        return code
    finally:
        # Also on Ctrl-C: nothing of the group may outlive this call.
        command.stop()
        output.finish()


def _shell(script: str) -> list[str]:
    # As DVC: the user's shell, so that a dvc.yaml means the same with both.
    shell = os.environ.get("SHELL") or "/bin/sh"
    return [shell, *_SHELL_OPTIONS.get(Path(shell).name, []), "-c", script]


class _Command:
    """One process group, known by what the launcher replies."""

    def __init__(self) -> None:
        # Words of replies: `(what, value)`.
        self.replies: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._pid: int | None = None
        self._code: int | None = None

    def wait(self, timeout_s: float) -> int | None:
        """The exit code; None while it runs.

        Raises:
            FailedError: It could not be started, or the launcher is gone.
        """
        while self._code is None:
            try:
                what, value = self.replies.get(timeout=timeout_s)
            except Empty:
                return None
            if what == "started":
                self._pid = int(value)
            elif what == "ended":
                self._code = int(value)
            else:
                self._kill(signal.SIGKILL)
                self._code = 127
                raise FailedError(f"a command could not be run: {value}")
        return self._code

    def stop(self) -> None:
        """End it, if it runs."""
        if self._code is not None:
            return
        if self._pid is None:
            # Its start is under way; then it is known whom to end.
            self.wait(_LAUNCHER_S)
        if self._code is None:
            self._kill(signal.SIGTERM)
            if self.wait(_GRACE_S) is None:
                self._kill(signal.SIGKILL)
                self.wait(_LAUNCHER_S)

    def _kill(self, number: signal.Signals) -> None:
        if self._pid is None:
            return
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            # It ended in this moment.
            return


class _Launcher:
    """The launcher's process, and a thread that hears its replies."""

    def __init__(self) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        try:
            self._process = _forked(requests, replies) if _may_fork() else _started(requests, replies)
        finally:
            os.close(requests)
            os.close(replies)
        self._numbers = itertools.count()
        self._asking = threading.Lock()
        self._commands: dict[int, _Command] = {}
        self._is_gone = False
        self._hearing = threading.Thread(target=self._hear, name="launcher", daemon=True)
        self._hearing.start()

    def launch(self, words: list[str], folder: str, environment: dict[str, str], log: str) -> _Command:
        """Ask for a command.

        Raises:
            FailedError: The launcher is gone.
        """
        command = _Command()
        with self._asking:
            number = next(self._numbers)
            self._commands[number] = command
            request = marshal.dumps((number, words, folder, environment, log))
            data = len(request).to_bytes(4, "big") + request
            try:
                while data:
                    data = data[os.write(self._requests, data) :]
            except BrokenPipeError as error:
                raise FailedError("the launcher of commands was killed", hint="run it again") from error
            if self._is_gone:
                command.replies.put(("failed", "the launcher of commands was killed"))
        return command

    def close(self) -> None:
        os.close(self._requests)
        if isinstance(self._process, int):
            os.waitpid(self._process, 0)
        else:
            self._process.wait()
        self._hearing.join()
        os.close(self._replies)

    def _hear(self) -> None:
        buffer = b""
        while data := os.read(self._replies, 1 << 16):
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                number, what, value = line.decode().split(" ", 2)
                command = self._commands[int(number)]
                if what != "started":
                    del self._commands[int(number)]
                command.replies.put((what, value))
        with self._asking:
            self._is_gone = True
            for command in self._commands.values():
                command.replies.put(("failed", "the launcher of commands was killed"))


def _may_fork() -> bool:
    """Whether this process may be forked: a lock that another thread holds would stay locked in the child for ever."""
    if not sys.platform.startswith("linux"):
        return False
    # Counted by the system, so that threads of libraries are seen too.
    return "\nThreads:\t1\n" in Path("/proc/self/status").read_text()


def _forked(requests: int, replies: int) -> int:
    """A launcher out of this process: it need not start Python, which takes as long as ten small commands."""
    # A signal between the fork and the child's first line would send the child down the parent's way.
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    try:
        pid = os.fork()
        if pid == 0:
            _serve(requests, replies)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def _serve(requests: int, replies: int) -> NoReturn:
    """The life of a forked launcher."""
    try:
        gc.disable()
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        # Locks, logs and pipes of the parent must not stay open for as long as this lives.
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        low, high = sorted((requests, replies))
        os.closerange(3, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        launcher.Launcher(requests, replies).serve()
    finally:
        os._exit(0)


def _started(requests: int, replies: int) -> subprocess.Popen[bytes]:
    """A launcher in a new process."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", launcher.__file__, str(requests), str(replies)],
        stdin=subprocess.DEVNULL,
        pass_fds=(requests, replies),
        # Ctrl-C in a terminal reaches this process alone, which then stops its commands in order.
        start_new_session=True,
    )
