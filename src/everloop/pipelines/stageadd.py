"""Add a stage to `dvc.yaml`, as `dvc stage add` writes it, after the pipeline with it was looked at as a whole.

Source: dvc 3.67 (`repo/stage.py`). Leaves the entry to `newstage.py`, the editing of the file to `stagefile.py`, and
running the stage to `repro.py`.
"""

from __future__ import annotations

import os
import string
from pathlib import PurePosixPath

import msgspec

from everloop.errors import ConflictError, InvalidError
from everloop.pipelines import definition, newstage
from everloop.pipelines.graph import Graph
from everloop.pipelines.newstage import NewStage
from everloop.pipelines.stagefile import StageFile, place_in
from everloop.pipelines.tree import FolderTree, Tree, pipeline_files
from everloop.pipelines.values import Stage
from everloop.workspace import Workspace
from everloop.workspace.autostage import stage as stage_in_git
from everloop.workspace.walk import DVC_SUFFIX, PIPELINE_FILE
from everloop.workspace.yamlfile import parse_editable_mapping

# Of a new stage; one that is written by hand may be called anything.
_FORBIDDEN_IN_NAMES = set(string.punctuation) - {"_", "-"}


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        stage: As it was read back from the file.
        not_ignored: Outputs whose folder does not exist, so that no `.gitignore` could be written beside them; `repro`
            writes it.
    """

    stage: Stage
    not_ignored: tuple[str, ...] = ()


def add_stage(workspace: Workspace, new: NewStage, folder: str = ".", *, force: bool = False) -> Added:
    """Write a stage into a folder's `dvc.yaml`, and its outputs into `.gitignore`.

    Args:
        workspace: Where.
        new: The stage.
        folder: Of the `dvc.yaml`, relative to the root.
        force: Replace a stage of that name; its `meta`, its description and what is noted at its outputs stay.

    Raises:
        ConflictError: There is a stage of that name, or its outputs overlap others; names file and line.
        InvalidError: The stage is malformed, leads out of the workspace, or makes a circle; nothing was written.
    """
    file = PurePosixPath(folder, PIPELINE_FILE).as_posix()
    home = _home(workspace, new, folder)
    with workspace.locked():
        target = StageFile(workspace.root, file)
        if new.name in target and not force:
            raise ConflictError(
                f"{target.place(new.name)}: there is a stage {new.name!r} already", hint="replace it: add --force"
            )
        target.put(new.name, newstage.entry_of(workspace, new, folder, home, target.entry(new.name) or {}))
        stage = _checked(workspace, _Draft(FolderTree(workspace), file, target.text()), new.name)
        target.write()
        beside = [out.path for out in stage.outs if out.is_cached]
        absent = [path for path in beside if not (workspace.root / path).parent.is_dir()]
        for path in beside:
            if path not in absent:
                workspace.keep_out_of_git(path)
        stage_in_git(workspace, [file, *beside])
    return Added(stage=stage, not_ignored=tuple(absent))


class _Draft:
    """The files of a workspace with one `dvc.yaml` as it would be."""

    def __init__(self, tree: Tree, file: str, text: bytes) -> None:
        self.name = tree.name
        self.file = file
        self.text = text
        self._tree = tree
        self.root = tree.root
        self.options = tree.options

    def described(self) -> list[str]:
        return sorted({*self._tree.described(), self.file})

    def read(self, path: str) -> bytes | None:
        return self.text if path == self.file else self._tree.read(path)

    def below(self, path: str) -> list[str]:
        return self._tree.below(path)


def _home(workspace: Workspace, new: NewStage, folder: str) -> str:
    """Where the stage runs, relative to the root."""
    if not new.name or _FORBIDDEN_IN_NAMES & set(new.name):
        raise InvalidError(f"a new stage's name has only letters, digits, - and _; found {new.name!r}")
    if not new.command.strip():
        raise InvalidError(f"stage {new.name}: there is no command", hint="write it behind the options")
    home = workspace.relative(os.path.join(folder, new.folder or ""))  # noqa: PTH118
    if not (workspace.root / home).is_dir():
        raise InvalidError(
            f"stage {new.name}: its folder {home} is not there", hint=f"mkdir -p {workspace.root / home}"
        )
    return home


def _checked(workspace: Workspace, draft: _Draft, name: str) -> Stage:
    """The stage as the draft has it, when it fits to all others."""
    stages = [stage for file in pipeline_files(draft) for stage in definition.read(draft, file).stages]
    data = list(workspace.dvc_files().values())
    (added,) = (stage for stage in stages if (stage.file, stage.name) == (draft.file, name))
    _refuse_paths(workspace, added)
    _refuse_overlaps(workspace, added, Graph([stage for stage in stages if stage is not added], data))
    try:
        Graph(stages, data)
    except InvalidError as error:
        place = place_in(draft.file, parse_editable_mapping(draft.text.decode(), draft.file), name)
        raise InvalidError(f"{place}, as it would be: {error.message}", hint=error.hint) from error
    return added


def _refuse_overlaps(workspace: Workspace, added: Stage, others: Graph) -> None:
    made = {out.path: address for address, node in others.nodes.items() for out in node.outs}
    for out in added.outs:
        around = others.holder(out.path)
        found = around or next((path for path in made if path.startswith(out.path + "/")), None)
        if found is None:
            continue
        node = others.nodes[made[found]]
        place = StageFile(workspace.root, node.file).place(node.name) if isinstance(node, Stage) else node.path
        how = "already" if found == out.path else f"already, and {out.path} would overlap it"
        raise ConflictError(
            f"{place}: {made[found]} makes {found} {how}", hint="give each output of a pipeline a path of its own"
        )


def _refuse_paths(workspace: Workspace, stage: Stage) -> None:
    seen: set[str] = set()
    for path in (*stage.deps, *stage.outs):
        if path.path in seen:
            raise InvalidError(
                f"stage {stage.name}: {path.written} is named more than once, as a dependency or an output"
            )
        seen.add(path.path)
        if PurePosixPath(path.path).name == PIPELINE_FILE or path.path.endswith(DVC_SUFFIX):
            raise InvalidError(
                f"stage {stage.name}: {path.written} describes data or stages, so it can be none of them"
            )
    for out in stage.outs:
        if workspace.dvcignore.ignores_or_parent(out.path, is_directory=False):
            raise InvalidError(f"stage {stage.name}: the output {out.written} is excluded by a .dvcignore file")
