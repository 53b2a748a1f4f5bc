"""Rewrite the hashes of DVC 2 in `dvc.lock` files as those of DVC 3."""

from __future__ import annotations

import msgspec

from everloop.errors import EverloopError
from everloop.pipelines import graph, lockfile
from everloop.pipelines.values import LockedStage, Stage
from everloop.workspace import Content, Out, Workspace
from everloop.workspace.migrate import MigrateReport, as_new
from everloop.workspace.objectid import is_legacy


def migrate(workspace: Workspace, *, records: bool, dry: bool) -> MigrateReport:
    """Migrate the cache and, with `records`, the `.dvc` and `dvc.lock` files.

    Args:
        workspace: Where.
        records: Also the files that name the objects.
        dry: Only tell.

    Raises:
        InvalidError: A file that records data is malformed.
        ConflictError: Another process changes the workspace.
    """
    report = workspace.migrate(records=records, dry=dry)
    stages = [node for node in graph.load(workspace).nodes.values() if records and isinstance(node, Stage)]
    written: dict[str, None] = {}
    skipped: dict[str, str] = {}
    with workspace.locked():
        for stage in stages:
            lock = lockfile.path_for(stage.file)
            locked = lockfile.read(workspace.root / lock).get(stage.name)
            old = locked is not None and any(is_legacy(c.md5) for c in (*locked.deps.values(), *locked.outs.values()))
            if locked is None or not old:
                continue
            written[lock] = None
            if not dry:
                try:
                    lockfile.write_stage(workspace.root / lock, stage.name, _renewed(workspace, stage, locked))
                except EverloopError as error:
                    skipped[f"{lock}: {stage.name}"] = error.message
        workspace.contents.save()
    return msgspec.structs.replace(report, records=(*report.records, *written), skipped={**report.skipped, **skipped})


def _renewed(workspace: Workspace, stage: Stage, locked: LockedStage) -> LockedStage:
    deps, outs = dict(locked.deps), dict(locked.outs)
    for dep in stage.deps:
        if dep.written in deps:
            deps[dep.written] = _new(workspace, dep.path, deps[dep.written], is_cached=False)
    for out in stage.outs:
        if out.written in outs:
            outs[out.written] = _new(workspace, out.path, outs[out.written], is_cached=out.is_cached)
    return msgspec.structs.replace(locked, deps=deps, outs=outs)


def _new(workspace: Workspace, path: str, content: Content, *, is_cached: bool) -> Content:
    return as_new(workspace, Out(path=path, content=content, is_cached=is_cached)) or content
