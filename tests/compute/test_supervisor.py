"""Children are kept running, stopped in order, and never outlive their supervisor."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from everloop.compute import Child, Supervisor
from tests.compute import children

PATIENCE_S = 30.0


class Stage:
    """A home folder, the supervisors started for it, and what they and their children tell."""

    def __init__(self, home: Path) -> None:
        self.home = home
        os.mkfifo(home / "events")
        # Open for both, so that it neither blocks nor ends while nobody writes.
        self._events = os.open(home / "events", os.O_RDWR | os.O_NONBLOCK)
        self._buffer = ""
        self._waiting: list[str] = []
        self.seen: list[str] = []
        self.supervisors: list[subprocess.Popen[bytes]] = []

    def supervise(self, *names: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, children.__file__, str(self.home), *names])
        self.supervisors.append(process)
        return process

    def until(self, pattern: str) -> re.Match[str]:
        """Return the first event that matches and was not returned before, waiting for it."""
        while True:
            for place, line in enumerate(self._waiting):
                found = re.fullmatch(pattern, line)
                if found is not None:
                    del self._waiting[place]
                    return found
            ready, _, _ = select.select([self._events], [], [], PATIENCE_S)
            assert ready, f"nothing told {pattern!r} within {PATIENCE_S:.0f} s; seen: {self.seen}"
            *lines, self._buffer = (self._buffer + os.read(self._events, 1 << 16).decode()).split("\n")
            self.seen += lines
            self._waiting += lines

    def up(self, name: str) -> int:
        """Wait until a child runs; return its process id."""
        return int(self.until(rf"{name} up (\d+)")[1])

    def close(self) -> None:
        for process in self.supervisors:
            process.kill()
            process.wait()
        os.close(self._events)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def note(stage: Stage, name: str) -> dict[str, int]:
    """What `run/<name>.json` says."""
    found: dict[str, int] = msgspec.json.decode((stage.home / "run" / f"{name}.json").read_bytes())
    return found


def gone(pid: int) -> Callable[[], None]:
    """Take hold of a process now, so that its end can be waited for, although it is not our child."""
    handle = os.pidfd_open(pid)

    def wait() -> None:
        ready, _, _ = select.select([handle], [], [], PATIENCE_S)
        os.close(handle)
        assert ready, f"process {pid} still runs after {PATIENCE_S:.0f} s"

    return wait


def test_children_are_started_in_order_and_noted(stage: Stage) -> None:
    stage.supervise("a", "b")
    stage.until("> b started as process .*")
    started = [line for line in stage.seen if line.startswith("> ")]
    assert [line.split()[1] for line in started] == ["a", "b"]
    pid = int(started[0].split()[-1])
    assert note(stage, "a") == {"pid": pid, "restarts": 0}
    assert (stage.home / "logs" / "a.log").exists()


def test_a_child_that_is_killed_is_started_again(stage: Stage) -> None:
    stage.supervise("a")
    first = stage.up("a")
    os.kill(first, signal.SIGKILL)
    stage.until(r"> a ended with signal SIGKILL; starting again in 0\.1 s")
    second = stage.up("a")
    assert second != first
    assert note(stage, "a") == {"pid": second, "restarts": 1}


def test_the_pause_before_a_restart_grows(stage: Stage) -> None:
    stage.supervise("fails")
    pauses = [stage.until(r"> fails ended with exit code 3; starting again in (.*) s")[1] for _ in range(4)]
    assert pauses == ["0.1", "0.2", "0.4", "0.8"]


def test_a_failing_child_does_not_keep_the_others_waiting(stage: Stage) -> None:
    stage.supervise("fails", "a")
    stage.until("> fails ended with .*")
    os.kill(stage.up("a"), signal.SIGKILL)
    stage.until(r"> a ended with signal SIGKILL; starting again in 0\.1 s")
    stage.up("a")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_children_in_reverse_order(stage: Stage, number: signal.Signals) -> None:
    process = stage.supervise("a", "b", "c")
    for name in ("a", "b", "c"):
        stage.up(name)
    process.send_signal(number)
    stage.until("supervisor done")
    assert process.wait(PATIENCE_S) == 0
    assert [line for line in stage.seen if line.endswith(("down", "stopped"))] == [
        "c down",
        "> c stopped",
        "b down",
        "> b stopped",
        "a down",
        "> a stopped",
    ]
    assert list((stage.home / "run").iterdir()) == []


def test_a_stop_while_a_child_waits_for_its_restart_is_clean(stage: Stage) -> None:
    process = stage.supervise("a", "fails")
    stage.up("a")
    stage.until("> fails ended with .*")
    process.send_signal(signal.SIGTERM)
    stage.until("supervisor done")
    assert process.wait(PATIENCE_S) == 0


def test_the_children_end_when_their_supervisor_is_killed(stage: Stage) -> None:
    process = stage.supervise("a", "b")
    ends = [gone(stage.up("a")), gone(stage.up("b"))]
    process.kill()
    for end in ends:
        end()
    for name in ("a", "b"):
        stage.until(f"{name} down")  # they were not killed: they stopped themselves


def test_a_second_supervisor_of_a_home_is_refused(stage: Stage) -> None:
    stage.supervise("a")
    stage.up("a")
    second = stage.supervise("b")
    assert str(stage.home) in stage.until(r"refused Everloop is up already for (.*)")[1]
    assert second.wait(PATIENCE_S) == 0
    assert not (stage.home / "run" / "b.json").exists()


def test_the_next_supervisor_takes_over_after_a_kill(stage: Stage) -> None:
    first = stage.supervise("a")
    pid = stage.up("a")
    end = gone(pid)
    first.kill()
    end()
    stage.supervise("a")
    second = stage.up("a")
    assert second != pid
    assert note(stage, "a")["pid"] == second


def test_what_a_child_prints_is_appended_to_its_log(stage: Stage) -> None:
    (stage.home / "logs").mkdir()
    log = stage.home / "logs" / "talks.log"
    log.write_text("before\n")
    stage.supervise("talks")
    stage.up("talks")
    assert log.read_text() == "before\nout\nerr\n"


def test_a_command_that_does_not_exist_is_told_and_leaves_nothing_running(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, [Child(name="a", command=["/nowhere/at/all"], environment={})])
    with pytest.raises(FileNotFoundError):
        supervisor.run()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert not (tmp_path / "run" / "a.json").exists()
