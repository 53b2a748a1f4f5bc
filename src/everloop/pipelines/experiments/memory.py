"""What was read of commits, remembered for the next time: a commit never changes.

One file below `.dvc/tmp/everloop`. It may be removed at any time; that of another version is not read.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from everloop.pipelines.experiments.states import Data, Shown
from everloop.version import __version__
from everloop.workspace import Workspace
from everloop.workspace.durable import write_atomically

# So many are kept, those that were needed last.
_LIMIT = 20_000


class _File(msgspec.Struct, frozen=True):
    version: str
    states: dict[str, Data]


class Memory:
    """The states of commits of one workspace."""

    def __init__(self, workspace: Workspace, *, is_empty: bool = False) -> None:
        """Read what is remembered.

        Args:
            workspace: Whose.
            is_empty: Begin anew.
        """
        self._path = workspace.layout.scratch_dir / "experiments" / "shown.msgpack"
        self._known = {} if is_empty else self._load()
        self._before = set(self._known)

    def missing(self, commits: Iterable[str]) -> list[str]:
        """Those that are not remembered, each once."""
        return [commit for commit in dict.fromkeys(commits) if commit not in self._known]

    def get(self, commit: str) -> Data | None:
        """What is known of a commit."""
        found = self._known.pop(commit, None)
        if found is not None:
            # Put last: what is not asked for is forgotten first.
            self._known[commit] = found
        return found

    def put(self, shown: Shown) -> None:
        """Remember a state, unless something in it could not be read, which may be another time."""
        data = shown.data
        files = [*data.params.values(), *data.metrics.values()] if data is not None else []
        if data is not None and not any("error" in file for file in files):
            self._known[shown.rev] = data

    def save(self) -> None:
        """Write it down, if there is something new."""
        if set(self._known) == self._before:
            return
        states = dict(list(self._known.items())[-_LIMIT:])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, msgspec.msgpack.encode(_File(__version__, states)), flush=False)

    def _load(self) -> dict[str, Data]:
        try:
            found = msgspec.msgpack.decode(self._path.read_bytes(), type=_File)
        except (FileNotFoundError, msgspec.DecodeError):
            return {}
        return found.states if found.version == __version__ else {}
