"""Real workers: what was asked for is done once, also when the worker is killed in the middle of it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from everloop.config import Settings
from everloop.errors import InvalidError, NotFoundError
from everloop.loop.controller import LoopController
from everloop.loop.retraining import run_id_of
from everloop.loop.store import Retraining
from everloop.server.platform import Platform
from tests.loop.projects import TinyProject
from tests.loop.worlds import DAY, MONDAY

PATIENCE_S = 60.0


class Site:
    """One home with the tiny project in it, asked through its controller; workers come and go."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=str(folder / "home"), schedule_s=0)
        self.platform = Platform(self.settings)
        self.project = TinyProject(folder / "project", self.platform.rooms)
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        self.log = folder / "worker.log"
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def loop(self) -> LoopController:
        return self.platform.loop

    def work(self) -> subprocess.Popen[bytes]:
        """Start a worker, as `ever up` does."""
        command = [sys.executable, "-m", "everloop", "worker", "--home", self.settings.home]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(command, env=os.environ | {"EVERLOOP_SCHEDULE_S": "0"}, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def ask(self, retraining_id: str, **overrides: object) -> None:
        named = {f"train.{name}": value for name, value in overrides.items()}
        self.loop.request_retraining("tiny", retraining_id, MONDAY, "person/ada", overrides=named)

    def ended(self, retraining_id: str) -> Retraining:
        """Wait for the end of a retraining."""
        for _ in range(int(PATIENCE_S / 20) + 1):
            found = self.loop.get_retraining(retraining_id, 20.0)
            if found.state != "requested":
                return found
        raise AssertionError(f"{retraining_id} has not ended; the worker's log:\n{self.log.read_text()}")

    def stage_waits(self) -> int:
        """Wait until the stage of a retraining waits for the FIFO; return its writing end, which keeps it waiting."""
        opened: list[int] = []
        opener = threading.Thread(target=lambda: opened.append(os.open(self.fifo, os.O_WRONLY)), daemon=True)
        opener.start()
        opener.join(PATIENCE_S)
        assert opened, f"no stage came to the FIFO; the worker's log:\n{self.log.read_text()}"
        return opened[0]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.platform.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


def reader_is_gone(handle: int) -> None:
    """Wait until nobody reads the FIFO any more."""
    poll = select.poll()
    poll.register(handle, select.POLLERR)
    assert poll.poll(PATIENCE_S * 1000), "the stage outlived its worker"
    os.close(handle)


def test_a_worker_killed_in_the_middle_of_a_training_finishes_it_after_its_restart(site: Site) -> None:
    rooms = site.platform.rooms
    site.ask("first", fifo=str(site.fifo))  # before there is any worker
    worker = site.work()
    handle = site.stage_waits()
    worker.kill()
    worker.wait()
    reader_is_gone(handle)
    assert site.loop.get_retraining("first").state == "requested"

    site.work()
    handle = site.stage_waits()
    os.close(handle)  # the end of the FIFO lets the stage go on
    found = site.ended("first")
    assert (found.state, found.version, found.message) == ("champion", 1, "")
    assert [version.version for version in rooms.registry.list_versions("tiny")] == [1]
    assert [each.champion for each in rooms.serving.history("tiny")] == [1]
    assert rooms.tracking.get_run(run_id_of("first")).status == "finished"
    kinds = [entry.kind for entry in rooms.ledger.entries()]
    assert [kinds.count(kind) for kind in ("gates_passed", "version_registered", "alias_moved")] == [1, 1, 1]
    assert rooms.ledger.verify().ok
    assert site.project.run("status", "--porcelain") == ""
    assert len(site.project.run("worktree", "list").splitlines()) == 1


def test_a_tick_is_done_while_a_training_runs(site: Site) -> None:
    site.ask("waiting", fifo=str(site.fifo), fail="outs")
    handle = site.stage_waits()
    site.loop.request_tick("tiny", MONDAY)
    outcome = site.loop.tick_outcome("tiny", MONDAY, 20.0)
    os.close(handle)
    assert outcome is not None
    assert (outcome.champion, outcome.decision, outcome.error) == (1, "", "")
    assert site.loop.last_tick("tiny") == outcome


def test_a_retraining_that_fails_says_why(site: Site) -> None:
    site.ask("failing", fail="code")
    assert "no model package" in site.ended("waiting").message
    found = site.ended("failing")
    assert (found.state, found.version) == ("failed", None)
    assert "the disk is on fire" in found.message


def test_asking_again_for_what_was_done_changes_nothing(site: Site) -> None:
    before = site.loop.list_retrainings("tiny"), site.loop.last_tick("tiny")
    site.ask("first", fifo=str(site.fifo))
    site.loop.request_tick("tiny", MONDAY)
    site.loop.request_tick("tiny", MONDAY + DAY)
    assert site.loop.tick_outcome("tiny", MONDAY + DAY, 20.0) is not None  # by now all that was asked for is done
    assert site.loop.list_retrainings("tiny") == before[0]
    assert site.loop.tick_outcome("tiny", MONDAY) == before[1]


def test_ticks_asked_for_in_a_row_are_done_in_order(site: Site) -> None:
    times = [MONDAY + day * DAY for day in range(2, 8)]
    for at in times:
        site.loop.request_tick("tiny", at)
    assert site.loop.tick_outcome("tiny", times[-1], 20.0) is not None
    assert [site.loop.tick_outcome("tiny", at) is not None for at in times] == [True] * len(times)
    windows = site.platform.rooms.monitoring.list_windows("tiny")
    assert [window.end for window in windows] == [MONDAY + 7 * DAY]


def test_what_cannot_be_asked_for_is_refused_at_once(site: Site) -> None:
    with pytest.raises(NotFoundError, match="no applied project declares an endpoint 'nobody'"):
        site.loop.request_tick("nobody", MONDAY)
    with pytest.raises(NotFoundError):
        site.loop.request_retraining("nobody", "x", MONDAY, "person/ada")
    with pytest.raises(NotFoundError):
        site.loop.get_retraining("nobody")
    with pytest.raises(InvalidError, match="no time zone"):
        site.loop.request_tick("tiny", datetime(2013, 3, 4))
    with pytest.raises(InvalidError, match="retraining"):
        site.loop.request_retraining("tiny", "../x", MONDAY, "person/ada")


def test_a_second_worker_of_the_same_name_is_refused(site: Site) -> None:
    second = site.work()
    assert second.wait(PATIENCE_S) == 1
    site.workers.remove(second)
    assert "another process holds 'worker-worker-1'" in site.log.read_text()


def test_a_worker_that_is_told_to_stop_ends_its_training_and_leaves_it_for_the_next(site: Site) -> None:
    # Another one than before: an equal run is not run again.
    site.ask("interrupted", fifo=str(site.fifo), round=2)
    handle = site.stage_waits()
    (*_, worker) = site.workers
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    reader_is_gone(handle)
    assert site.loop.get_retraining("interrupted").state == "requested"
    assert site.platform.rooms.tracking.get_run(run_id_of("interrupted")).status == "running"
