"""Take what lies in the workspace as the result: of `.dvc` files their data, of stages deps, params and outputs.

Nothing is run. It is for those who know that their change leaves the result as it is, and for data that were added with
`--no-commit`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from everloop.errors import ConflictError, NotFoundError
from everloop.pipelines import changes, graph, lockfile
from everloop.pipelines.values import LockedStage, Stage
from everloop.workspace import Change, Content, DvcFile, Out, Workspace
from everloop.workspace.objectid import is_legacy

# Is asked whether changed things shall be recorded, with a sentence that names them.
Confirm = Callable[[str], bool]


def commit(
    workspace: Workspace,
    targets: Iterable[str | os.PathLike[str]] | None = None,
    *,
    confirm: Confirm,
    with_deps: bool = False,
    recursive: bool = False,
    relink: bool = True,
) -> list[str]:
    """Record the workspace as it is.

    Args:
        workspace: Where.
        targets: Stages, outputs, data, `.dvc` files; paths are absolute or relative to the root. None means all.
        confirm: Asked for each stage and `.dvc` file that changed; data whose hash is recorded are taken silently.
        with_deps: Also what the targets depend on.
        recursive: A target may be a folder: everything that is described below it.
        relink: Link the files to the cache where `cache.type` says hardlink or symlink.

    Returns:
        Addresses of what was recorded.

    Raises:
        NotFoundError: A target is not known, or its data are not there.
        ConflictError: Something changed, and it was not confirmed.
    """
    whole = graph.load(workspace)
    committed = []
    with workspace.locked():
        for address in _chosen(workspace, whole, targets, with_deps=with_deps, recursive=recursive):
            node = whole.nodes[address]
            if isinstance(node, Stage):
                _commit_stage(workspace, node, confirm, relink=relink)
            else:
                _commit_data(workspace, node, confirm, relink=relink)
            committed.append(address)
        workspace.contents.save()
    return committed


def _chosen(
    workspace: Workspace,
    whole: graph.Graph,
    targets: Iterable[str | os.PathLike[str]] | None,
    *,
    with_deps: bool,
    recursive: bool,
) -> list[str]:
    if targets is None:
        return whole.plan(None)
    addresses: list[str] = []
    for target in targets:
        name = os.fspath(target)
        if name not in whole.nodes:
            name = workspace.relative(target)
        if recursive and (workspace.root / name).is_dir():
            addresses += [address for address, node in whole.nodes.items() if _is_below(name, _file(node))]
        else:
            addresses.append(whole.resolve(name))
    return whole.plan(addresses) if with_deps else list(dict.fromkeys(addresses))


def _file(node: graph.Node) -> str:
    return node.file if isinstance(node, Stage) else node.path


def _is_below(folder: str, file: str) -> bool:
    return folder == "." or file.startswith(folder + "/")


def _commit_data(workspace: Workspace, file: DvcFile, confirm: Confirm, *, relink: bool) -> None:
    found = {out.path: workspace.change_of(out) for out in file.outs}
    gone = [path for path, change in found.items() if change is Change.DELETED]
    if gone:
        raise NotFoundError(f"{gone[0]} of {file.path} does not exist", hint=f"ever checkout {gone[0]}")
    changed = [path for path, change in found.items() if change in (Change.MODIFIED, Change.NEW)]
    if changed:
        _require(confirm, f"{', '.join(changed)} of {file.path} changed")
        workspace.add(changed, relink=relink)
    kept = [out for out in file.outs if out.is_cached and out.path not in changed]
    legacy = [out.path for out in kept if out.content is not None and is_legacy(out.content.md5)]
    if legacy:
        # Whole in the cache they stay as they are; else they become objects of DVC 3, which the record must tell.
        workspace.add(legacy, relink=relink)
    same = [out for out in kept if out.path not in legacy]
    workspace.commit([out.path for out in same], relink=relink)
    # Their bytes are what is recorded; a bit, a link or an empty folder may not be.
    renewed = [out.path for out in same if not file.is_import and workspace.contents.traits(out.path) != out.traits]
    if renewed:
        workspace.add(renewed, relink=relink)


def _commit_stage(workspace: Workspace, stage: Stage, confirm: Confirm, *, relink: bool) -> None:
    path = workspace.root / lockfile.path_for(stage.file)
    difference = changes.compare(workspace, stage, lockfile.read(path).get(stage.name))
    gone = [name for name, change in {**difference.deps, **difference.outs}.items() if change is Change.DELETED]
    if gone:
        raise NotFoundError(f"{gone[0]} of stage {stage.address} does not exist", hint=f"ever repro {stage.address}")
    outs_changed = [name for name, change in difference.outs.items() if change is not Change.NOT_IN_CACHE]
    if difference.inputs_changed or outs_changed:
        said = changes.sentences(stage, difference) + changes.out_sentences(difference)
        _require(confirm, f"stage {stage.address} would be recorded without running it: {'; '.join(said)}")
    before = lockfile.read(path).get(stage.name)
    recorded = _as_recorded(workspace, stage, before)
    new = [out.path for out in stage.outs if out.is_cached and out.path not in recorded]
    kept = recorded | workspace.commit(new, relink=relink)
    for out in stage.outs:
        if out.is_cached:
            workspace.keep_out_of_git(out.path)
    locked = LockedStage(
        command=stage.command,
        deps={dep.written: recorded.get(dep.path) or _measured(workspace, dep.path) for dep in stage.deps},
        params={item.written: changes.current_params(workspace, item) for item in stage.params},
        outs={out.written: kept.get(out.path) or _measured(workspace, out.path) for out in stage.outs},
    )
    if locked != before:
        # Else what it says beside the content, as the versions in a cloud, would go.
        lockfile.write_stage(path, stage.name, locked)


def _as_recorded(workspace: Workspace, stage: Stage, before: LockedStage | None) -> dict[str, Content]:
    """What DVC 2 has recorded and is whole as it was, `{path: content}`: it stays as it is, as with DVC."""
    if before is None:
        return {}
    outs = [Out(path=out.path, content=before.outs.get(out.written), is_cached=out.is_cached) for out in stage.outs]
    outs += [Out(path=dep.path, content=before.deps.get(dep.written), is_cached=False) for dep in stage.deps]
    return {
        out.path: out.content
        for out in outs
        if out.content is not None and is_legacy(out.content.md5) and workspace.change_of(out) is None
    }


def _measured(workspace: Workspace, path: str) -> Content:
    content = workspace.measure(path)
    if content is None:
        raise NotFoundError(f"{path} does not exist in {workspace.root}")
    return content


def _require(confirm: Confirm, sentence: str) -> None:
    if not confirm(sentence):
        raise ConflictError(f"{sentence}; it was not recorded", hint="record it all the same: ever commit --force")
