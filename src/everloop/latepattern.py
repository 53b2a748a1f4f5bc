"""Regular expressions that are compiled when they are first used.

A small command meets few of those that its modules have, and to compile one takes as long as to import a small module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

Matcher = Callable[[str], re.Match[str] | None]


class LatePattern:
    """Matches as `re.compile(text, flags)` does, and after the first time as fast.

    Args:
        text: The expression; it is not looked at before its first use, so a test has to use it.
        flags: Of `re`.
    """

    def __init__(self, text: str, flags: int = 0) -> None:
        self._text = text
        self._flags = flags

    @cached_property
    def match(self) -> Matcher:
        """Match at the beginning of a text."""
        return re.compile(self._text, self._flags).match

    @cached_property
    def fullmatch(self) -> Matcher:
        """Match a whole text."""
        return re.compile(self._text, self._flags).fullmatch

    @cached_property
    def search(self) -> Matcher:
        """Match anywhere in a text."""
        return re.compile(self._text, self._flags).search
