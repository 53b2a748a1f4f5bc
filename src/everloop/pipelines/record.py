"""Putting a reproduced pipeline on record: params, metrics, commit, data versions, logs and lineage of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from everloop import refs
from everloop.pipelines.measures import read_metrics, read_params
from everloop.pipelines.values import Report
from everloop.tracking import Edge, Metric, TrackingStore
from everloop.workspace import Workspace
from everloop.workspace.objectid import digits

LOCK = "dvc.lock"


def record(
    tracking: TrackingStore,
    put_file: Callable[[Path], str],
    workspace: Workspace,
    report: Report,
    run_id: str,
    *,
    commit: str,
    tags: Mapping[str, str],
    datasets: Mapping[str, str] | None = None,
) -> None:
    """Record what a `repro` of `workspace` came to under a run that was created before. May be repeated.

    Args:
        put_file: stores a file's content and returns its SHA-256, as an object store or a hub does.
        commit: the Git commit that was run.
        tags: further facts of the run.
        datasets: name → version of the data that was used; None takes every `.dvc` file's first out, by its name.
    """
    used = dict(datasets) if datasets is not None else data_versions(workspace)
    now = datetime.now(UTC)
    metrics = [
        Metric(key=key, value=float(value), logged_at=now)
        for key, value in read_metrics(workspace).items()
        if isinstance(value, int | float)
    ]
    params = {key: _text(value) for key, value in read_params(workspace).items()}
    known = {"commit": commit} | {f"dataset.{name}": version for name, version in used.items()}
    tracking.log(run_id, metrics, params, known | dict(tags))
    files = {f"logs/{stage.stage}.log": Path(stage.log) for stage in report.stages if stage.log is not None}
    for name, path in (files | {LOCK: workspace.root / LOCK}).items():
        if path.is_file():
            tracking.log_artifact(run_id, name, put_file(path), path.stat().st_size)
    source = refs.run(run_id)
    edges = [Edge(source=source, relation="used", target=refs.dataset(n, v)) for n, v in used.items()]
    tracking.link([*edges, Edge(source=source, relation="ran", target=refs.commit(commit))])


def data_versions(workspace: Workspace) -> dict[str, str]:
    """Return the version (md5) of each path that a `.dvc` file holds, by the path's last part."""
    outs = [out for file in workspace.dvc_files().values() for out in file.outs]
    return {Path(out.path).name: digits(out.content.md5) for out in outs if out.content is not None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
