"""A Protocol through HTTP and back: the same values, the same errors, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from everloop.errors import FAMILIES, EverloopError
from everloop.server.errors import handle_known
from everloop.server.operations import publish
from everloop.storage import HttpClient, operation, remote
from tests.stores import LoopbackServer


class Thing(msgspec.Struct, frozen=True):
    name: str
    at: datetime | None
    sizes: dict[str, float]
    raw: bytes


class EchoStore(Protocol):
    @operation("read")
    def echo(self, thing: Thing) -> Thing:
        """Give it back."""
        ...

    @operation("read")
    def add(self, a: int, b: int = 10) -> int:
        """Add two numbers."""
        ...

    @operation("write")
    def fail(self, family: str, hint: str | None) -> None:
        """Raise an error of a family."""
        ...


class Echo:
    def echo(self, thing: Thing) -> Thing:
        return thing

    def add(self, a: int, b: int = 10) -> int:
        return a + b

    def fail(self, family: str, hint: str | None) -> None:
        raise FAMILIES[family](f"{family} went wrong: ☃", hint=hint)


@pytest.fixture
def store(loopback_server: LoopbackServer) -> Iterator[EchoStore]:
    app = Starlette(routes=publish(EchoStore, "echo", Echo()), exception_handlers={EverloopError: handle_known})
    with loopback_server.serving(app) as url:
        yield remote(EchoStore, "echo", HttpClient(url))


THINGS = st.builds(
    Thing,
    name=st.text(st.characters(codec="utf-8"), max_size=20),
    at=st.none() | st.datetimes(timezones=st.just(UTC)),
    sizes=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    raw=st.binary(max_size=20),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(thing=THINGS)
def test_a_value_comes_back_as_it_went(store: EchoStore, thing: Thing) -> None:
    found = store.echo(thing)
    assert found == thing


def test_arguments_go_by_place_by_name_and_by_default(store: EchoStore) -> None:
    assert [store.add(1), store.add(1, 2), store.add(1, b=2), store.add(b=2, a=1)] == [11, 3, 3, 3]


def test_wrong_arguments_fail_as_they_do_locally(store: EchoStore) -> None:
    for arguments in ({}, {"a": 1, "c": 2}):
        with pytest.raises(TypeError):
            store.add(**arguments)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_an_error_arrives_as_its_family_with_message_and_hint(store: EchoStore, family: str) -> None:
    for hint in (None, "try again"):
        with pytest.raises(FAMILIES[family]) as caught:
            store.fail(family, hint)
        assert type(caught.value) is FAMILIES[family]
        assert (caught.value.message, caught.value.hint) == (f"{family} went wrong: ☃", hint)
