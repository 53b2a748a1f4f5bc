"""List stages and `.dvc` files with a line of description, and find those that words mean, as DVC does both.

Reads only the files that the words need, and can pass over files that cannot be read. Leaves how stages hang together
to `graph.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines import definition
from everloop.pipelines.tree import FolderTree, is_same_or_below
from everloop.pipelines.values import OutKind, Stage
from everloop.workspace import DvcFile, Workspace, dvcfile, yamlfile
from everloop.workspace.walk import DVC_SUFFIX, PIPELINE_FILE

Node = Stage | DvcFile
MOST_CHARACTERS = 80


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A stage or a `.dvc` file.

    Attributes:
        stage: Its address, as it is meant from the folder that was asked from.
        description: Its own, or what it makes, or what it depends on; at most 80 characters.
    """

    stage: str
    description: str


class Listing:
    """The stages and `.dvc` files of a workspace, read when they are asked for.

    Args:
        workspace: Where.
        folder: Where words are meant from, relative to the root.
        on_unreadable: Told of a file that is passed over because it cannot be read; None raises the error instead.
    """

    def __init__(
        self, workspace: Workspace, folder: str = ".", on_unreadable: Callable[[InvalidError], None] | None = None
    ) -> None:
        self._workspace = workspace
        self._folder = folder
        self._on_unreadable = on_unreadable
        self._tree = FolderTree(workspace)
        self._read: dict[str, list[Node]] = {}

    def all(self) -> list[Node]:
        """Everything; the stages of the root's `dvc.yaml` before those of folders."""
        files = sorted(self._tree.described(), key=lambda path: (path.count("/"), path))
        return [node for file in files for node in self._of(file)]

    def find(self, word: str, *, recursive: bool = False) -> list[Node]:
        """What a word means.

        Args:
            word: A `dvc.yaml` or `.dvc` file, `[FILE:]NAME`, the name of a group (`foreach`, `matrix`), or an output.
            recursive: A folder means all below it.

        Raises:
            NotFoundError: Nothing.
            InvalidError: A file cannot be read.
        """
        path = self._workspace.relative(os.path.join(self._folder, word))  # noqa: PTH118
        if path.endswith(DVC_SUFFIX) or PurePosixPath(path).name == PIPELINE_FILE:
            return self._of(path)
        if recursive and (self._workspace.root / path).is_dir():
            return [node for node in self.all() if is_same_or_below(_file_of(node), "" if path == "." else path)]
        found = self._named(path, word)
        if not found:
            raise NotFoundError(f"{word!r} is neither a stage nor an output", hint="ever stage list --all")
        return found

    def address(self, node: Node) -> str:
        """How a node is called from the folder."""
        file = _file_of(node)
        from_here = PurePosixPath(os.path.relpath(file, self._folder)).as_posix()
        if isinstance(node, DvcFile):
            return from_here
        return node.name if from_here == PIPELINE_FILE else f"{from_here}:{node.name}"

    def _named(self, path: str, word: str) -> list[Node]:
        file, colon, name = path.rpartition(":") if ":" in word else ("", "", word)
        file = file if colon else PurePosixPath(self._folder, PIPELINE_FILE).as_posix()
        if colon or (self._workspace.root / file).is_file():
            stages = [node for node in self._of(file) if isinstance(node, Stage)]
            named = [node for node in stages if name in (node.name, node.name.partition("@")[0])]
            if named or colon:
                return list(named)
        return [node for node in self.all() if any(is_same_or_below(path, out.path) for out in node.outs)]

    def _of(self, file: str) -> list[Node]:
        if file not in self._read:
            try:
                self._read[file] = self._load(file)
            except InvalidError as error:
                if self._on_unreadable is None:
                    raise
                self._on_unreadable(error)
                self._read[file] = []
        return self._read[file]

    def _load(self, file: str) -> list[Node]:
        if file.endswith(DVC_SUFFIX):
            return [dvcfile.read(self._workspace.root, file)]
        return list(definition.read(self._tree, file).stages)


def list_stages(
    workspace: Workspace,
    words: Iterable[str] = (),
    folder: str = ".",
    *,
    everything: bool = False,
    recursive: bool = False,
    on_unreadable: Callable[[InvalidError], None] | None = None,
) -> list[Listed]:
    """Describe stages, each once, in the order of the words.

    Args:
        workspace: Where.
        words: As in `Listing.find`; none means the folder's `dvc.yaml`.
        folder: Where they are meant from, relative to the root.
        everything: All stages and `.dvc` files instead.
        recursive: A folder means all below it.
        on_unreadable: As in `Listing`.

    Raises: as `Listing.find`.
    """
    listing = Listing(workspace, folder, on_unreadable)
    if everything:
        nodes = listing.all()
    else:
        nodes = [node for word in words or (PIPELINE_FILE,) for node in listing.find(word, recursive=recursive)]
    chosen = {listing.address(node): node for node in nodes}
    return [Listed(stage=address, description=_shortened(_about(workspace, n))) for address, n in chosen.items()]


def _file_of(node: Node) -> str:
    return node.file if isinstance(node, Stage) else node.path


def _about(workspace: Workspace, node: Node) -> str:
    if isinstance(node, DvcFile):
        said = (yamlfile.load_plain(workspace.root / node.path) or {}).get("desc")
        folder = PurePosixPath(node.path).parent
        made = ", ".join(PurePosixPath(out.path).relative_to(folder).as_posix() for out in node.outs)
        return _first_line(str(said or "")) or f"Outputs {made}"
    deps = [item.written for item in (*node.deps, *node.params)]
    if not node.outs:
        generated = f"Depends on {', '.join(deps)}" if deps else "No outputs or dependencies"
    else:
        plain = [out.written for out in node.outs if out.kind is OutKind.OUT]
        others = [out.written for out in node.outs if out.kind is not OutKind.OUT]
        parts = [f"{verb} {', '.join(paths)}" for verb, paths in (("Outputs", plain), ("Reports", others)) if paths]
        generated = "; ".join(parts)
    return _first_line(node.description) or generated


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line), "")


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
