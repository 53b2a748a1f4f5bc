"""What the words of a command about data mean where there are stages: a stage means its outputs.

Leaves paths inside of tracked directories, folders and patterns to the workspace.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from everloop.errors import NotFoundError
from everloop.pipelines import graph
from everloop.pipelines.graph import Graph
from everloop.workspace import Workspace
from everloop.workspace.walk import DVC_SUFFIX, PIPELINE_FILE


def data_targets(
    workspace: Workspace,
    words: Iterable[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    with_deps: bool = False,
    recursive: bool = False,
) -> list[str]:
    """The paths of data that words mean, relative to the root; a word that means no stage is taken for a path.

    Args:
        workspace: Where.
        words: Names or addresses of stages, `dvc.yaml` files (all of their stages), paths.
        folder: What paths are relative to; None means the root.
        with_deps: Also all data that these are made from, directly or not.
        recursive: A folder is left as it is: it means what lies below it, and that alone.

    Raises:
        InvalidError: A file is malformed, or a path lies outside of the workspace.
        NotFoundError: `with_deps`, and a word is neither a stage nor data.
    """
    known = {out.path for out in workspace.outs()}
    found: dict[str, None] = {}
    connected: Graph | None = None
    for word in words:
        path = workspace.relative(os.path.join(folder, word) if folder else word)  # noqa: PTH118
        is_folder = recursive and path not in known and (workspace.root / path).is_dir()
        if is_folder or (not with_deps and (path in known or path.endswith(DVC_SUFFIX))):
            found[path] = None
            continue
        connected = connected or graph.load(workspace)
        addresses = _addresses(connected, word, path)
        if with_deps:
            addresses = connected.plan(addresses or [path.removesuffix(DVC_SUFFIX)])
        paths = [out.path for address in addresses for out in connected.nodes[address].outs]
        found.update(dict.fromkeys(paths or [path]))
    return list(found)


def _addresses(connected: Graph, word: str, path: str) -> list[str]:
    if path.rpartition("/")[2] == PIPELINE_FILE:
        return [stage.address for stage in connected.stages if stage.file == path]
    for name in (path, word):
        try:
            return [connected.resolve(name)]
        except NotFoundError:
            continue
    return []
