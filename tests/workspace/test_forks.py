from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# The tests' own process may have threads of libraries, and then never forks: each scene is a process of its own.
HEAD = """
import os, signal, sys, threading
from everloop.errors import ConflictError, EverloopError
from everloop.workspace import forks, slices
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_results_have_the_order_of_the_items_and_come_from_other_processes() -> None:
    run("""
assert forks.is_possible()
found = slices.each(lambda part: [(number * 2, os.getpid()) for number in part], range(50_000), is_forkable=True)
assert [value for value, _ in found] == list(range(0, 100_000, 2))
assert os.getpid() not in {pid for _, pid in found}
""")


def test_more_slices_than_a_pipe_has_room_for() -> None:
    run("""
found = slices.each(lambda part: list(part), range(1_000_000), is_forkable=True, item_bytes=1 << 18)
assert found == list(range(1_000_000))
""")


@pytest.mark.parametrize(
    "failure", ["ConflictError('it changed', hint='again')", "OSError(28, 'No space left', 'x')", "KeyError('k')"]
)
def test_failure_of_a_child_is_raised_here_as_it_was(failure: str) -> None:
    said = run(f"""
def work(part):
    if 7000 in part:
        raise {failure}
    return list(part)
try:
    slices.each(work, range(20_000), is_forkable=True)
except Exception as error:
    print(repr(error), getattr(error, "hint", ""), getattr(error, "errno", ""))
""")
    assert said.split("(")[0] in failure
    assert ("again" in said) == ("again" in failure)


def test_child_that_is_killed_is_told() -> None:
    said = run("""
def work(part):
    if 0 in part:
        os.kill(os.getpid(), signal.SIGKILL)
    return list(part)
try:
    slices.each(work, range(20_000), is_forkable=True)
except EverloopError as error:
    print(error)
""")
    assert "killed from outside" in said


def test_process_with_threads_is_not_forked() -> None:
    run("""
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
assert not forks.is_possible()
pids = slices.each(lambda part: [os.getpid() for _ in part], range(5000), is_forkable=True)
stop.set()
thread.join()
assert set(pids) == {os.getpid()}
""")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children with their parent")
def test_children_end_with_their_parent(tmp_path: Path) -> None:
    told = tmp_path / "pids"
    os.mkfifo(told)
    code = f"""
def work(part):
    with open({str(told)!r}, "w") as pipe:
        pipe.write(f"{{os.getpid()}}\\n")
    signal.pause()
slices.each(work, range(5000), is_forkable=True)
"""
    with subprocess.Popen([sys.executable, "-c", HEAD + code]) as parent:
        pid = int(told.read_text().split()[0])
        # Before the parent is gone, so that the number cannot mean another process.
        watched = os.pidfd_open(pid)
        parent.send_signal(signal.SIGKILL)
    import select

    assert select.select([watched], [], [], 30)[0], "the child outlives its parent"
    os.close(watched)
