"""The variables of a `dvc.yaml` and what `${...}` in its values stands for.

Source: dvc 3.67 (`parsing/context.py`, `parsing/interpolate.py`). A text that is one `${x}` alone becomes the value
itself; in a longer text values must be scalars, and in a command also a mapping, which becomes options. Nothing is
computed: `x` is a path as `model.layers[0].size`. `\\${` stands for `${`. Leaves stages that are made of one
declaration to `families.py`.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.latepattern import LatePattern
from everloop.plaintext import nearest
from everloop.workspace import valuefiles

DEFAULT_FILE = "params.yaml"
_TEMPLATE = re.compile(r"(?<!\\)\$\{(.*?)\}")
_WORD = r"[^.\[\]]+"
_PATH = LatePattern(rf"{_WORD}(?:\.{_WORD}|\[{_WORD}\])*")
_MISSING = object()

# Gives the text of a file by its path from the workspace's root, None when there is no such file.
Reader = Callable[[str], str | None]


BOOLEAN_STYLES = ("store_true", "boolean_optional")
LIST_STYLES = ("nargs", "append")


class OptionStyle(msgspec.Struct, frozen=True):
    """How a mapping becomes options of a command.

    Attributes:
        boolean: `store_true` drops what is false; `boolean_optional` writes `--no-name`.
        listing: `nargs` writes `--name 1 2`; `append` writes `--name 1 --name 2`.
    """

    boolean: str = "store_true"
    listing: str = "nargs"


class Variables:
    """The variables that are known at a place: of `params.yaml`, of `vars`, and `item` and `key` of a family."""

    def __init__(self, read: Reader, folder: str, options: OptionStyle | None = None) -> None:
        """Start with those of the `params.yaml` beside the `dvc.yaml`, if there is one; read when first asked for.

        Args:
            read: Reads the files that `vars` names.
            folder: Where the `dvc.yaml` lies, relative to the root; "" is the root.
            options: How mappings are written into commands.
        """
        self._read = read
        self._folder = folder
        self._options = options or OptionStyle()
        self._has_default = False
        self._values: dict[str, Any] = {}
        self._loaded: list[tuple[str, Mapping[str, Any]]] = []
        self._files: dict[str, list[str] | None] = {}
        self._reserved: tuple[str, ...] = ()

    def load(self, items: Any, folder: str | None = None, where: str = "vars") -> None:
        """Take the variables of a list `vars`.

        Args:
            items: Mappings, and files as `other.yaml` or `other.yaml:key,key`.
            folder: What the files are relative to; None means that of the `dvc.yaml`.
            where: What to call the list in an error.

        Raises:
            InvalidError: A file is not there or malformed, or a variable is there already with another value.
        """
        if not isinstance(items, list):
            raise InvalidError(f"{where}: must be a list, found {type(items).__name__}")
        self._load_default()
        for index, item in enumerate(items):
            if any(_TEMPLATE.search(text) for text in _texts(item)):
                raise InvalidError(f"{where}[{index}]: variables cannot be made of other ones; found {item!r}")
            if isinstance(item, str):
                self._load_file(item, self._folder if folder is None else folder)
            elif isinstance(item, dict):
                self._merge(item, f"{where}[{index}]")
            else:
                raise InvalidError(f"{where}[{index}]: must be a mapping or the path of a file, found {item!r}")

    def copy(self) -> Variables:
        """The same variables, to which further ones may be added."""
        self._load_default()
        other = Variables(self._read, self._folder, self._options)
        other._has_default = True
        other._values = _copied(self._values)
        other._loaded = list(self._loaded)
        other._files = {path: None if keys is None else list(keys) for path, keys in self._files.items()}
        other._reserved = self._reserved
        return other

    @contextmanager
    def given(self, **values: Any) -> Iterator[None]:
        """Know some further variables for a while, which hide those of the same name."""
        self._load_default()
        before, reserved = self._values, self._reserved
        self._values, self._reserved = {**before, **values}, tuple(values)
        try:
            yield
        finally:
            self._values, self._reserved = before, reserved

    def resolve(self, value: Any, *, is_command: bool = False, may_be_nested: bool = False) -> Any:
        """A value with every `${...}` in it, also in keys, replaced.

        Args:
            value: Text, lists, mappings.
            is_command: A mapping may be written into a text, as options.
            may_be_nested: A text that is one `${x}` alone may stand for a list or a mapping.

        Raises:
            InvalidError: A variable is not known, is of the wrong kind, or the text cannot be read.
        """
        if isinstance(value, str):
            return self._text(value, is_command, may_be_nested) if "${" in value else value
        if isinstance(value, dict):
            return {
                self.resolve(key): self.resolve(item, is_command=is_command, may_be_nested=may_be_nested)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.resolve(item, is_command=is_command, may_be_nested=may_be_nested) for item in value]
        return value

    def lookup(self, path: str) -> Any:
        """The value of a variable.

        Raises:
            InvalidError: It is not known; names the nearest that is.
        """
        self._load_default()
        value: Any = self._values
        for step in _steps(path):
            value = _inner(value, step)
            if value is _MISSING:
                raise InvalidError(f"the variable ${{{path}}} is not defined{self._suggestion(path)}")
        return value

    def _text(self, text: str, is_command: bool, may_be_nested: bool) -> Any:
        parts = _parsed(text)
        if len(parts) == 3 and not parts[0] and not parts[2]:
            value = self.lookup(parts[1])
            if isinstance(value, dict | list) and not (may_be_nested or (is_command and isinstance(value, dict))):
                raise InvalidError(f"{text} is a {_kind(value)}, where a single value is wanted")
            return _written(value, self._options) if is_command and isinstance(value, dict) else value
        pieces = [parts[0].replace("\\${", "${")]
        for position in range(1, len(parts), 2):
            value = self.lookup(parts[position])
            if isinstance(value, list) or (isinstance(value, dict) and not is_command):
                raise InvalidError(f"${{{parts[position]}}} is a {_kind(value)}, which cannot be written into a text")
            pieces += [_written(value, self._options), parts[position + 1].replace("\\${", "${")]
        return "".join(pieces)

    def _load_default(self) -> None:
        if not self._has_default:
            self._has_default = True
            if self._read(posixpath.join(self._folder, DEFAULT_FILE)) is not None:
                self._load_file(DEFAULT_FILE, self._folder)

    def _load_file(self, item: str, folder: str) -> None:
        name, _, listed = item.partition(":")
        path = posixpath.normpath(posixpath.join(folder, name))
        keys = [key for key in listed.split(",") if key] or None
        if path in self._files:
            known = self._files[path]
            if keys is None and known is None:
                return
            if keys is None or known is None or set(keys) & set(known):
                raise InvalidError(f"cannot load {item!r}: variables of {path} are loaded already")
        text = self._read(path)
        if text is None:
            raise InvalidError(f"the file of variables {path} does not exist")
        values = valuefiles.parse(text, path)
        for key in keys or ():
            if key not in values:
                near = nearest(key, values)
                raise InvalidError(f"{path} has no variable {key!r}" + (f"; do you mean {near!r}?" if near else ""))
        self._merge(values if keys is None else {key: values[key] for key in keys}, path)
        self._files[path] = keys if path not in self._files else [*(self._files[path] or ()), *(keys or ())]

    def _merge(self, values: Mapping[Any, Any], source: str) -> None:
        for key in self._reserved:
            if key in values:
                raise InvalidError(f"{source}: {key!r} is the name of what the stages of a family differ in")
        # Only texts can be named in ${...}.
        known = {key: value for key, value in values.items() if isinstance(key, str)}
        self._refuse_redefinition(self._values, known, source, ())
        self._values = _merged(self._values, known)
        self._loaded.append((source, known))

    def _refuse_redefinition(
        self, into: Mapping[str, Any], values: Mapping[str, Any], source: str, above: tuple[str, ...]
    ) -> None:
        for key, value in values.items():
            path = (*above, key)
            if key not in into:
                continue
            if isinstance(into[key], dict) and isinstance(value, dict):
                self._refuse_redefinition(into[key], value, source, path)
            else:
                first = next((name for name, loaded in self._loaded if _has(loaded, path)), DEFAULT_FILE)
                raise InvalidError(
                    f"{source} defines the variable {'.'.join(path)!r} again, which {first} has already",
                    hint="variables are not overridden: give one of them another name",
                )

    def _suggestion(self, path: str) -> str:
        near = nearest(path, _names(self._values))
        return f"; do you mean ${{{near}}}?" if near else ""


def is_template(text: Any) -> bool:
    """Whether a value is a text with `${...}` in it."""
    return isinstance(text, str) and _TEMPLATE.search(text) is not None


def plain(value: Any) -> str:
    """A scalar as it is written into texts and names: `true` and `false` in small letters."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> list[str]:
    """Text, variable, text, variable, ..., text."""
    parts = _TEMPLATE.split(text)
    for variable in parts[1::2]:
        if not _PATH.fullmatch(variable.strip()):
            raise InvalidError(
                f"${{{variable}}} cannot be read: it must be the path of a variable, as ${{model.layers[0].size}}",
                hint="for a variable of the shell write \\${NAME}",
            )
    return parts


@lru_cache(maxsize=4096)
def _steps(path: str) -> tuple[str, ...]:
    return tuple(step.strip() for step in path.replace("[", ".").replace("]", "").split("."))


def _inner(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step, _MISSING)
    if isinstance(value, list):
        try:
            return value[int(step)]
        except (ValueError, IndexError):
            return _MISSING
    return _MISSING


def _written(value: Any, options: OptionStyle) -> str:
    if not isinstance(value, dict):
        return plain(value)
    words = [word for key, item in _flat(value) for word in _option(key, item, options)]
    return " ".join(words)


def _option(key: str, value: Any, options: OptionStyle) -> list[str]:
    if isinstance(value, bool):
        return [f"--{key}"] if value else [f"--no-{key}"] if options.boolean == "boolean_optional" else []
    if not isinstance(value, list):
        # What is still a mapping is empty.
        return [] if isinstance(value, dict) else [f"--{key}", _quoted(value)]
    if any(isinstance(item, dict | list) for item in value):
        raise InvalidError(f"the list {key!r} has lists or mappings in it, which cannot be written as options")
    words = [_quoted(item) for item in value]
    if options.listing == "append":
        return [word for item in words for word in (f"--{key}", item)]
    return [f"--{key}", *words] if words else []


def _quoted(value: Any) -> str:
    return shlex.quote(value) if isinstance(value, str) else str(value)


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _merged(into: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(into)
    for key, value in values.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in values.items()}


def _has(values: Mapping[str, Any], path: Iterable[str]) -> bool:
    value: Any = values
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True


def _names(values: Mapping[str, Any]) -> list[str]:
    return [name for key, value in _flat(values) for name in {key, key.rpartition(".")[0]} if name]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _texts(item)


def _kind(value: Any) -> str:
    return "list" if isinstance(value, list) else "mapping"
