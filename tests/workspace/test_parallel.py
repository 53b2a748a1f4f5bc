from __future__ import annotations

import threading

import pytest

from everloop.errors import EverloopError, FailedError, UnavailableError
from everloop.workspace import parallel
from everloop.workspace.parallel import Patience

NO_PAUSE = Patience(attempts=3, first_pause_s=0.0)


def test_every_item_is_done_once_and_failures_are_named() -> None:
    def work(number: int) -> int:
        if number % 5 == 0:
            raise FailedError(f"no {number}")
        return number * 2

    done = list(parallel.each(work, range(1000), jobs=4, batch=7))
    assert sorted(each.item for each in done) == list(range(1000))
    assert all(each.result == each.item * 2 for each in done if each.item % 5)
    assert all(str(each.error) == f"no {each.item}" for each in done if each.item % 5 == 0)


@pytest.mark.parametrize(("n_failures", "succeeds"), [(2, True), (3, False)])
def test_what_may_pass_is_tried_again_as_long_as_the_patience_lasts(n_failures: int, succeeds: bool) -> None:
    left = [n_failures]

    def work(_: str) -> str:
        if left[0]:
            left[0] -= 1
            raise UnavailableError("busy")
        return "done"

    (done,) = parallel.each(work, ["a"], jobs=1, patience=NO_PAUSE)
    assert (done.result == "done", isinstance(done.error, EverloopError)) == (succeeds, not succeeds)


def test_another_error_ends_everything_and_waits_for_no_pause() -> None:
    failed = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            failed.wait()
            raise UnavailableError("comes back in an hour")
        failed.set()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(parallel.each(work, [0, 1], jobs=2, patience=Patience(first_pause_s=3600.0, longest_pause_s=3600.0)))


def test_pauses_grow_to_a_limit() -> None:
    patience = Patience(first_pause_s=1.0, longest_pause_s=4.0)
    pauses = [patience.pause_s(attempt) for attempt in range(20)]
    assert all(0.5 <= pause <= 4.0 for pause in pauses)
    assert all(pause >= 2.0 for pause in pauses[3:])
