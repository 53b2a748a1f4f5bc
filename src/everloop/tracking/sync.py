"""Sending what the runs of this machine still have to tell: those that found no hub, were offline, or were killed.

A run whose process is gone without having ended it is ended as failed. Safe beside running processes, and beside
another sync: a segment is sent by one process at a time, and each entry counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import msgspec

from everloop.errors import EverloopError, InvalidError, UnavailableError
from everloop.tracking import spool
from everloop.tracking.sending import HttpHub, Hub, Sender
from everloop.tracking.spool import Ended

State = Literal["sent", "busy", "waiting"]


class Synced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one run.

    Attributes:
        state: `sent`; `busy`: it is going on, or another sync sends it; `waiting`: it could not be sent, see `trouble`.
        entries: How many were sent now.
        hub: Where to.
    """

    run_id: str
    state: State
    entries: int
    hub: str = ""
    trouble: str = ""


class Progress(msgspec.Struct, frozen=True):
    """How far a run is."""

    run_id: str
    n_sent: int
    n_entries: int


def sync(
    root: Path,
    hub_url: str,
    *,
    runs: Iterable[str] | None = None,
    to_this_hub: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Synced]:
    """Send what waits; return what became of each run, in the order of their ids.

    Args:
        root: The spool.
        hub_url: Where runs are sent that name no hub of their own; empty leaves them waiting.
        runs: Beginnings of the ids of those to send; None is all.
        to_this_hub: Send every run to `hub_url`, whatever hub it names.
        on_progress: Told after each batch.
        tell: Told in words of what the hub refused.
    """
    waiting: dict[str, list[Path]] = defaultdict(list)
    chosen = None if runs is None else tuple(runs)
    for path in spool.segments(root):
        if chosen is None or path.parent.name.startswith(chosen):
            waiting[path.parent.name].append(path)
    hubs: dict[str, Hub] = {}
    silent: set[str] = set()

    def send(path: Path) -> Synced:
        own = "" if to_this_hub else spool.Reader(path).header.hub
        url = own or hub_url
        if not url:
            raise UnavailableError("no hub is set", hint="Say where it is: EVERLOOP_HUB_URL")
        if url in silent:
            raise UnavailableError(f"the hub at {url} does not answer")
        try:
            hub = hubs.setdefault(url, HttpHub(url))
            return Synced(run_id=path.parent.name, state="sent", hub=url, entries=_send(path, hub, on_progress, tell))
        except UnavailableError:
            silent.add(url)
            raise

    return [_run(run_id, paths, send) for run_id, paths in waiting.items()]


def _run(run_id: str, paths: list[Path], send: Callable[[Path], Synced]) -> Synced:
    """Send a run's segments in order; the first that cannot be sent holds up those behind it."""
    entries, state, hub, trouble = 0, "sent", "", ""
    for path in paths:
        with spool.taken(path) as is_ours:
            if not is_ours:
                state = "busy" if path.exists() else state
                continue
            try:
                found = send(path)
            except (EverloopError, OSError) as error:
                trouble = error.message if isinstance(error, EverloopError) else str(error)
                state = "waiting"
                break
            entries, hub = entries + found.entries, found.hub
    return Synced(run_id=run_id, state=state, entries=entries, hub=hub, trouble=trouble)  # type: ignore[arg-type]


def _send(path: Path, hub: Hub, on_progress: Callable[[Progress], None], tell: Callable[[str], None]) -> int:
    sender = Sender(path, hub, tell)
    total, sent, last_at = sender.reader.count(), 0, spool.modified_at(path)
    try:
        while (batch := sender.send()) > 0:
            sent += batch
            on_progress(Progress(path.parent.name, sender.sent, total))
    except InvalidError as error:
        # What stands behind a damaged line cannot be numbered, so it is kept for a person to look at.
        kept = path.rename(path.with_suffix(".damaged"))
        tell(f"{error.message}; what follows is in {kept}")
    if not sender.is_done:
        # Its process is gone, or nobody would have let us take the segment, and did not say how it ended.
        sender.end(Ended("failed", last_at))
    spool.remove(path)
    return sent
