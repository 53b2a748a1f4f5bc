"""What the stages of one `repro` have made, and whether it is still what they made.

A file whose stat did not change since its stage ended is not hashed again, and one that did change is told: two stages
write to it. Leaves the memory of hashes beyond one run to the workspace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import msgspec

from everloop.errors import FailedError
from everloop.pipelines.values import Stage
from everloop.workspace import Content, Workspace
from everloop.workspace.state import Identity, identity


class _Output(msgspec.Struct, frozen=True):
    stage: Stage
    content: Content
    identity: Identity


class Made:
    """The outputs by their path."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._outputs: dict[str, _Output] = {}
        # When each stage ran, in nanoseconds of the wall clock.
        self._spans: dict[str, tuple[int, int]] = {}
        self._unremembered: list[str] = []

    def put(self, stage: Stage, contents: Mapping[str, Content], *, started_ns: int) -> None:
        """Note what a stage has made: `{path: content}`, taken a moment ago."""
        self._spans[stage.address] = (started_ns, time.time_ns())
        for path, content in contents.items():
            self._outputs[path] = _Output(stage, content, self._identity(path))
            if not content.is_directory:
                self._unremembered.append(path)

    def measure(self, path: str) -> Content | None:
        """What a path holds; None when nothing is there."""
        known = self._outputs.get(path)
        if known is not None and not known.content.is_directory and self._identity(path) == known.identity:
            return known.content
        return self._workspace.measure(path)

    def remember(self) -> None:
        """Let the workspace know the hashes of files that are old enough by now, and still the same."""
        for path in self._unremembered:
            known = self._outputs[path]
            found = os.stat(f"{self._workspace.root}/{path}") if self._is_there(path) else None  # noqa: PTH116
            if found is not None and identity(found) == known.identity:
                self._workspace.contents.remember(path, found, known.content.md5)
        self._unremembered.clear()

    def require_unchanged(self) -> None:
        """Refuse outputs that somebody has written to after their stage.

        Raises:
            FailedError: Names the output, whose it is, and what ran when it was changed.
        """
        for path, known in self._outputs.items():
            now = self._identity(path)
            if now == known.identity and not known.content.is_directory:
                continue
            content = self._workspace.measure(path)
            if content is None or content.md5 != known.content.md5:
                raise _changed(path, known.stage, self._running_at(now[1], known.stage))

    def _running_at(self, time_ns: int, but: Stage) -> list[str]:
        return [
            address
            for address, (started_ns, ended_ns) in self._spans.items()
            if started_ns <= time_ns <= ended_ns and address != but.address
        ]

    def _identity(self, path: str) -> Identity:
        return identity(os.stat(f"{self._workspace.root}/{path}")) if self._is_there(path) else (0, 0, 0)  # noqa: PTH116

    def _is_there(self, path: str) -> bool:
        return os.path.exists(f"{self._workspace.root}/{path}")  # noqa: PTH110  a Path for each output costs more


def _changed(path: str, stage: Stage, suspects: list[str]) -> FailedError:
    while_ran = f", while {' and '.join(suspects)} ran" if suspects else ""
    return FailedError(
        f"{stage.file}: the output {path} of stage {stage.address} was changed after it had made it{while_ran}; "
        "dvc.lock has what the stage made",
        hint="let each path be written by one stage, which declares it under outs; then: ever repro",
    )
