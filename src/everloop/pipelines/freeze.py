"""Freeze stages and `.dvc` files, so that nothing runs or renews them, and unfreeze them again; comments stay."""

from __future__ import annotations

from everloop.errors import InvalidError
from everloop.pipelines.stagefile import StageFile, mark
from everloop.pipelines.stagelist import Listing
from everloop.pipelines.values import Stage
from everloop.workspace import Workspace, yamlfile
from everloop.workspace.autostage import stage as stage_in_git
from everloop.workspace.durable import write_atomically

_KEY = "frozen"


def set_frozen(workspace: Workspace, word: str, folder: str = ".", *, frozen: bool) -> list[str]:
    """Freeze or unfreeze what a word means.

    Args:
        workspace: Where.
        word: A stage, a group of `foreach` or `matrix` (all of it), or a `.dvc` file.
        folder: Where it is meant from, relative to the root.
        frozen: False unfreezes.

    Returns:
        The addresses that were changed; none when all was so already.

    Raises:
        NotFoundError: The word means nothing.
        InvalidError: It is one of a group, which can only be frozen as a whole.
    """
    with workspace.locked():
        listing = Listing(workspace, folder)
        changed = []
        written: set[tuple[str, str]] = set()
        for node in listing.find(word):
            if not isinstance(node, Stage):
                changed += [listing.address(node)] if _record(workspace, node.path, frozen) else []
                continue
            key = _key_of(workspace, node, word)
            if (node.file, key) not in written and _stage(workspace, node.file, key, frozen):
                written.add((node.file, key))
            changed += [listing.address(node)] if (node.file, key) in written else []
    return changed


def _key_of(workspace: Workspace, stage: Stage, word: str) -> str:
    """The key in the file that a stage comes from."""
    file = StageFile(workspace.root, stage.file)
    if stage.name in file:
        return stage.name
    group = stage.name.partition("@")[0]
    if "@" in word:
        raise InvalidError(
            f"{file.place(group)}: {stage.name} is one of {group}, which are written together",
            hint=f"all of them at once: {word.replace(stage.name, group)}",
        )
    return group


def _stage(workspace: Workspace, file: str, key: str, frozen: bool) -> bool:
    target = StageFile(workspace.root, file)
    if not target.mark(key, _KEY, True if frozen else None):
        return False
    target.write()
    stage_in_git(workspace, [file])
    return True


def _record(workspace: Workspace, file: str, frozen: bool) -> bool:
    path = workspace.root / file
    data = yamlfile.load_editable_mapping(path)
    if not mark(data, _KEY, True if frozen else None):
        return False
    write_atomically(path, yamlfile.dump(data))
    stage_in_git(workspace, [file])
    return True
