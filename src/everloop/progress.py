"""How far work is that may take long. Who does it opens a phase and tells, batch by batch, what is done.

A listener, which the command line sets on a terminal, shows it. Without one a phase costs nothing, and tells nothing.
Leaves how it looks to the listener.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self


class Phase:
    """Work of one kind that is under way. Thread-safe.

    Attributes:
        name: What is done, as "adding".
        n_all: How many items there are; None when nobody knows.
        unit: What an item is, in the plural.
        size_bytes: Of all of them; None when nobody knows, or it does not matter.
        started_s: By `time.monotonic`.
        n_done: Items that are done.
        done_bytes: Of those, and of the large ones that are under way.
    """

    def __init__(self, name: str, n_all: int | None, unit: str, size_bytes: int | None, listener: Listener) -> None:
        self.name = name
        self.n_all = n_all
        self.unit = unit
        self.size_bytes = size_bytes
        self.started_s = time.monotonic()
        self.n_done = 0
        self.done_bytes = 0
        self._listener = listener
        self._lock = threading.Lock()

    def did(self, n_items: int, size_bytes: int = 0) -> None:
        """So many more items are done, of so many bytes together."""
        with self._lock:
            self.n_done += n_items
            self.done_bytes += size_bytes
        self._listener.show(self)


class Listener(Protocol):
    """Who shows it. `show` is called from any thread, and as often as something happens."""

    def show(self, phase: Phase) -> None:
        """Something was done."""
        ...

    def hide(self) -> None:
        """The phase is over."""
        ...


class _Stage:
    """Who listens, and to what."""

    listener: Listener | None = None
    phase: Phase | None = None


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Show what is told inside of the block."""
    before = _Stage.listener
    _Stage.listener = listener
    try:
        yield
    finally:
        _Stage.listener = before


def mute() -> None:
    """Tell nothing any more: for a process that was forked from one that is listened to."""
    _Stage.listener = _Stage.phase = None


@contextmanager
def phase(
    name: str, n_all: int | None, size_bytes: int | None = None, *, unit: str = "files"
) -> Iterator[Phase | None]:
    """Open a phase; None when nobody listens, or when it is a part of one that is told already."""
    if _Stage.listener is None or _Stage.phase is not None:
        yield None
        return
    opened = _Stage.phase = Phase(name, n_all, unit, size_bytes, _Stage.listener)
    try:
        yield opened
    finally:
        _Stage.phase = None
        opened._listener.hide()


def batches(
    opened: Phase | None, measured: Callable[[Sequence[Any]], int] | None = None
) -> Callable[[Sequence[Any]], None] | None:
    """What takes batches that are done, for the phase; None when there is none.

    Args:
        opened: The phase.
        measured: The bytes of a batch.
    """
    if opened is None:
        return None
    return lambda batch: opened.did(len(batch), 0 if measured is None else measured(batch))


class Passing:
    """Bytes of one large item that pass by while it is under way; when it is over, they count with the item."""

    def __init__(self) -> None:
        self._phase = _Stage.phase
        self._n_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._phase is not None:
            with self._phase._lock:
                self._phase.done_bytes -= self._n_bytes

    def passed(self, n_bytes: int) -> None:
        """So many more."""
        if self._phase is not None:
            self._n_bytes += n_bytes
            self._phase.did(0, n_bytes)
