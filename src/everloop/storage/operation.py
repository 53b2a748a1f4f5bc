"""What an operation is: one method of a room's store Protocol, with its arguments and result as msgspec types.

A room marks each method of its Protocol with `@operation`. The server publishes the marked methods over HTTP
(`server/operations.py`) and `storage/remote.py` calls them; both read the same `Operation`: nothing is written twice.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

Permission = Literal["read", "write"]
Method = TypeVar("Method", bound=Callable[..., Any])


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One published method. `request` is a struct of its arguments; `returns` the type of its result."""

    room: str
    name: str
    permission: Permission
    signature: inspect.Signature
    request: type[msgspec.Struct]
    returns: Any
    summary: str

    @property
    def path(self) -> str:
        return f"/api/{self.room}/{self.name}"


def operation(permission: Permission) -> Callable[[Method], Method]:
    """Mark a Protocol method as published; `permission` says what the caller must hold."""

    def mark(method: Method) -> Method:
        method.__permission__ = permission  # type: ignore[attr-defined]
        return method

    return mark


def operations_of(protocol: type, room: str) -> list[Operation]:
    """Return the operations of a Protocol and of those it extends, theirs first, in the order they are written."""
    return [
        _describe(method, room, name)
        for kind in reversed(protocol.__mro__)
        for name, method in vars(kind).items()
        if getattr(method, "__permission__", None) is not None
    ]


def _describe(method: Callable[..., Any], room: str, name: str) -> Operation:
    hints = typing.get_type_hints(method)
    signature = inspect.signature(method)
    fields: list[Any] = []
    for parameter in list(signature.parameters.values())[1:]:
        kind = hints[parameter.name]
        required = parameter.default is inspect.Parameter.empty
        fields.append((parameter.name, kind) if required else (parameter.name, kind, parameter.default))
    request = msgspec.defstruct(
        f"{room}_{name}", fields, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True
    )
    return Operation(
        room=room,
        name=name,
        permission=method.__permission__,  # type: ignore[attr-defined]
        signature=signature,
        request=request,
        returns=hints["return"],
        summary=(inspect.getdoc(method) or name).partition("\n")[0],
    )
