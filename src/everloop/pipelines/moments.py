"""The moments that a command compares: the workspace now, and Git revisions, each as a tree under the name asked for.

The names, and their order, are those of DVC, whose JSON has them as keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from everloop.errors import FailedError, NotFoundError
from everloop.pipelines.tree import FolderTree, Tree, TreeReader, commit_trees, is_same_or_below
from everloop.workspace import Out, Revision, Workspace

WORKSPACE = "workspace"
_EXPERIMENTS = "refs/exps/"
_NO_EXPERIMENTS = ("refs/exps/exec/", "refs/exps/stash", "refs/exps/celery/", "refs/exps/apply/")


class RevisionScope(msgspec.Struct, frozen=True, kw_only=True):
    """Which moments are meant.

    Attributes:
        revs: Branches, tags, hashes, names of experiments; `workspace` is the workspace.
        all_branches: The tips of all local branches.
        all_tags: All tags.
        all_commits: All commits that branches and tags reach; the other two say nothing then.
    """

    revs: tuple[str, ...] = ()
    all_branches: bool = False
    all_tags: bool = False
    all_commits: bool = False

    @property
    def is_now(self) -> bool:
        """Only the workspace is meant."""
        return not (self.revs or self.all_branches or self.all_tags or self.all_commits)


class NowTree(FolderTree):
    """The files as they are now; data under version that are not in place come from the cache."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._outs: list[Out] | None = None

    def read(self, path: str) -> bytes | None:
        found = super().read(path)
        return self._stored(path) if found is None else found

    def below(self, path: str) -> list[str]:
        return super().below(path) or sorted(file for file, _ in self._objects(path))

    def _stored(self, path: str) -> bytes | None:
        for file, md5 in self._objects(path):
            if file == path and self._workspace.cache.has(md5):
                return self._workspace.cache.path(md5).read_bytes()
        return None

    def _objects(self, path: str) -> Iterator[tuple[str, str]]:
        """The files that records have at or below a path, with their hashes."""
        if self._outs is None:
            self._outs = list(self._workspace.outs())
        for out in self._outs:
            is_meant = is_same_or_below(path, out.path) or is_same_or_below(out.path, path)
            if out.content is None or not out.is_cached or not is_meant:
                continue
            md5 = out.content.md5
            if not out.content.is_directory:
                yield out.path, md5
            elif self._workspace.cache.has(md5):
                listing = self._workspace.cache.read_directory(md5)
                files = ((f"{out.path}/{name}", inner) for name, inner in listing.items())
                yield from ((file, inner) for file, inner in files if is_same_or_below(file, path))


@contextmanager
def moments(workspace: Workspace, scope: RevisionScope) -> Iterator[list[tuple[str, Tree]]]:
    """The trees of a scope by their names, the workspace first.

    The workspace alone is called ""; beside revisions it is `workspace`. A commit is called by all names that mean it,
    as `main,v1`, or by its hash.

    Raises:
        NotFoundError: A revision is no commit, or there is no repository.
    """
    now = NowTree(workspace)
    if scope.is_now:
        yield [("", now)]
        return
    chosen = _revisions(workspace, scope)
    if not chosen:
        yield [(WORKSPACE, now)]
        return
    with commit_trees(workspace) as reader:
        yield [(WORKSPACE, now), *_commits(reader, chosen)]


@contextmanager
def moments_of(workspace: Workspace, revs: Sequence[str]) -> Iterator[list[tuple[str, Tree]]]:
    """The trees of the revisions in their order, each under its own name; the workspace comes first if it is named.

    Raises: as `moments`.
    """
    named = list(dict.fromkeys(revs))
    commits = [Revision(commit=resolve(workspace, rev), names=(rev,)) for rev in named if rev != WORKSPACE]
    now: list[tuple[str, Tree]] = [(WORKSPACE, NowTree(workspace))] if WORKSPACE in named else []
    if not commits:
        yield now
        return
    with commit_trees(workspace) as reader:
        yield [*now, *_commits(reader, commits)]


def resolve(workspace: Workspace, rev: str) -> str:
    """The commit that a revision, or the name of an experiment, means.

    Raises:
        NotFoundError: Neither has that name, or several experiments do.
    """
    try:
        return workspace.git.resolve(rev)
    except NotFoundError:
        found = dict(_experiments(workspace, rev))
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise NotFoundError(f"{rev!r} names several experiments", hint=f"name one: {', '.join(found)}") from None
        raise


def has_commits(workspace: Workspace) -> bool:
    """Whether there is anything to compare with.

    Raises:
        NotFoundError: There is no repository.
    """
    if workspace.git.has_commits():
        return True
    # No repository is something else than one without a commit.
    workspace.git.top()
    return False


def active_branch(workspace: Workspace) -> str | None:
    """The branch that is checked out; None on no branch."""
    try:
        return workspace.git.ask("symbolic-ref", "--quiet", "--short", "HEAD").strip()
    except FailedError:
        return None


def _revisions(workspace: Workspace, scope: RevisionScope) -> list[Revision]:
    revs = [rev for rev in dict.fromkeys(scope.revs) if rev != WORKSPACE]
    named: dict[str, list[str]] = {}
    for rev in revs:
        named.setdefault(resolve(workspace, rev), []).append(rev)
    if scope.all_branches or scope.all_tags or scope.all_commits:
        further = workspace.revisions(
            [],
            all_branches=scope.all_branches and not scope.all_commits,
            all_tags=scope.all_tags and not scope.all_commits,
            all_commits=scope.all_commits,
        )
        for revision in further:
            names = revision.names or (revision.commit,)
            known = named.setdefault(revision.commit, [])
            known += [name for name in names if name not in known]
    return [Revision(commit=commit, names=tuple(names)) for commit, names in named.items()]


def _commits(reader: TreeReader, revisions: Iterable[Revision]) -> list[tuple[str, Tree]]:
    return [(name, reader.at(revision, name)) for revision in revisions for name in [",".join(revision.names)]]


def _experiments(workspace: Workspace, name: str) -> Iterator[tuple[str, str]]:
    listed = workspace.git.ask("for-each-ref", "--format=%(objectname) %(refname)", _EXPERIMENTS)
    for line in listed.splitlines():
        commit, _, ref = line.partition(" ")
        if ref.rpartition("/")[2] == name and not ref.startswith(_NO_EXPERIMENTS):
            yield ref, commit
