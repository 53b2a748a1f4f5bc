"""Which files belong to an experiment besides those that Git tracks already: what its stages read and write.

Source: dvc 3.67 (`stage/utils.py`, `repo/experiments/executor/base.py`): the `dvc.yaml` and `dvc.lock` of each stage,
its dependencies and parameters that are no data under version, its outputs that are not cached; and the metrics and
params that a `dvc.yaml` names at its top.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from everloop.pipelines import definition, graph, lockfile
from everloop.pipelines.tree import FolderTree, pipeline_files
from everloop.pipelines.values import Stage
from everloop.workspace import Workspace


def of_stages(whole: graph.Graph, addresses: Iterable[str]) -> list[str]:
    """The files of stages and `.dvc` files, relative to the root; some may not be there."""
    found: dict[str, None] = {}
    for address in addresses:
        node = whole.nodes[address]
        if isinstance(node, Stage):
            found.update(dict.fromkeys(_of_stage(whole, node)))
        else:
            found[node.path] = None
        data = [out.path for out in node.outs if out.is_cached]
        found.update(dict.fromkeys(f"{path.rpartition('/')[0]}/.gitignore".lstrip("/") for path in data))
    return list(found)


def at_the_top(workspace: Workspace) -> list[str]:
    """The metrics and params that `dvc.yaml` files name outside of stages, as far as they are there."""
    tree = FolderTree(workspace)
    named = [path for file in pipeline_files(tree) for path in _named(definition.read(tree, file))]
    return [path for path in dict.fromkeys(named) if (workspace.root / path).exists()]


def digest(workspace: Workspace, stages: Iterable[Stage]) -> str:
    """What DVC calls the hash of an experiment: SHA-256 of what `dvc.lock` says of its stages."""
    locks = lockfile.Locks(workspace.root)
    entries: dict[str, Any] = {}
    for stage in stages:
        locked = locks.of(stage)
        if locked is not None:
            entries[stage.name] = lockfile.entry_of(locked)
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _of_stage(whole: graph.Graph, stage: Stage) -> list[str]:
    read = [item.path for item in (*stage.deps, *stage.params) if whole.holder(item.path) is None]
    made = [out.path for out in stage.outs if not out.is_cached]
    return [stage.file, lockfile.path_for(stage.file), *read, *made]


def _named(found: definition.Definition) -> list[str]:
    return [*found.metrics, *found.params]
