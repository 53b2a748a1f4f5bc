"""How far the demo is, in one small file: written after each period, so that a stopped demo goes on where it was."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import msgspec

from everloop.errors import ConflictError


class Counts(msgspec.Struct, kw_only=True):
    """Rows that were sent for prediction, that were answered, labels that were taken, rows of accepted batches."""

    sent: int = 0
    acknowledged: int = 0
    failed_requests: int = 0
    labels: int = 0
    weather_rows: int = 0
    flight_rows: int = 0


class Progress(msgspec.Struct, kw_only=True):
    """What was played. `played` is the last day that is complete; `counts` are of complete periods only, as a period
    that was cut off is played, and counted, again. `seconds` sums the wall time by phase.
    """

    fast: bool
    seed: int
    is_set: bool = False
    played: date | None = None
    is_over: bool = False
    counts: Counts = msgspec.field(default_factory=Counts)
    rollback_s: float | None = None
    rolled_back: bool = False
    seconds: dict[str, float] = msgspec.field(default_factory=dict)


class ProgressFile:
    """The progress of one demo folder. Each save is whole: a crash leaves the one before."""

    def __init__(self, home: Path) -> None:
        self.path = home / "demo.json"

    def load(self, *, fast: bool, seed: int) -> Progress:
        """Return the progress so far, or the beginning.

        Raises:
            ConflictError: the folder holds a demo that was begun with other options.
        """
        if not self.path.exists():
            return Progress(fast=fast, seed=seed)
        found = msgspec.json.decode(self.path.read_bytes(), type=Progress)
        if (found.fast, found.seed) != (fast, seed):
            options = f"{'--fast ' if found.fast else ''}--seed {found.seed}"
            raise ConflictError(
                f"{self.path.parent.parent} holds a demo that was begun with {options}",
                hint="Go on with the same options, or name another folder.",
            )
        return found

    def save(self, progress: Progress) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(file.fileno())
        part.rename(self.path)
