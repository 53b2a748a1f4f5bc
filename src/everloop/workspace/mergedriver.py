"""What Git calls to merge `.dvc` files and `dvc.lock`: three files in, the result in the place of ours."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.errors import FailedError, InvalidError, NotFoundError
from everloop.workspace import yamlfile
from everloop.workspace.merge import Merged, merge, merged_listing

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


def merge_files(workspace: Workspace | None, base: Path, ours: Path, theirs: Path, *, name: str) -> tuple[str, ...]:
    """Merge into `ours`, as a Git merge driver does.

    Args:
        workspace: Whose cache has the directories' listings; None merges without them.
        base: The common ancestor; an empty file when there is none.
        ours: The file to merge into.
        theirs: The file to merge.
        name: The path that the three are versions of.

    Returns:
        The places of conflicts, which are marked in the file; empty when it is clean.

    Raises:
        FailedError: `git merge-file` failed.
    """
    try:
        texts = [yamlfile.read_text(path) for path in (base, ours, theirs)]
        merged = merge(*texts, name=name, merge_listings=_ListingMerge(workspace))
    except InvalidError:
        # One of them is no YAML, as a file with old conflict marks: Git merges it as the text that it is.
        merged = _as_text(base, ours, theirs)
    ours.write_bytes(merged.data)
    return merged.conflicts


class _ListingMerge:
    """Merges directories whose listings are in the cache."""

    def __init__(self, workspace: Workspace | None) -> None:
        self._workspace = workspace

    def __call__(self, base: str | None, ours: str, theirs: str) -> dict[str, Any] | None:
        if self._workspace is None:
            return None
        cache = self._workspace.cache
        try:
            listings = [cache.read_directory(md5) if md5 is not None else {} for md5 in (base, ours, theirs)]
        except (NotFoundError, InvalidError, FailedError):
            # Not here, or damaged: the two versions stay a conflict, which a person sees.
            return None
        files = merged_listing(*listings)
        if files is None:
            return None
        with cache.incoming() as incoming:
            md5 = incoming.add_directory(files)
        fields: dict[str, Any] = {"md5": md5}
        paths = [cache.path(each) for each in files.values()]
        if all(path.exists() for path in paths):
            fields["size"] = sum(path.stat().st_size for path in paths)
        return {**fields, "nfiles": len(files), "hash": "md5"}


def _as_text(base: Path, ours: Path, theirs: Path) -> Merged:
    if shutil.which("git") is None:
        raise FailedError("the command `git` was not found")
    done = subprocess.run(
        ["git", "merge-file", "-p", "-L", "ours", "-L", "base", "-L", "theirs", str(ours), str(base), str(theirs)],
        capture_output=True,
        check=False,
    )
    if done.returncode == 255:
        raise FailedError(f"git merge-file failed: {done.stderr.decode(errors='replace').strip()}")
    return Merged(data=done.stdout, conflicts=("the whole text",) if done.returncode else ())
