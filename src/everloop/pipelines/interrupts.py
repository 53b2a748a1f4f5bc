"""Ctrl-C and SIGTERM while stages run: the first one is noted, so that what is under way ends in order.

The next one is raised as usual. A program's own handlers stay.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Interrupts:
    """What was noted.

    Attributes:
        number: Of the signal that came; None when none did.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def throw(self) -> NoReturn:
        """Do what the signal would have done."""
        assert self.number is not None
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.number)


@contextmanager
def noted(on_signal: Callable[[], None]) -> Iterator[Interrupts]:
    """Note signals inside of it; only the main thread can.

    Args:
        on_signal: Called when one comes, between any two instructions: may only do what is safe there.
    """
    interrupts = Interrupts()

    def note(number: int, _: FrameType | None) -> None:
        interrupts.number = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if number == signal.SIGTERM:
            signal.signal(signal.SIGTERM, _leave)
        on_signal()

    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: handler for number in usual if (handler := signal.getsignal(number)) is usual[number]}
    try:
        for number in before:
            signal.signal(number, note)
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
