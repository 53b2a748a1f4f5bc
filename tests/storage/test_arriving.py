"""Bytes that are still on their way are read as far as they have come, and never wrongly."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import NotFoundError, UnavailableError
from everloop.storage.arriving import arriving

Sink = Callable[[bytes], object]


def test_the_beginning_is_read_before_the_end_has_come() -> None:
    goes_on = threading.Event()

    def fetch(sink: Sink) -> None:
        sink(b"first line\n")
        sink(b"second")
        assert goes_on.wait(60)
        sink(b" line\n")

    with arriving(fetch) as stream:
        assert stream.readline() == b"first line\n"
        goes_on.set()
        assert stream.read() == b"second line\n"


@given(
    st.lists(st.binary(max_size=8), max_size=6), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=6)
)
def test_it_is_read_and_sought_in_like_a_file(chunks: list[bytes], steps: list[tuple[int, int]]) -> None:
    data = b"".join(chunks)

    def fetch(sink: Sink) -> None:
        for chunk in chunks:
            sink(chunk)

    with arriving(fetch) as stream:
        for whence, offset in steps:
            expected = {0: offset, 1: stream.tell() + offset, 2: len(data) + offset}[whence]
            assert stream.seek(offset, whence) == expected
            assert stream.read(3) == data[expected : expected + 3]
        stream.seek(0)
        assert stream.read() == data


def test_what_is_not_there_fails_at_once() -> None:
    def fetch(sink: Sink) -> None:
        raise NotFoundError("no such object")

    with pytest.raises(NotFoundError, match="no such object"):
        arriving(fetch)


def test_the_last_bytes_are_not_given_when_the_end_is_wrong() -> None:
    def fetch(sink: Sink) -> None:
        sink(b"good")
        sink(b"last")
        raise UnavailableError("these were the wrong bytes")

    with arriving(fetch) as stream, pytest.raises(UnavailableError, match="the wrong bytes"):
        stream.read()


def test_nobody_wants_the_rest_of_what_was_closed() -> None:
    ended = threading.Event()

    def fetch(sink: Sink) -> None:
        try:
            while True:
                sink(b"more")
        finally:
            ended.set()

    with arriving(fetch) as stream:
        assert stream.read(6) == b"moremo"
    assert ended.wait(60)
    with pytest.raises(ValueError, match="closed"):
        stream.read()
