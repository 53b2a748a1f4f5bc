"""An expression compiled late matches as one compiled at once, and those of the workspace are sound."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import everloop.workspace
from everloop.latepattern import LatePattern

LATE = {
    f"{name}.{key}": value
    for name in (f"everloop.workspace.{found.name}" for found in pkgutil.iter_modules(everloop.workspace.__path__))
    for key, value in vars(importlib.import_module(name)).items()
    if isinstance(value, LatePattern)
}


@pytest.mark.parametrize("text", ["", "ab", "xab", "abx", "AB", "a\nb"])
@pytest.mark.parametrize("flags", [0, re.IGNORECASE, re.DOTALL])
def test_it_matches_as_the_library_does(text: str, flags: int) -> None:
    expected, found = re.compile("a.?b", flags), LatePattern("a.?b", flags)
    for _ in range(2):
        for how in ("match", "fullmatch", "search"):
            ours, theirs = getattr(found, how)(text), getattr(expected, how)(text)
            assert (ours and ours.span()) == (theirs and theirs.span())


@pytest.mark.parametrize("pattern", LATE.values(), ids=list(LATE))
def test_every_one_of_the_workspace_compiles(pattern: LatePattern) -> None:
    pattern.fullmatch("")


def test_a_wrong_one_is_told_at_its_first_use() -> None:
    with pytest.raises(re.error):
        LatePattern("(").match("")
