"""Put the files and the data of an experiment into the workspace. What lay there before can be had back."""

from __future__ import annotations

import msgspec

from everloop.errors import ConflictError
from everloop.pipelines.experiments import refs
from everloop.workspace import CheckoutReport, Workspace, gitrefs, gitsnapshot

BEFORE = "refs/everloop/before-apply"


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What was put in place.

    Attributes:
        commit: The experiment's.
        written: Files that are other ones now.
        removed: Files that the experiment does not have.
        before: A commit of what these files held before, kept by `refs/everloop/before-apply`.
        data: What became of the data.
    """

    commit: str
    written: tuple[str, ...]
    removed: tuple[str, ...]
    before: str
    data: CheckoutReport


def apply(workspace: Workspace, name: str, *, force: bool = True) -> Applied:
    """Make the workspace hold what an experiment has. Branch, commit and index stay as they are.

    Args:
        workspace: Where.
        name: The experiment's, or any commit.
        force: Also where files were changed since the last commit; they are kept in `before`.

    Raises:
        NotFoundError: There is no such experiment, or its data are not in the cache.
        ConflictError: Without `force`: a changed file would be overwritten.
    """
    git = workspace.git
    commit = refs.resolve(git, name)
    with workspace.locked():
        also = _files_of(workspace, commit)
        before = gitsnapshot.write_tree(git, workspace.layout.scratch_dir, also=also)
        written, removed = _differences(workspace, before, gitsnapshot.tree_of(git, commit))
        if not force:
            _refuse_changed(workspace, before, [*written, *removed])
        kept = gitsnapshot.commit_tree(git, before, [git.head()], f"before the experiment {name} was applied")
        gitrefs.change(git, [gitrefs.RefChange(name=BEFORE, new=kept)])
        for path in removed:
            (git.top() / path).unlink(missing_ok=True)
        if written:
            git.plumb(
                "restore", f"--source={commit}", "--worktree", "--pathspec-from-file=-", "--pathspec-file-nul",
                text="\0".join(f":(top,literal){path}" for path in written),
            )  # fmt: skip
        data = workspace.checkout(force=True)
    return Applied(commit=commit, written=tuple(written), removed=tuple(removed), before=kept, data=data)


def _files_of(workspace: Workspace, commit: str) -> list[str]:
    listed = workspace.git.ask("ls-tree", "-r", "-z", "--name-only", commit)
    return [path for path in listed.split("\0") if path]


def _differences(workspace: Workspace, old: str, new: str) -> tuple[list[str], list[str]]:
    """The files that the new tree has otherwise, and those that it does not have, relative to the top."""
    words = workspace.git.ask("diff-tree", "-r", "-z", "--no-renames", "--name-status", old, new).split("\0")
    pairs = list(zip(words[::2], words[1::2], strict=False))
    return [path for kind, path in pairs if kind != "D"], [path for kind, path in pairs if kind == "D"]


def _refuse_changed(workspace: Workspace, before: str, paths: list[str]) -> None:
    written, removed = _differences(workspace, gitsnapshot.tree_of(workspace.git, "HEAD"), before)
    lost = sorted({*written, *removed} & set(paths))
    if lost:
        raise ConflictError(
            f"{lost[0]} was changed and would be overwritten",
            hint="commit it, or apply without --no-force: what it holds is kept",
        )
