"""The few things the workspace and the loop ask of Git, through the `git` command.

No library's idea of Git comes between: what a person sees with `git log` is what happened here; only what is checked
out and what references name is read out of files, see `gitfiles.py`. Hooks and signing are not run, because nobody may
be there to answer them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.errors import ConflictError, EverloopError, FailedError, InvalidError, NotFoundError, NotInstalledError
from everloop.workspace.gitfiles import GitFiles

if TYPE_CHECKING:
    import subprocess

# `git rev-parse --local-env-vars`: inside of a hook they would bend every command to the repository of the hook.
_BENDING_VARIABLES = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
_SETTINGS = ("core.hooksPath=/dev/null", "commit.gpgSign=false", "advice.detachedHead=false", "gc.auto=0")
_QUIET = tuple(word for setting in _SETTINGS for word in ("-c", setting))
_IDENTITY = ("Everloop", "everloop@localhost")
# What Git says, always in English here, where nobody has told it who the user is.
_SAID_WITHOUT_IDENTITY = ("was given and auto-detection is disabled", "empty ident name")
_LOCK_PATIENCE_S = 10.0
_POLL_S = 0.05
# Without /proc nobody can tell whether a lock's owner lives; no Git command of ours takes this long.
_STALE_AGE_S = 600.0


class Git:
    """The repository that a folder is, or lies in. Holds nothing but the folder, so it can be shared by threads."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    @cached_property
    def files(self) -> GitFiles | None:
        """What can be read without Git; None when that is nothing, also before there is a repository."""
        return GitFiles.around(self._folder.resolve())

    def init(self) -> None:
        """Make the folder a repository with the branch `main`; harmless on an existing one."""
        self._run("init", "--quiet", "--initial-branch=main")

    def init_bare(self) -> None:
        """Make the folder a repository without a working tree; harmless on an existing one."""
        self._run("init", "--quiet", "--bare")

    def fetch(self, url: str, refspecs: Iterable[str]) -> None:
        """Bring references with all they need from another repository; local ones it has no more are removed.

        Raises:
            FailedError: It cannot be reached, or is none.
        """
        self._run("fetch", "--quiet", "--prune", "--no-write-fetch-head", "--end-of-options", url, *refspecs)

    def is_repository(self) -> bool:
        """Whether the folder is, or lies in, a working tree."""
        if self.files is not None and self.files.has_own_top():
            return True
        done = self._try("rev-parse", "--is-inside-work-tree")
        return done.returncode == 0 and done.stdout.strip() == "true"

    def head(self) -> str:
        """The commit that is checked out, 40 hex digits.

        Raises:
            NotFoundError: There is no repository, or no commit yet.
        """
        known = self.files.head() if self.files is not None else None
        if known is not None:
            return known
        done = self._try("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if done.returncode != 0:
            raise NotFoundError(
                f"{self._folder} has no Git commit yet", hint="make the first one: git add -A && git commit -m 'Start'"
            )
        return done.stdout.strip()

    def resolve(self, rev: str) -> str:
        """The commit that a revision (branch, tag, hash, `HEAD~2`, ...) names, as a full hash.

        Raises:
            NotFoundError: There is no such commit, or no repository.
        """
        if rev == "HEAD" and self.files is not None and (known := self.files.head()) is not None:
            return known
        done = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
        if done.returncode != 0:
            raise NotFoundError(f"{rev!r} is no commit of {self._folder}", hint="see them: git log --all --oneline")
        return done.stdout.strip()

    def has_commits(self) -> bool:
        """Whether a commit is checked out; False outside of a repository, too."""
        try:
            self.head()
        except NotFoundError:
            return False
        return True

    def branch(self) -> str | None:
        """The reference that is checked out, as `refs/heads/main`; None when that is a commit."""
        known = self.files.branch() if self.files is not None else None
        if known is not None:
            return known
        done = self._try("symbolic-ref", "--quiet", "HEAD")
        return done.stdout.strip() if done.returncode == 0 else None

    def index(self) -> Path:
        """The file of the index, which may not be there yet; absolute."""
        if self.files is not None:
            return self.files.index
        return Path(self._run("rev-parse", "--path-format=absolute", "--git-path", "index").strip())

    def prefix(self) -> str:
        """The folder relative to the top of the working tree, with a slash at its end; empty when it is the top."""
        if self.files is not None and self.files.has_own_top():
            inner = self._folder.resolve().relative_to(self.files.top).as_posix()
            return "" if inner == "." else f"{inner}/"
        return self._run("rev-parse", "--show-prefix").removesuffix("\n")

    def untracked(self) -> list[str]:
        """The files below the folder that are neither tracked nor ignored, relative to it, sorted."""
        listed = self._run("ls-files", "-z", "--others", "--exclude-standard")
        return sorted(path for path in listed.split("\0") if path)

    def ask(self, *words: str) -> str:
        """What a Git command that changes nothing prints.

        Raises:
            NotFoundError: There is no repository.
            FailedError: It failed.
        """
        return self._run(*words)

    def plumb(self, *words: str, text: str | None = None, index: Path | None = None, identity: bool = False) -> str:
        """What a plumbing command prints.

        Args:
            words: Of the command, without `git`.
            text: Its standard input; None means nothing.
            index: The file to use as the index; None means the repository's own.
            identity: Commit as Everloop where Git does not know who the user is.

        Raises:
            NotFoundError: There is no repository.
            InvalidError, FailedError: It failed.
        """
        return self._run(*words, identity=identity, text=text, index=index)

    def setting(self, key: str, scope: str = "") -> str:
        """A value of Git's configuration; empty when it is not set.

        Args:
            key: As `core.hooksPath`.
            scope: `--local`, `--global`, `--system`; empty means the one that counts.
        """
        words = ("config", scope, "--get", key) if scope else ("config", "--get", key)
        return self._try(*words).stdout.strip()

    def configure(self, key: str, value: str) -> None:
        """Set a value in the configuration of this repository."""
        self._run("config", "--local", key, value)

    def is_dirty(self, *, untracked: bool = False) -> bool:
        """Whether tracked files (and with `untracked` new ones that are not ignored) differ from the commit."""
        mode = "normal" if untracked else "no"
        return bool(self._run("status", "--porcelain", f"--untracked-files={mode}").strip())

    def patch(self) -> str:
        """All changes of tracked files against the commit, staged or not, as `git apply` takes them; may be empty."""
        return self._run("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff")

    def apply(self, patch: str | os.PathLike[str]) -> None:
        """Change files as a patch in a file says.

        Raises:
            FailedError: It does not fit.
        """
        self._run("apply", "--whitespace=nowarn", os.fspath(patch))

    def tracked(self, paths: Sequence[str]) -> list[str]:
        """The tracked files at or below the paths, relative to the folder."""
        if not paths:
            return []
        listed = self._run("ls-files", "-z", "--", *(f":(literal){path}" for path in paths))
        return [path for path in listed.split("\0") if path]

    def commit(self, paths: Iterable[str | os.PathLike[str]], message: str) -> str:
        """Commit these paths as they are on disk, and nothing else that may be staged.

        Args:
            paths: Files or folders, relative to the folder or absolute; deleted ones are committed as deleted.
            message: The commit message.

        Returns:
            The new commit, or the present one when the paths hold nothing new.

        Raises:
            InvalidError: A path is unknown, ignored or outside.
            ConflictError: Another Git command held the index too long.
        """
        chosen = [f":(literal){os.fspath(path)}" for path in paths]
        if not chosen:
            return self.head()
        self._locked_run("add", "--all", "--", *chosen)
        has_head = self._try("rev-parse", "--verify", "--quiet", "HEAD").returncode == 0
        if has_head and self._try("diff", "--cached", "--quiet", "HEAD", "--", *chosen).returncode == 0:
            return self.head()
        self._locked_run("commit", "--quiet", "--only", f"--message={message}", "--", *chosen, identity=True)
        return self.head()

    def stage(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """Take paths into the index as they are on disk; deleted ones as deleted, ignored ones not at all.

        Raises:
            InvalidError: A path is unknown or outside.
            ConflictError: Another Git command held the index too long.
        """
        chosen = [f":(literal){os.fspath(path)}" for path in paths]
        if chosen:
            self._locked_run("add", "--all", "--", *chosen)

    def add_worktree(self, path: str | os.PathLike[str], rev: str) -> None:
        """Check a commit out into a fresh folder beside the main one, on no branch.

        A worktree that is there already, also one that a crash has left half made, is removed first.

        Raises:
            NotFoundError: There is no such commit.
            ConflictError: Something else than a worktree of this repository lies there.
        """
        target = Path(path).absolute()
        self.remove_worktree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        words = ("worktree", "add", "--quiet", "--force", "--detach", str(target), rev)
        done = self._try(*words)
        if done.returncode != 0:
            # Asked only now, because it most often is one.
            self.resolve(rev)
            raise _failure(self._folder, words, done)

    def remove_worktree(self, path: str | os.PathLike[str]) -> None:
        """Remove a worktree with everything in it; harmless when it is not there, or only half.

        Raises:
            ConflictError: Something else than a worktree of this repository lies there.
        """
        target = Path(path).absolute()
        is_known = target.resolve() in self._worktrees()
        if is_known:
            # Twice: a worktree whose making was cut off is still locked.
            if self._try("worktree", "remove", "--force", "--force", str(target)).returncode == 0:
                return
            # Of one that is there only in part Git says that it is none. A locked one is not pruned.
            self._try("worktree", "unlock", str(target))
        elif target.exists() and any(target.iterdir()) and not (target / ".git").is_file():
            raise ConflictError(
                f"{target} is not a worktree of {self._folder}", hint="move it away or name another folder"
            )
        if target.exists():
            from shutil import rmtree

            rmtree(target)
        if is_known:
            self._run("worktree", "prune", "--expire=now")

    def update_ref(self, ref: str, sha: str) -> None:
        """Let a reference, as `refs/everloop/runs/7f3a`, point to a commit, so that Git keeps it.

        Raises:
            InvalidError: The reference is malformed or the commit unknown.
        """
        self._run("update-ref", "--create-reflog", ref, sha)

    def _worktrees(self) -> set[Path]:
        if self.files is not None:
            return set(self.files.worktrees())
        lines = self._run("worktree", "list", "--porcelain").splitlines()
        listed = [Path(line.removeprefix("worktree ")).resolve() for line in lines if line.startswith("worktree ")]
        # The first is the main one, which must never be removed.
        return set(listed[1:])

    def _run(self, *words: str, identity: bool = False, text: str | None = None, index: Path | None = None) -> str:
        done = self._try(*words, identity=identity, text=text, index=index)
        if done.returncode != 0:
            raise _failure(self._folder, words, done)
        return done.stdout

    def _locked_run(self, *words: str, identity: bool = False) -> None:
        """Run a command that writes the index: wait for another Git, and clear away the lock of a dead one."""
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            done = self._try(*words, identity=identity)
            if done.returncode == 0:
                return
            if "index.lock" not in done.stderr:
                raise _failure(self._folder, words, done)
            lock = self.index().with_name("index.lock")
            if _is_stale(lock, self.top()):
                lock.unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise ConflictError(
                    f"{lock} is held by another Git command for more than {_LOCK_PATIENCE_S:g} s",
                    hint=f"wait for it; if none is running: rm {lock}",
                )
            time.sleep(_POLL_S)

    def top(self) -> Path:
        """The top folder of the working tree."""
        if self.files is not None and self.files.has_own_top():
            return self.files.top
        return Path(self._run("rev-parse", "--show-toplevel").strip())

    def _try(
        self, *words: str, identity: bool = False, text: str | None = None, index: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = command_environment()
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        if not identity:
            return self._call(words, text, environment)
        done = self._call(("-c", "user.useConfigOnly=true", *words), text, environment)
        if done.returncode == 0 or not any(said in done.stderr for said in _SAID_WITHOUT_IDENTITY):
            return done
        name, email = _IDENTITY
        for role in ("AUTHOR", "COMMITTER"):
            environment.setdefault(f"GIT_{role}_NAME", name)
            environment.setdefault(f"GIT_{role}_EMAIL", email)
        return self._call(words, text, environment)

    def _call(
        self, words: Sequence[str], text: str | None, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        # Here, because much is done without Git.
        import subprocess

        try:
            return subprocess.run(
                ["git", *_QUIET, *words],
                cwd=self._folder,
                env=environment,
                # Of nothing to say, too, it is closed at once.
                input=text or "",
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                check=False,
            )
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise NotFoundError(f"the folder {self._folder} does not exist") from error
            raise NotInstalledError("the command `git` was not found", hint="install Git, or put it on PATH") from error


def command_environment() -> dict[str, str]:
    """The environment for a `git` command: no questions, no translations, nothing that bends it elsewhere."""
    environment = {key: value for key, value in os.environ.items() if key not in _BENDING_VARIABLES}
    return environment | {
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def _failure(folder: Path, words: Sequence[str], done: subprocess.CompletedProcess[str]) -> EverloopError:
    said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
    message = f"git {words[0]} failed in {folder}: {said}"
    if "not a git repository" in said:
        return NotFoundError(f"{folder} is not in a Git repository", hint="make it one: git init")
    if words[0] in ("add", "update-ref"):
        return InvalidError(message)
    return FailedError(message)


def _is_stale(lock: Path, top: Path) -> bool:
    """Whether nobody alive can own the lock: no `git` process has its place in this working tree.

    Git closes the lock's file while it holds it, so an open file would not tell.
    """
    try:
        age_s = time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return False
    if not Path("/proc/self/cwd").exists():
        return age_s > _STALE_AGE_S
    return not any(place.is_relative_to(top.resolve()) for place in _places_of_git())


def _places_of_git() -> Iterator[Path]:
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if (process / "comm").read_text().startswith("git"):
                yield (process / "cwd").readlink()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # It ended meanwhile, or belongs to another user.
            continue
