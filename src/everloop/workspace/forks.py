"""Do slices of work in processes forked from this one, where Python's lock would let threads only take turns.

A fork starts in milliseconds with everything that is in memory here; what the work changes in memory stays in its
process. Leaves to `slices.py` when that is worth it, and to the callers what is done.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from everloop import progress
from everloop.errors import FailedError

# What fits into a pipe of the smallest usual size: all numbers are in it before the first process starts.
MOST_SLICES = 8192
_NUMBER = struct.Struct("<i")
_HEAD = struct.Struct("<iI")
_FAILED = -1
_READ_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1


def is_possible() -> bool:
    """Whether this process may be forked: a lock that another thread holds would stay locked in the child for ever."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    # Counted by the system, so that threads of libraries are seen too.
    return "\nThreads:\t1\n" in status


def each(
    work: Callable[[int], list[Any]],
    n_slices: int,
    n_processes: int,
    told: Callable[[int], object] | None = None,
) -> list[list[Any]]:
    """Do the work for the slices 0, 1, ...; whichever process is free takes the next one.

    Args:
        work: Gives the results of a slice: plain values, as `marshal` takes them.
        n_slices: At most `MOST_SLICES`.
        n_processes: How many to start.
        told: Hears, in this process, of each slice that is done.

    Raises:
        FailedError: A process was killed from outside.
        What `work` raises first; the other processes are stopped then.
    """
    numbers, giver = os.pipe()
    os.write(giver, b"".join(map(_NUMBER.pack, range(n_slices))))
    os.close(giver)
    parent = os.getpid()
    children: dict[int, int] = {}
    # Ctrl-C between a fork and the child's first line would send the child down the parent's way.
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        # What is alive now would be walked by each child's collector, and so copied.
        gc.freeze()
        for _ in range(n_processes):
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                _serve(work, numbers, writer, parent)
            os.close(writer)
            children[reader] = child
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        return _gathered(children, n_slices, told)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        gc.unfreeze()
        os.close(numbers)
        for reader, child in children.items():
            os.close(reader)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _serve(work: Callable[[int], list[Any]], numbers: int, writer: int, parent: int) -> NoReturn:
    """The life of a child."""
    code = 0
    try:
        # Ctrl-C reaches the parent as well, which ends its children.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _end_with(parent)
        gc.disable()
        progress.mute()
        while taken := os.read(numbers, _NUMBER.size):
            (number,) = _NUMBER.unpack(taken)
            _send(writer, number, marshal.dumps(work(number)))
    except BaseException as failure:  # noqa: BLE001  it is raised again, in the process that called
        code = 1
        _send(writer, _FAILED, _pickled(failure))
    finally:
        os._exit(code)


def _end_with(parent: int) -> None:
    """Let the system kill this process when its parent is killed: nobody else would tell it to stop writing."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _send(writer: int, number: int, payload: bytes) -> None:
    rest = memoryview(_HEAD.pack(number, len(payload)) + payload)
    while rest:
        rest = rest[os.write(writer, rest) :]


def _pickled(failure: BaseException) -> bytes:
    # Here, because its import is paid by each command, and few fail.
    import pickle

    try:
        return pickle.dumps(failure)
    except (pickle.PicklingError, TypeError, AttributeError):
        return pickle.dumps(FailedError(f"{type(failure).__name__}: {failure}"))


def _unpickled(payload: bytes) -> BaseException:
    import pickle

    failure: BaseException = pickle.loads(payload)  # noqa: S301  it comes from a child of this very process
    return failure


def _gathered(children: dict[int, int], n_slices: int, told: Callable[[int], object] | None) -> list[list[Any]]:
    # Here, because few commands have that much to do.
    import selectors

    results: list[list[Any]] = [[] for _ in range(n_slices)]
    n_done = 0
    with selectors.DefaultSelector() as selector:
        for reader in children:
            selector.register(reader, selectors.EVENT_READ, bytearray())
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, _READ_BYTES)
                if not data:
                    selector.unregister(key.fd)
                    continue
                key.data.extend(data)
                for number, payload in _frames(key.data):
                    if number == _FAILED:
                        raise _unpickled(payload)
                    results[number] = marshal.loads(payload)  # noqa: S302  as above
                    n_done += 1
                    if told is not None:
                        told(number)
    if n_done < n_slices:
        raise FailedError(
            "a process that worked for this one was killed from outside, for want of memory perhaps",
            hint="run the command again: what it has done is kept",
        )
    return results


def _frames(waiting: bytearray) -> list[tuple[int, bytes]]:
    """Take the whole frames off the front."""
    frames = []
    at = 0
    while len(waiting) - at >= _HEAD.size:
        number, size = _HEAD.unpack_from(waiting, at)
        if len(waiting) - at - _HEAD.size < size:
            break
        frames.append((number, bytes(waiting[at + _HEAD.size : at + _HEAD.size + size])))
        at += _HEAD.size + size
    del waiting[:at]
    return frames
