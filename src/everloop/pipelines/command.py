"""Run a stage's command: stream what it prints, keep it in a file, stop its whole process group when asked to.

Leaves when to run, and what the command must make, to `repro.py`.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from everloop.errors import FailedError, InvalidError
from everloop.pipelines import guard
from everloop.pipelines.values import Stage

TAIL_LINES = 20
_GRACE_S = 5.0
_POLL_S = 0.2
_READ_BYTES = 1 << 16
# The shell's own files could change what the command means; DVC keeps them out in the same way.
_SHELL_OPTIONS = {"bash": ["--noprofile", "--norc"], "zsh": ["--no-rcs"]}


class Output:
    """What a stage printed: every line goes to the listener and the log, the last ones are kept."""

    def __init__(self, log: IO[bytes], listener: Callable[[str], None]) -> None:
        self._log = log
        self._listener = listener
        self._open_line = b""
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def take(self, data: bytes) -> None:
        """Take what was just read."""
        self._log.write(data)
        *lines, self._open_line = (self._open_line + data).split(b"\n")
        for line in lines:
            self._line(line)

    def finish(self) -> None:
        """Take a last line without an end."""
        if self._open_line:
            self._line(self._open_line)
            self._open_line = b""
        self._log.flush()

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self.tail.append(text)
        self._listener(text)


def run(
    stage: Stage,
    root: Path,
    output: Output,
    *,
    environment: Mapping[str, str],
    should_stop: Callable[[], bool],
) -> None:
    """Run the stage's scripts in order, until one fails.

    Args:
        stage: What to run.
        root: The workspace.
        output: Takes stdout and stderr, in the order in which they come.
        environment: Set on top of this process's.
        should_stop: Asked a few times per second; True ends the command. Ctrl-C and SIGTERM do so by themselves in the
            main thread.

    Raises:
        FailedError: A script ended with another code than 0, or was asked to stop.
        InvalidError: The stage's folder does not exist.
    """
    folder = root / stage.folder
    if not folder.is_dir():
        raise InvalidError(
            f"stage {stage.address}: its folder {stage.folder} does not exist", hint=f"mkdir -p {folder}"
        )
    variables = {**os.environ, **environment, "DVC_ROOT": str(root), "DVC_STAGE": stage.address}
    with _termination_raises():
        for script in stage.scripts:
            if not script.strip():
                continue
            code = _run_script(script, folder, variables, output, should_stop)
            output.finish()
            if code is None:
                raise FailedError(f"stage {stage.address} was stopped", hint="run it again: ever repro")
            if code != 0:
                last = "".join(f"\n  {line}" for line in output.tail)
                raise FailedError(f"stage {stage.address} failed with exit code {code}: {script}{last}")


def _run_script(
    script: str, folder: Path, variables: Mapping[str, str], output: Output, should_stop: Callable[[], bool]
) -> int | None:
    lifeline_read, lifeline_write = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(lifeline_read), *_shell(script)],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=[lifeline_read],
            start_new_session=True,
        )
    except BaseException:
        os.close(lifeline_write)
        raise
    finally:
        os.close(lifeline_read)
    try:
        if not _listen(process, output, should_stop):
            return None
        while process.poll() is None:
            # It closed its output and works on.
            if should_stop():
                return None
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
        return process.returncode
    finally:
        # Also on Ctrl-C: nothing of the group may outlive this call.
        _stop(process, output)
        os.close(lifeline_write)


def _listen(process: subprocess.Popen[bytes], output: Output, should_stop: Callable[[], bool]) -> bool:
    """Read to the end of the output, or of the process; False when it is to be stopped."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(_POLL_S):
                data = os.read(process.stdout.fileno(), _READ_BYTES)
                if not data:
                    return True
                output.take(data)
            elif process.poll() is not None:
                # Something in the background still holds the pipe; the command itself is done.
                return True
            if should_stop():
                return False


def _stop(process: subprocess.Popen[bytes], output: Output) -> None:
    assert process.stdout is not None
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()
    process.stdout.close()
    output.finish()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        # It ended in this moment.
        return


def _shell(script: str) -> list[str]:
    # As DVC: the user's shell, so that a dvc.yaml means the same with both.
    shell = os.environ.get("SHELL") or "/bin/sh"
    return [shell, *_SHELL_OPTIONS.get(Path(shell).name, []), "-c", script]


@contextmanager
def _termination_raises() -> Iterator[None]:
    """Turn SIGTERM into an exception, to stop the command on the way out; a handler of the program's own stays."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise_exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise_exit(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
