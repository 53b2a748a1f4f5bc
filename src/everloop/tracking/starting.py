"""Starting a run: where its files go, and whether a hub is told of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.tracking.live import LiveRun
from everloop.tracking.livefiles import LiveFiles
from everloop.tracking.recording import Recorder

if TYPE_CHECKING:
    from everloop.config import Settings
    from everloop.tracking.stream import Stream


def start_run(
    folder: str | os.PathLike[str] = "dvclive",
    *,
    resume: bool = False,
    experiment: str | None = None,
    name: str = "",
    tags: Mapping[str, str] | None = None,
    offline: bool | None = None,
) -> LiveRun:
    """Start a run: its files are written to `folder`, those of a former run there are removed.

    With a hub (EVERLOOP_HUB_URL) it is told as well, in the background. In a stage of an `ever repro` that is tracked,
    the values become those of that run.

    Args:
        folder: Laid out as DVCLive's. Outside of a pipeline it gets a `dvc.yaml`, unless the one beside it speaks of
            the folder already.
        resume: Go on where the files end, with the step after the last.
        experiment: On the hub; None is the name of the folder that the script runs in.
        name: On the hub; empty takes the first digits of the run's id.
        offline: Keep what the hub is to be told for `ever sync`; None asks EVERLOOP_OFFLINE.

    Raises:
        InvalidError: A setting is wrong, or `resume` finds a malformed file.
    """
    settings = _settings(offline)
    path = Path(folder)
    files = LiveFiles(path, resume=resume, describe=_is_to_describe(path))
    last = files.summary.get("step")
    stream = _stream(settings, experiment, name, tags) if settings is not None and settings.is_tracking else None
    if settings is not None and settings.run_id:
        from everloop.tracking.spool import tell_folder

        with suppress(OSError):  # the stream has told already that the spool cannot be written
            tell_folder(settings.spool_path, settings.run_id, path)
    return LiveRun(Recorder(files, stream), last + 1 if isinstance(last, int) else None)


def _settings(offline: bool | None) -> Settings | None:
    """The settings, or None where nobody set anything: then they need not be imported."""
    home = os.environ.get("EVERLOOP_HOME") or "~/.everloop"
    is_set = offline is not None or any(name.startswith("EVERLOOP_") for name in os.environ)
    if not is_set and not Path(f"{home}/settings.yaml").expanduser().exists():
        return None
    from everloop.config import Settings

    return Settings.load(offline=offline)


def _stream(settings: Settings, experiment: str | None, name: str, tags: Mapping[str, str] | None) -> Stream:
    from everloop import refs
    from everloop.tracking.stream import open_stream

    stage = os.environ.get("DVC_STAGE", "")
    known = {"stage": stage} if stage else {}
    return open_stream(
        settings.spool_path,
        settings.run_id or refs.new_run_id(),
        experiment="" if settings.run_id else experiment_name(experiment or Path.cwd().name),
        name=name,
        tags={**known, **(tags or {})},
        hub="" if settings.offline else settings.hub_url,
    )


def experiment_name(text: str) -> str:
    """Return a text as the name of an experiment may be: what is not allowed becomes a dash."""
    name = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "-", text).lstrip("._-")[:128]
    return name or "default"


def _is_to_describe(folder: Path) -> bool:
    """Whether the folder needs a `dvc.yaml`: not in a stage, nor where the file beside it speaks of the folder."""
    if os.environ.get("DVC_STAGE") or os.environ.get("DVC_ROOT"):
        return False
    try:
        return f"{folder.name}/" not in (folder.parent / "dvc.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
