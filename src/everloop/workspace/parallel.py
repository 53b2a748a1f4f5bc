"""Do many small pieces of work in threads: try again what may pass, and tell by name what failed.

Leaves what a piece is to the callers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from everloop.errors import EverloopError, UnavailableError

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")

# How many batches wait for a thread: enough to keep all busy, few enough that a million items need no memory.
_WAITING_PER_JOB = 4


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often work is tried that may pass, and how long the pauses between are.

    Attributes:
        attempts: 1 means once.
        first_pause_s: Doubled each time, with a random part, so that many clients do not come back at once.
        longest_pause_s: No pause is longer.
    """

    attempts: int = 5
    first_pause_s: float = 0.2
    longest_pause_s: float = 10.0

    def pause_s(self, attempt: int) -> float:
        """The pause after the given attempt, counted from 0."""
        # Here and below, because most commands have no work of this kind, and the imports take a tenth of them.
        import random

        return min(self.first_pause_s * 2.0**attempt, self.longest_pause_s) * random.uniform(0.5, 1.0)


class Done(msgspec.Struct, Generic[Item, Result], frozen=True):
    """One piece of work: what came out, or why nothing did."""

    item: Item
    result: Result | None = None
    error: EverloopError | None = None


def each(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    jobs: int,
    batch: int = 1,
    patience: Patience | None = None,
) -> Iterator[Done[Item, Result]]:
    """Do the work for all items, in threads; yields each when it is done, in no order.

    Args:
        work: What UnavailableError it raises is tried again; another EverloopError is the item's failure; anything else
            ends everything.
        items: Taken as they are needed.
        jobs: Number of threads.
        batch: How many items a thread takes at a time.
        patience: None means the usual one.
    """
    from concurrent.futures import ThreadPoolExecutor

    usual = patience or Patience()
    stopped = threading.Event()

    def run(part: Sequence[Item]) -> list[Done[Item, Result]]:
        return [_once(work, item, usual, stopped) for item in part]

    waiting = iter(items)
    n_running = 0
    # To `wait` for the first of many futures would touch all of them each time, which costs as much as a small request.
    ended: SimpleQueue[Future[list[Done[Item, Result]]]] = SimpleQueue()
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="everloop-transfer")
    try:
        while True:
            while n_running < jobs * _WAITING_PER_JOB and (part := list(islice(waiting, batch))):
                pool.submit(run, part).add_done_callback(ended.put)
                n_running += 1
            if not n_running:
                return
            future = ended.get()
            n_running -= 1
            yield from future.result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def insist(work: Callable[[], Result], patience: Patience, stopped: threading.Event | None = None) -> Result:
    """Do one piece of work, and again with pauses as long as it raises UnavailableError.

    Args:
        work: What to do.
        patience: How often, and how long the pauses are.
        stopped: Ends the pauses when it is set.

    Raises:
        UnavailableError: The last one, when the patience is at its end.
    """
    attempt = 0
    while True:
        try:
            return work()
        except UnavailableError:
            attempt += 1
            if attempt >= patience.attempts or (stopped or threading.Event()).wait(patience.pause_s(attempt - 1)):
                raise


def _once(
    work: Callable[[Item], Result], item: Item, patience: Patience, stopped: threading.Event
) -> Done[Item, Result]:
    try:
        return Done(item, insist(lambda: work(item), patience, stopped))
    except EverloopError as error:
        return Done(item, error=error)
