"""A `dvc.lock` as text, one block a stage: to change one entry, the others are neither parsed nor written anew.

Only for files laid out as both tools lay them out; any other is changed as a whole, by its YAML. Leaves what an entry
means to `lockfile.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everloop.errors import InvalidError
from everloop.workspace import yamlfile

SCHEMA = "2.0"
_HEAD = f"schema: '{SCHEMA}'\nstages:\n"
# The line of a stage's name: two spaces in. What belongs to the stage stands further in, or is empty.
_NAME_LINE = re.compile(r"^  (?=[^ \n#\-])", re.MULTILINE)
_OTHER_LINE = re.compile(r"^(?! {2}[^ #\-]| {3}|\n|\Z)", re.MULTILINE)


class Blocks:
    """The entries of one lock file, each as the text that it has there."""

    def __init__(self, texts: list[str], values: dict[str, Any]) -> None:
        self._texts = dict(zip(values, texts, strict=True))
        self.values = values

    @classmethod
    def of(cls, text: str, name: str | Path) -> Blocks | None:
        """Take a text apart; None when it is not laid out so.

        Args:
            text: Of the file; empty when there is none.
            name: Of the file, for errors.
        """
        if not text:
            return cls([], {})
        if not text.startswith(_HEAD) or not text.endswith("\n"):
            return None
        body = text[len(_HEAD) :]
        if _OTHER_LINE.search(body):
            return None
        starts = [match.start() for match in _NAME_LINE.finditer(body)]
        if not starts or starts[0] != 0:
            return None
        texts = [body[start:end] for start, end in zip(starts, [*starts[1:], len(body)], strict=True)]
        values: dict[str, Any] = {}
        for block in texts:
            parsed = _parsed(block, name)
            if not isinstance(parsed, dict) or len(parsed) != 1:
                return None
            values |= parsed
        # A name that is there twice is for the whole reader to tell.
        return cls(texts, values) if len(values) == len(texts) else None

    def put(self, entries: Mapping[str, dict[str, Any]]) -> None:
        """Replace entries, or add them behind all others."""
        for name, entry in entries.items():
            self.values[name] = entry
            self._texts[name] = _written(name, entry)

    def text(self) -> str:
        """The whole file."""
        return _HEAD + "".join(self._texts.values())


def _parsed(block: str, name: str | Path) -> Any:
    found = yamlfile.parse_simple(block)
    if found is None:
        try:
            found = yamlfile.parse_plain(block, name)
        except InvalidError:
            # The whole reader names the line as it is in the file.
            return None
    return found


def _written(name: str, entry: dict[str, Any]) -> str:
    # In its place, as long lines are folded at a column.
    written = yamlfile.dump({"stages": {name: entry}}).decode()
    return written.removeprefix("stages:\n")
