from __future__ import annotations

import threading

import pytest

from everloop import progress
from everloop.progress import Passing, Phase


class Heard:
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []
        self.n_hidden = 0

    def show(self, phase: Phase) -> None:
        self.seen.append((phase.name, phase.n_done, phase.done_bytes))

    def hide(self) -> None:
        self.n_hidden += 1


def test_without_a_listener_nothing_is_told() -> None:
    with progress.phase("adding", 2) as phase, Passing() as passing:
        assert phase is None
        passing.passed(7)


def test_batches_and_bytes_of_large_items_that_are_under_way() -> None:
    heard = Heard()
    with progress.listening(heard), progress.phase("adding", 3, 200) as phase:
        assert phase is not None
        phase.did(2, 50)
        with Passing() as passing:
            passing.passed(100)
            passing.passed(50)
        phase.did(1, 150)
    assert heard.seen == [("adding", 2, 50), ("adding", 2, 150), ("adding", 2, 200), ("adding", 3, 200)]
    assert heard.n_hidden == 1


def test_a_part_of_what_is_told_already_is_silent_and_the_next_phase_is_not() -> None:
    heard = Heard()
    with progress.listening(heard):
        with progress.phase("pushing", 1) as outer, progress.phase("adding", 5) as inner:
            assert outer is not None
            assert inner is None
        with progress.phase("adding", 5) as next_one:
            assert next_one is not None
    with progress.phase("adding", 5) as after:
        assert after is None


def test_a_phase_that_fails_is_over() -> None:
    heard = Heard()
    with progress.listening(heard):
        with pytest.raises(ZeroDivisionError), progress.phase("adding", 1):
            raise ZeroDivisionError
        with progress.phase("adding", 1) as again:
            assert again is not None
    assert heard.n_hidden == 2


def count(phase: Phase) -> None:
    for _ in range(1000):
        phase.did(1, 2)


def test_threads_count_together() -> None:
    heard = Heard()
    with progress.listening(heard), progress.phase("adding", 4000) as phase:
        assert phase is not None
        threads = [threading.Thread(target=count, args=(phase,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (phase.n_done, phase.done_bytes) == (4000, 8000)
