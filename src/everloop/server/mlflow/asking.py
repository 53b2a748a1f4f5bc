"""What a client asks, read from a query or a JSON body into the struct of its call, or refused as MLflow refuses."""

from __future__ import annotations

import re
from typing import Any, Generic, TypeVar, get_origin, get_type_hints

import msgspec
from starlette.requests import Request

from everloop.errors import InvalidError, TooLargeError
from everloop.server.errors import read_body
from everloop.server.mlflow.wire import Message

Asked = TypeVar("Asked", bound=Message)

_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`(?: - at `\$\.?(?P<path>.*)`)?")
_PROBLEM = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<path>.*)`)?")
_TOO_LONG = re.compile(r"Expected `(?:str|array)` of length <= (?P<limit>\d+)")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class Asking(Generic[Asked]):
    """Reads the requests of one call."""

    def __init__(self, kind: type[Asked], limit_bytes: int) -> None:
        self.kind = kind
        self.limit_bytes = limit_bytes
        self._decoder = msgspec.json.Decoder(kind, strict=False)  # Java's client sends 64-bit integers as text
        hints = get_type_hints(kind)
        self._lists = {name for name, hint in hints.items() if get_origin(hint) is tuple}

    async def read(self, request: Request) -> Asked:
        """Read what `request` asks.

        Raises:
            InvalidError: a parameter is missing, of the wrong type, or too long.
        """
        if request.method == "GET":
            return self._from_plain(self._query(request) | request.path_params)
        try:
            body = await read_body(request, self.limit_bytes) or b"{}"
        except TooLargeError as error:
            raise InvalidError(f"{error.message} (MLflow's limit)") from error
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body != b"{}" and kind != "application/json":
            raise InvalidError(f"Bad Request. Content-Type must be one of ['application/json'], found {kind!r}.")
        try:
            if request.path_params:
                return self._from_plain(self._beside_path(body, request.path_params))
            return self._decoder.decode(body)
        except msgspec.ValidationError:
            return self._from_plain(_without_null(msgspec.json.decode(body)))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidError(f"Bad Request. The body is no JSON: {error}") from error

    def _beside_path(self, body: bytes, path: dict[str, Any]) -> Any:
        plain = _without_null(msgspec.json.decode(body))
        return plain | path if isinstance(plain, dict) else plain

    def _query(self, request: Request) -> dict[str, Any]:
        found = request.query_params
        return {name: found.getlist(name) if name in self._lists else found[name] for name in found}

    def _from_plain(self, plain: Any) -> Asked:
        try:
            return msgspec.convert(plain, self.kind, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidError(_explain(str(error), plain)) from error


def _without_null(plain: Any) -> Any:
    """Leave out what is null, which to MLflow is unset."""
    if isinstance(plain, dict):
        return {name: _without_null(value) for name, value in plain.items() if value is not None}
    return list(map(_without_null, plain)) if isinstance(plain, list) else plain


def missing(name: str) -> InvalidError:
    return InvalidError(_missing(name))


def _missing(name: str) -> str:
    return (
        f"Missing value for required parameter '{name}'."
        " See the API docs for more information about request parameters."
    )


def _explain(error: str, plain: Any) -> str:
    """Say what msgspec found wrong in MLflow's words, in which clients and their tests look for the parameter."""
    if found := _MISSING.fullmatch(error):
        return _missing(".".join(filter(None, (found["path"], found["field"]))))
    matched = _PROBLEM.fullmatch(error)
    assert matched is not None
    problem, path = matched["problem"], matched["path"] or ""
    if problem == "Expected `str` of length >= 1":
        return _missing(path)
    if found := _TOO_LONG.fullmatch(problem):
        return f"'{path}' exceeds the maximum length of {found['limit']} characters"
    value = msgspec.json.encode(_at(plain, path)).decode()[:200]
    return (
        f"Invalid value {value} for parameter '{path}' supplied: {problem}."
        " See the API docs for more information about request parameters."
    )


def _at(plain: Any, path: str) -> Any:
    for index, name in _STEP.findall(path):
        plain = plain[int(index)] if index else plain[name]
    return plain
