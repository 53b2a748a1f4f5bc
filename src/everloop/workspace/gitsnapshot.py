"""Commit what lies in a working tree without touching it, its index, or any branch.

Everything happens in a copy of the index, so that what Git knows of unchanged files is used. Leaves which reference
is to keep the commit to whoever asked for it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from everloop.workspace.git import Git


def write_tree(
    git: Git,
    scratch: Path,
    *,
    also: Iterable[str] = (),
    forced: Iterable[str] = (),
    contents: Mapping[str, bytes] | None = None,
    untracked: Iterable[str] | None = None,
) -> str:
    """Store the tracked files as they are on disk, as a Git tree.

    Args:
        git: The working tree; paths are relative to its folder.
        scratch: Where the copy of the index may lie; made when it is missing.
        also: Untracked files to take in, too; those that Git ignores, and those that are not there, are left out.
        forced: As `also`, but ignored files are taken, too, and all must be there.
        contents: What these files shall hold in the tree, whatever is on disk.
        untracked: As `Git.untracked` has just told it; None asks.

    Returns:
        The tree.

    Raises:
        InvalidError, FailedError: Git cannot read a file.
    """
    with _index_copy(git, scratch) as index:
        git.plumb("add", "--update", "--", ":/", index=index)
        new = {*among(git.untracked() if untracked is None else untracked, also), *forced}
        if new:
            git.plumb(
                "add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul",
                text="\0".join(f":(literal){path}" for path in sorted(new)), index=index,
            )  # fmt: skip
        if contents:
            _replace(git, index, contents)
        return git.plumb("write-tree", index=index).strip()


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that is to be made of a tree.

    Attributes:
        message: Of the commit.
        contents: What these files shall hold instead; paths are relative to the folder of the repository at hand.
    """

    message: str
    contents: dict[str, bytes] = {}


def commit_variants(git: Git, scratch: Path, tree: str, parent: str, variants: Sequence[Variant]) -> list[str]:
    """Make commits of one tree, each with other contents of some files, on no branch; all by one process.

    Args:
        git: Where.
        scratch: Where a file may lie meanwhile; made when it is missing.
        tree: What all have in common.
        parent: Of all of them.
        variants: What differs.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    marks = scratch / f"marks-{uuid.uuid4().hex}"
    # Git wants a name for each; what keeps them is up to whoever asked.
    passing = f"refs/everloop/passing/{uuid.uuid4().hex}"
    who = git.plumb("var", "GIT_COMMITTER_IDENT", identity=True).strip()
    place = git.prefix()
    told = [_told(f"{passing}/{n}", n, who, tree, parent, place, each) for n, each in enumerate(variants, 1)]
    # What is reset to nothing is not written at all.
    told += [f"reset {passing}/{n}\nfrom {'0' * len(parent)}\n\n" for n in range(1, len(variants) + 1)]
    try:
        git.plumb("fast-import", "--quiet", "--date-format=raw", f"--export-marks={marks}", text="".join(told))
        lines = (line.split() for line in marks.read_text().splitlines())
        made = {int(mark.removeprefix(":")): commit for mark, commit in lines}
    finally:
        marks.unlink(missing_ok=True)
    return [made[number] for number in range(1, len(variants) + 1)]


def _told(ref: str, number: int, who: str, tree: str, parent: str, place: str, variant: Variant) -> str:
    """A commit as `git fast-import` takes it."""
    lines = [f"commit {ref}\nmark :{number}\nauthor {who}\ncommitter {who}\n{_data(variant.message)}from {parent}\n"]
    lines.append(f'M 040000 {tree} ""\n')
    for path, content in variant.contents.items():
        quoted = f"{place}{path}".replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'M 100644 inline "{quoted}"\n{_data(content.decode("utf-8", "surrogateescape"))}')
    return "".join(lines)


def _data(text: str) -> str:
    return f"data {len(text.encode('utf-8', 'surrogateescape'))}\n{text}\n"


def commit_tree(git: Git, tree: str, parents: Iterable[str], message: str) -> str:
    """Make a commit of a tree, on no branch."""
    words = [word for parent in parents for word in ("-p", parent)]
    return git.plumb("commit-tree", tree, *words, "-F", "-", text=message, identity=True).strip()


def tree_of(git: Git, rev: str) -> str:
    """The tree of a commit."""
    return git.ask("rev-parse", "--verify", f"{rev}^{{tree}}").strip()


def among(found: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Those of the files found that are, or lie in, one of the paths; in their order."""
    wanted = set(paths)
    folders = tuple(f"{path.rstrip('/')}/" for path in wanted)
    return [path for path in found if path in wanted or path.startswith(folders)]


def _replace(git: Git, index: Path, contents: Mapping[str, bytes]) -> None:
    place = git.prefix()
    lines = []
    for path, data in contents.items():
        oid = git.plumb("hash-object", "-w", "--stdin", text=data.decode("utf-8", "surrogateescape")).strip()
        lines.append(f"100644 {oid}\t{place}{path}\0")
    git.plumb("update-index", "-z", "--index-info", text="".join(lines), index=index)


@contextmanager
def _index_copy(git: Git, scratch: Path) -> Iterator[Path]:
    original = git.index()
    scratch.mkdir(parents=True, exist_ok=True)
    copy = scratch / f"index-{uuid.uuid4().hex}"
    try:
        if original.exists():
            told = original.stat()
            copy.write_bytes(original.read_bytes())
            # With its time: by that Git tells which entries may have changed since it was written.
            os.utime(copy, ns=(told.st_atime_ns, told.st_mtime_ns))
        yield copy
    finally:
        copy.unlink(missing_ok=True)
        copy.with_name(copy.name + ".lock").unlink(missing_ok=True)
