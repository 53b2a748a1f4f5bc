"""Do the same to many files at once: a few large ones in threads, many small ones in processes.

Worth it only for work that waits for the disk or runs outside of Python (reading, hashing, copying). Leaves what is
done to the callers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# More threads than this only take turns at Python's lock.
_MOST_THREADS = 4
_MOST_PROCESSES = 16
_CHUNK_ITEMS = 64
_CHUNK_BYTES = 1 << 20
# From here on the processes are worth their start; with larger files threads wait for the disk, not for one another.
_MANY_ITEMS = 1024
_SMALL_BYTES = 1 << 18


def each(
    work: Callable[[Sequence[Item]], list[Result]],
    items: Sequence[Item],
    *,
    item_bytes: int = 0,
    is_forkable: bool = False,
    told: Callable[[Sequence[Item]], object] | None = None,
) -> list[Result]:
    """Give slices of the items to threads or processes and put their results together in the order of the slices.

    When one fails, the others stop after the slice they are at.

    Args:
        work: Gets a slice and gives its results, one for each item or one for all; runs several times at once.
        items: All of them.
        item_bytes: How much an average item has to read, so that a few large ones are spread as well.
        is_forkable: The work may be done in another process: its results are plain values (`marshal`), and it changes
            nothing in memory that is needed here.
        told: Gets each slice that is done, from any thread of this process.

    Raises: what `work` raises first.
    """
    size = max(1, min(_CHUNK_ITEMS, _CHUNK_BYTES // max(item_bytes, 1)))
    n_processors = _n_processors()
    n_processes = min(_MOST_PROCESSES, n_processors)
    is_many = len(items) >= _MANY_ITEMS and item_bytes <= _SMALL_BYTES
    if is_forkable and is_many and n_processes > 1:
        # Here, as below, because few commands have so much to do.
        from everloop.workspace import forks

        if forks.is_possible():
            size = max(size, -(-len(items) // forks.MOST_SLICES))
            parts = forks.each(
                lambda number: work(items[number * size : (number + 1) * size]),
                -(-len(items) // size),
                n_processes,
                told and (lambda number: told(items[number * size : (number + 1) * size])),
            )
            return [result for part in parts for result in part]
    slices = [items[start : start + size] for start in range(0, len(items), size)]
    n_threads = min(_MOST_THREADS, max(2, n_processors), len(slices))
    work = _telling(work, told)
    results = [work(part) for part in slices] if n_threads < 2 else _in_threads(work, slices, n_threads)
    return [result for part in results for result in part]


def each_large(
    work: Callable[[Item], Result], items: Sequence[Item], *, told: Callable[[Sequence[Item]], object] | None = None
) -> list[Result]:
    """Do for each of the items what takes long each time, in processes where that is possible, in their order.

    Args:
        work: Gives plain values (`marshal`), and changes nothing in memory that is needed here.
        items: All of them.
        told: As in `each`.

    Raises: what `work` raises first.
    """
    from everloop.workspace import forks

    n_processes = min(_MOST_PROCESSES, _n_processors(), len(items))
    if n_processes < 2 or not forks.is_possible():
        work = _telling(work, told and (lambda item: told([item])))
        return [work(item) for item in items]
    size = -(-len(items) // forks.MOST_SLICES)
    parts = forks.each(
        lambda number: [work(item) for item in items[number * size : (number + 1) * size]],
        -(-len(items) // size),
        n_processes,
        told and (lambda number: told(items[number * size : (number + 1) * size])),
    )
    return [result for part in parts for result in part]


def _n_processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _telling(work: Callable[[Item], Result], told: Callable[[Item], object] | None) -> Callable[[Item], Result]:
    """The same work, which tells each item that is done."""
    if told is None:
        return work

    def both(item: Item) -> Result:
        result = work(item)
        told(item)
        return result

    return both


def _in_threads(
    work: Callable[[Sequence[Item]], list[Result]],
    slices: Sequence[Sequence[Item]],
    n_threads: int,
) -> list[list[Result]]:
    results: list[list[Result]] = [[] for _ in slices]
    failures: list[BaseException] = []
    waiting = iter(range(len(slices)))

    def serve() -> None:
        # One step of a range's iterator is one step of the interpreter: two threads never get the same number.
        for number in waiting:
            if failures:
                return
            try:
                results[number] = work(slices[number])
            except BaseException as failure:  # noqa: BLE001  it is raised again, in the thread that called
                failures.append(failure)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as stop:
        # Ctrl-C: what the threads are writing must not outlive the call.
        failures.append(stop)
        for thread in threads:
            thread.join()
        raise
    if failures:
        raise failures[0]
    return results
