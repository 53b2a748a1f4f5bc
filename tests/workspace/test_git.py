from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import Git, Workspace
from everloop.workspace import git as git_module


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    Git(folder).init()
    (folder / "a").write_text("1\n")
    Git(folder).commit(["a"], "First")
    return folder


def ask(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_works_without_an_identity_and_returns_the_new_head(repository: Path) -> None:
    assert Git(repository).head() == ask(repository, "rev-parse", "HEAD")
    assert ask(repository, "log", "-1", "--format=%an <%ae> %s") == "Everloop <everloop@localhost> First"


def test_identity_of_the_user_is_kept(repository: Path) -> None:
    ask(repository, "config", "user.name", "Ada")
    ask(repository, "config", "user.email", "ada@example.org")
    (repository / "a").write_text("2\n")
    Git(repository).commit(["a"], "Second")
    assert ask(repository, "log", "-1", "--format=%an") == "Ada"


def test_commit_takes_only_its_paths(repository: Path) -> None:
    (repository / "a").write_text("2\n")
    (repository / "new").write_text("n\n")
    (repository / "staged").write_text("s\n")
    ask(repository, "add", "staged")
    Git(repository).commit(["new"], "Only new")
    assert ask(repository, "show", "--format=", "--name-only", "HEAD") == "new"
    assert ask(repository, "status", "--porcelain").splitlines() == ["M a", "A  staged"]


def test_commit_of_nothing_new_returns_head(repository: Path) -> None:
    git = Git(repository)
    assert git.commit(["a"], "Nothing") == git.head()
    assert ask(repository, "rev-list", "--count", "HEAD") == "1"


def test_commit_takes_absolute_paths_and_folders(repository: Path) -> None:
    (repository / "sub").mkdir()
    (repository / "sub/*").write_text("star\n")
    (repository / "other").write_text("o\n")
    Git(repository).commit([repository / "sub"], "Folder")
    assert ask(repository, "show", "--format=", "--name-only", "HEAD") == "sub/*"


def test_commit_of_a_deleted_file(repository: Path) -> None:
    (repository / "a").unlink()
    Git(repository).commit(["a"], "Gone")
    assert ask(repository, "ls-files") == ""


def test_commit_of_an_unknown_path_names_it(repository: Path) -> None:
    with pytest.raises(InvalidError, match="nowhere"):
        Git(repository).commit(["nowhere"], "x")


def test_dirty_and_patch(repository: Path) -> None:
    git = Git(repository)
    assert not git.is_dirty()
    assert git.patch() == ""
    (repository / "new").write_text("n\n")
    assert not git.is_dirty()
    assert git.is_dirty(untracked=True)
    (repository / "a").write_text("2\n")
    ask(repository, "add", "a")
    assert git.is_dirty()
    assert "+2" in git.patch()


def test_environment_of_a_hook_does_not_bend_commands(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert len(Git(repository).head()) == 40


def test_head_without_commit_and_outside_of_a_repository(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no Git commit"):
        Git(tmp_path).head()
    assert not Git(tmp_path).is_repository()
    with pytest.raises(NotFoundError, match="git init"):
        Git(tmp_path).is_dirty()


def test_worktree_is_made_and_removed_twice(repository: Path, tmp_path: Path) -> None:
    git, tree = Git(repository), tmp_path / "trees/one"
    git.add_worktree(tree, "HEAD")
    assert (tree / "a").read_text() == "1\n"
    assert Git(tree).head() == git.head()
    git.remove_worktree(tree)
    git.remove_worktree(tree)
    assert not tree.exists()
    assert len(ask(repository, "worktree", "list").splitlines()) == 1


def test_half_made_worktree_is_made_anew(repository: Path, tmp_path: Path) -> None:
    git, tree = Git(repository), tmp_path / "one"
    git.add_worktree(tree, "HEAD")
    # What a crash within `git worktree add` leaves: the lock of its making, an index lock, files missing.
    private = repository / ".git/worktrees/one"
    (private / "locked").write_text("initializing")
    (private / "index.lock").touch()
    (tree / "a").unlink()
    git.add_worktree(tree, "HEAD")
    assert (tree / "a").read_text() == "1\n"
    assert not Git(tree).is_dirty()


def test_worktree_without_its_folder_is_made_anew(repository: Path, tmp_path: Path) -> None:
    git, tree = Git(repository), tmp_path / "one"
    git.add_worktree(tree, "HEAD")
    (repository / ".git/worktrees/one/locked").write_text("initializing")
    (tree / ".git").unlink()
    (tree / "a").unlink()
    git.add_worktree(tree, "HEAD")
    assert (tree / "a").exists()


def test_folder_with_other_files_is_left_alone(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").touch()
    with pytest.raises(ConflictError, match="is not a worktree"):
        Git(repository).add_worktree(other, "HEAD")
    with pytest.raises(ConflictError, match="is not a worktree"):
        Git(repository).remove_worktree(other)
    assert (other / "precious").exists()


def test_worktree_of_an_unknown_commit_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no commit"):
        Git(repository).add_worktree(tmp_path / "one", "deadbeef")


def test_stale_index_lock_is_cleared(repository: Path) -> None:
    (repository / ".git/index.lock").touch()
    (repository / "a").write_text("2\n")
    Git(repository).commit(["a"], "After a crash")
    assert not (repository / ".git/index.lock").exists()


def test_index_lock_of_a_living_git_is_respected(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "_LOCK_PATIENCE_S", 0.0)
    (repository / ".git/index.lock").touch()
    # A Git that waits for its input, in this working tree.
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=repository, stdin=subprocess.PIPE) as living:
        with pytest.raises(ConflictError, match="another Git command"):
            Git(repository).commit(["a"], "x")
        living.kill()
    assert (repository / ".git/index.lock").exists()


def test_worktree_is_a_workspace_that_shares_the_cache(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "data").write_text("1")
    workspace.add(["data"])
    workspace.git.commit([".dvc", ".dvcignore", ".gitignore", "data.dvc"], "Data")
    tree = tmp_path / "tree"
    workspace.git.add_worktree(tree, "HEAD")
    (tree / ".dvc/config.local").write_text(f"[cache]\n    dir = {workspace.cache.root}\n")
    other = Workspace.open(tree)
    other.checkout()
    assert (tree / "data").read_text() == "1"
    assert not other.git.is_dirty(untracked=True)
    workspace.git.remove_worktree(tree)


def test_update_ref(repository: Path) -> None:
    git = Git(repository)
    git.update_ref("refs/everloop/runs/1", git.head())
    assert ask(repository, "rev-parse", "refs/everloop/runs/1") == git.head()
    with pytest.raises(InvalidError):
        git.update_ref("refs/everloop/runs/2", "zzz")
