"""Parameters as `-S` has them: `key=value`, `+key=value`, `++key=value`, `~key`, `file:key=value`, and grids of them.

Source: Hydra 1.3, the override grammar and its basic sweeper, which DVC uses. Values are read by `overridevalues.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.pipelines.experiments import overridevalues
from everloop.pipelines.experiments.overridevalues import Sweep
from everloop.pipelines.paramedit import Edit, How
from everloop.pipelines.params import MISSING
from everloop.pipelines.values import DEFAULT_PARAMS_FILE

_SIGNS = (("++", How.SET_OR_ADD), ("+", How.ADD), ("~", How.REMOVE))


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """One word of `-S`.

    Attributes:
        file: Of parameters, relative to the root.
        choices: The changes that it stands for; more than one makes a grid.
    """

    file: str
    choices: tuple[Edit, ...]


Overrides = dict[str, list[Edit]]


def parse(words: Iterable[str]) -> list[Override]:
    """Read the words of `-S`.

    Raises:
        InvalidError: One is malformed; names it and what was expected.
    """
    return [_parse(word) for word in words]


def is_grid(overrides: Iterable[Override]) -> bool:
    """Whether some stand for several values."""
    return any(len(override.choices) > 1 for override in overrides)


def combinations(overrides: Iterable[Override]) -> list[Overrides]:
    """Each combination of the choices, `{file: changes}`; the last word varies fastest. Without any word it is one."""
    by_file: dict[str, list[Override]] = {}
    for override in overrides:
        by_file.setdefault(override.file, []).append(override)
    ordered = [override for group in by_file.values() for override in group]
    found = []
    for chosen in itertools.product(*(override.choices for override in ordered)):
        combined: Overrides = {}
        for override, edit in zip(ordered, chosen, strict=True):
            combined.setdefault(override.file, []).append(edit)
        found.append(combined)
    return found


def shown(overrides: Overrides) -> str:
    """The changes as people read them: `lr=0.1 other.json:a.b=2`."""
    return " ".join(
        ("" if file == DEFAULT_PARAMS_FILE else f"{file}:") + _shown(edit)
        for file, edits in overrides.items()
        for edit in edits
    )


def _shown(edit: Edit) -> str:
    return f"~{edit.key}" if edit.how is How.REMOVE else f"{edit.key}={edit.value}"


def _parse(word: str) -> Override:
    before = word.partition("=")[0]
    file, rest = (word.split(":", 1)) if ":" in before else (DEFAULT_PARAMS_FILE, word)
    how, text = next(((how, rest.removeprefix(sign)) for sign, how in _SIGNS if rest.startswith(sign)), (How.SET, rest))
    key, separator, value = text.partition("=")
    if not key.strip() or not file or (not separator and how is not How.REMOVE):
        raise InvalidError(f"{word!r} is not of the form key=value", hint="as in -S train.lr=0.1, or -S '~train.lr'")
    read: Any = overridevalues.parse(value, word) if separator else MISSING
    values = read.values if isinstance(read, Sweep) else (read,)
    if how is How.REMOVE and len(values) > 1:
        raise InvalidError(f"{word!r}: several values cannot be removed at once")
    return Override(file=file, choices=tuple(Edit(key=key.strip(), value=each, how=how) for each in values))
