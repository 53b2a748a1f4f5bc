"""The columns of a table of experiments: which there are, which one a word means, and what a row has in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from everloop.errors import InvalidError
from everloop.pipelines.experiments.states import Data, Shown, flat
from everloop.plaintext import nearest

METRIC, PARAM, DEP = "metric", "param", "dep"
Key = tuple[str, str, str]
"""Kind, file and name; the name of a dependency is its path, and it has no file."""

_KINDS = {
    **dict.fromkeys(("metric", "metrics"), METRIC),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), PARAM),
    **dict.fromkeys(("dep", "deps"), DEP),
}


def keys(shown: Iterable[Shown]) -> list[Key]:
    """All columns: metrics, params, then dependencies by name."""
    found: dict[Key, None] = {}
    deps: set[str] = set()
    for each in _all(shown):
        if each.data is not None:
            values, _ = values_of(each.data)
            found.update((key, None) for key in values if key[0] != DEP)
            deps.update(each.data.deps)
    files = {place: number for number, place in enumerate(dict.fromkeys((kind, file) for kind, file, _ in found))}
    ordered = sorted(found, key=lambda key: (key[0] != METRIC, files[key[0], key[1]]))
    return [*ordered, *((DEP, "", path) for path in sorted(deps))]


def named(wanted: str, known: Sequence[Key], purpose: str) -> Key:
    """The column that a word means: `auc`, `metrics.json:auc`, or with its kind before it `metrics.auc`.

    A dependency has to have its kind before it: `deps.data.xml`.

    Args:
        wanted: The word.
        known: The columns there are.
        purpose: What it is asked for, for errors: `to sort by`.

    Raises:
        InvalidError: It means none, or several.
    """
    values = [key for key in known if key[0] != DEP]
    word, _, rest = wanted.partition(".")
    kind = _KINDS.get(word) if rest else None
    choices = [(wanted, values), (rest, [key for key in known if key[0] == kind])]
    for text, among in choices:
        if exact := [key for key in among if text in (f"{key[1]}:{key[2]}", f":{key[2]}")]:
            return _only(exact, wanted, purpose)
    for text, among in reversed(choices):
        if alike := [key for key in among if text == key[2]]:
            return _only(alike, wanted, purpose)
    near = nearest(wanted, (key for _, _, key in values)) or nearest(wanted, map(told, known))
    if near is None and rest:
        near = nearest(rest, (key for _, _, key in values))
    raise InvalidError(f"there is no column {wanted!r} {purpose}", hint=f"do you mean {near!r}?" if near else None)


def told(key: Key) -> str:
    """A column by its kind and file, as `named` takes it."""
    kind, file, name = key
    return f"{kind}s.{file}:{name}" if file else f"{kind}s.{name}"


def values_of(data: Data | None) -> tuple[dict[Key, Any], set[tuple[str, str]]]:
    """The values by column, and kind and name of the files that could not be read."""
    values: dict[Key, Any] = {}
    broken: set[tuple[str, str]] = set()
    for kind, files in ((METRIC, data.metrics), (PARAM, data.params)) if data is not None else ():
        for file, result in files.items():
            # A bare value has no name to be a column's.
            values.update({(kind, file, key): value for key, value in flat(result).items() if key})
            if "error" in result:
                broken.add((kind, file))
    if data is not None:
        values.update({(DEP, "", path): dep.hash for path, dep in data.deps.items()})
    return values, broken


def _only(matches: list[Key], wanted: str, purpose: str) -> Key:
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(f"{file}:{key} ({kind})" for kind, file, key in matches)
    raise InvalidError(
        f"the column {wanted!r} {purpose} can be {names}", hint=f"write the file before it, as {told(matches[0])}"
    )


def _all(shown: Iterable[Shown]) -> Iterator[Shown]:
    for baseline in shown:
        yield baseline
        for experiment in baseline.experiments or ():
            yield experiment.tip
