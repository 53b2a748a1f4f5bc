"""An operation is read off its Protocol's method, once for the server and for the client."""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Protocol

import msgspec
import pytest

from everloop.storage import operation, operations_of


class Thing(msgspec.Struct):
    name: str


class Store(Protocol):
    @operation("write")
    def make(self, name: str, count: int = 1, at: datetime | None = None) -> Thing:
        """Make a thing.

        And a longer story.
        """
        ...

    @operation("read")
    def names(self) -> list[str]:
        """Return the names."""
        ...

    def inner(self) -> None:
        """Not published."""


def test_only_marked_methods_are_operations_in_their_order() -> None:
    assert [each.name for each in operations_of(Store, "things")] == ["make", "names"]


def test_an_operation_says_what_it_takes_and_gives() -> None:
    make, names = operations_of(Store, "things")
    assert (make.path, make.permission, make.summary) == ("/api/things/make", "write", "Make a thing.")
    assert (make.returns, names.returns) == (Thing, list[str])
    assert names.permission == "read"
    assert make.request.__struct_fields__ == ("name", "count", "at")
    assert names.request.__struct_fields__ == ()
    assert list(make.signature.parameters) == ["self", "name", "count", "at"]
    assert make.signature.parameters["count"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


def test_a_request_knows_defaults_and_kinds_and_refuses_the_unknown() -> None:
    request = operations_of(Store, "things")[0].request
    decoded = msgspec.json.decode(b'{"name":"a"}', type=request)
    assert (decoded.name, decoded.count, decoded.at) == ("a", 1, None)  # type: ignore[attr-defined]  # made at run time
    for bad, place in (
        (b"{}", "name"),
        (b'{"name":1}', r"\$\.name"),
        (b'{"name":"a","count":"1"}', r"\$\.count"),
        (b'{"name":"a","colour":1}', "colour"),
    ):
        with pytest.raises(msgspec.ValidationError, match=place):
            msgspec.json.decode(bad, type=request)
