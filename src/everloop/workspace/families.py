"""The stages that a `dvc.yaml` declares, one by one: of `foreach` and `matrix` each, with every `${...}` replaced.

Source: dvc 3.67 (`parsing/__init__.py`). Leaves what the keys of a stage mean to the pipelines, and what `${...}`
stands for to `templating.py`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.workspace.templating import OptionStyle, Reader, Variables, plain

_FAMILY_KEYS = ("foreach", "do", "matrix")

# Gives what to call a key of a stage in an error, by the declaration, the key, and the stage's name.
Where = Callable[[Mapping[Any, Any], str, str], str]

# The items of a family, each with the variables that it adds.
Members = Iterator[tuple[str, dict[str, Any]]]


class Declared(msgspec.Struct, frozen=True):
    """One stage as it is declared, all variables replaced.

    Attributes:
        name: `train`, or `train@item` of a family.
        group: Its key under `stages`: the name without the item.
        body: Its keys and values.
        source: The mapping that declares it, which may know its line numbers.
    """

    name: str
    group: str
    body: dict[Any, Any]
    source: Mapping[Any, Any]


def variables_of(data: Mapping[Any, Any], file: str, read: Reader, options: OptionStyle | None = None) -> Variables:
    """The variables of a whole `dvc.yaml`.

    Args:
        data: What it says.
        file: Its path, relative to the workspace's root.
        read: Reads the files of variables.
        options: How mappings are written into commands.

    Raises:
        InvalidError: A file of variables is not there or malformed, or a variable is defined twice.
    """
    variables = Variables(read, posixpath.dirname(file), options)
    if data.get("vars"):
        _at(file, lambda: variables.load(data["vars"]))
    return variables


def expand(data: Mapping[Any, Any], file: str, variables: Variables, where: Where) -> Iterator[Declared]:
    """The stages of a `dvc.yaml`, in its order.

    Args:
        data: What it says; `stages` is a mapping of mappings.
        file: Its path, relative to the workspace's root.
        variables: Its variables.
        where: Names the place of an error.

    Raises:
        InvalidError: A family is malformed, or a variable is not known; names the place.
    """
    for name, declared in (data.get("stages") or {}).items():
        if not isinstance(declared, dict):
            raise InvalidError(
                f"{where(data['stages'], name, '')}: a stage must be a mapping of keys, found {type(declared).__name__}"
            )
        group = str(name)
        if not any(key in declared for key in _FAMILY_KEYS):
            yield Declared(group, group, _body(declared, group, file, variables, where), declared)
            continue
        members, template = _family(declared, group, variables, where)
        for key, given in members:
            member = f"{group}@{key}"
            with variables.given(**given):
                yield Declared(member, group, _body(template, member, file, variables, where), template)


def _family(
    declared: Mapping[Any, Any], name: str, variables: Variables, where: Where
) -> tuple[list[tuple[str, dict[str, Any]]], Mapping[Any, Any]]:
    """The members, each with the variables that it adds, and what all of them are made of."""
    if "matrix" in declared:
        if "foreach" in declared or "do" in declared:
            raise InvalidError(f"{where(declared, 'matrix', name)}: goes with neither foreach nor do")
        template = _Template({key: value for key, value in declared.items() if key != "matrix"}, declared)
        return list(_combinations(declared, name, variables, where)), template
    extra = [key for key in declared if key not in ("foreach", "do")]
    if "foreach" not in declared or "do" not in declared or extra:
        what = f"found {extra[0]!r}" if extra else "one is missing"
        place = where(declared, extra[0] if extra else next(iter(declared)), name)
        raise InvalidError(f"{place}: a stage with foreach has foreach and do, nothing else; {what}")
    if not isinstance(declared["do"], dict):
        raise InvalidError(f"{where(declared, 'do', name)}: must be a mapping of keys, found {declared['do']!r}")
    return list(_each(declared, name, variables, where)), declared["do"]


def _each(declared: Mapping[Any, Any], name: str, variables: Variables, where: Where) -> Members:
    items = _at(where(declared, "foreach", name), lambda: variables.resolve(declared["foreach"], may_be_nested=True))
    if isinstance(items, dict):
        for key, value in items.items():
            yield plain(key), {"item": value, "key": plain(key)}
    elif isinstance(items, list):
        is_plain = not any(isinstance(value, dict | list) for value in items)
        # As with DVC, of two equal values the stage is one.
        named = {plain(value) if is_plain else str(index): value for index, value in enumerate(items)}
        for key, value in named.items():
            yield key, {"item": value}
    else:
        raise InvalidError(f"{where(declared, 'foreach', name)}: must be a list or a mapping, found {items!r}")


def _combinations(declared: Mapping[Any, Any], name: str, variables: Variables, where: Where) -> Members:
    place = where(declared, "matrix", name)
    axes = _at(place, lambda: variables.resolve(declared["matrix"], may_be_nested=True))
    if not isinstance(axes, dict) or not all(isinstance(values, list) for values in axes.values()):
        raise InvalidError(f"{place}: must map names to lists of values, found {axes!r}")
    for combination in product(*(list(enumerate(values)) for values in axes.values())):
        chosen = list(zip(axes, combination, strict=True))
        words = [
            f"{axis}{index}" if isinstance(value, dict | list) else plain(value) for axis, (index, value) in chosen
        ]
        key = "-".join(words)
        yield key, {"item": {axis: value for axis, (_, value) in chosen}, "key": key}


def _body(template: Mapping[Any, Any], name: str, file: str, variables: Variables, where: Where) -> dict[Any, Any]:
    own = template.get("vars")
    if own:
        folder = posixpath.join(posixpath.dirname(file), _wdir(template, name, variables, where))
        variables = variables.copy()
        _at(where(template, "vars", name), lambda: variables.load(own, folder, f"{name}.vars"))
    body: dict[Any, Any] = {}
    for key, value in template.items():
        if key == "vars":
            continue
        try:
            body[key] = variables.resolve(value, is_command=key == "cmd")
        except InvalidError as error:
            raise InvalidError(f"{where(template, key, name)}: {error.message}", hint=error.hint) from error
    return body


def _wdir(template: Mapping[Any, Any], name: str, variables: Variables, where: Where) -> str:
    return str(_at(where(template, "wdir", name), lambda: variables.resolve(template.get("wdir") or ".")))


def _at(place: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except InvalidError as error:
        raise InvalidError(f"{place}: {error.message}", hint=error.hint) from error


class _Template(dict[Any, Any]):
    """A part of a declaration that knows the line numbers of the whole."""

    def __init__(self, part: Mapping[Any, Any], whole: Mapping[Any, Any]) -> None:
        super().__init__(part)
        self.lc = getattr(whole, "lc", None)
