"""What the words of a command about data mean where there are stages: a stage means its outputs.

Leaves paths inside of tracked directories, folders and patterns to the workspace.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from everloop.errors import NotFoundError
from everloop.pipelines import graph
from everloop.pipelines.graph import Graph, Node
from everloop.pipelines.values import Stage
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


def chosen(
    workspace: Workspace,
    connected: Graph,
    words: Iterable[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    with_deps: bool = False,
    recursive: bool = False,
) -> dict[str, set[str] | None]:
    """The stages and `.dvc` files that words mean, with the outputs that are meant of each; None means all.

    Args:
        workspace: Where.
        connected: All that it has.
        words: Names or addresses of stages, `dvc.yaml` and `.dvc` files, outputs, data, paths inside of them.
        folder: What paths are relative to; None means the root.
        with_deps: Also all that these depend on.
        recursive: A folder means all that is described below it.

    Raises:
        NotFoundError: A word means nothing.
        InvalidError: A path lies outside of the workspace.
    """
    found: dict[str, set[str] | None] = {}
    for word in words:
        path = workspace.relative(os.path.join(folder, word) if folder else word)  # noqa: PTH118
        out = connected.holder(path)
        if path not in connected.nodes and recursive and (workspace.root / path).is_dir():
            addresses = [address for address, node in connected.nodes.items() if _is_below(path, node)]
        elif out is not None:
            addresses = [connected.resolve(out)]
        else:
            addresses = _addresses(connected, word, path) or [connected.resolve(word)]
        for address in addresses:
            before = found.get(address, set())
            found[address] = None if out is None or before is None else before | {out}
        if with_deps:
            found |= {address: None for address in connected.plan(addresses) if address not in found}
    return found


def _is_below(folder: str, node: Node) -> bool:
    file = node.file if isinstance(node, Stage) else node.path
    return folder == "." or file.startswith(folder + "/")


def _addresses(connected: Graph, word: str, path: str) -> list[str]:
    if path.rpartition("/")[2] == PIPELINE_FILE:
        return [stage.address for stage in connected.stages if stage.file == path]
    file, _, stage_name = path.rpartition(":")
    named = [stage.address for stage in connected.stages if (stage.file, stage.name) == (file, stage_name)]
    if named:
        return named
    for name in (path, word):
        try:
            return [connected.resolve(name)]
        except NotFoundError:
            continue
    return []
