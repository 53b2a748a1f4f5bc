from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from everloop.pipelines.experiments import selection
from everloop.workspace import Git, gitrefs
from everloop.workspace.gitfiles import GitFiles

ROLES = ("AUTHOR", "COMMITTER")


def ask(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (f"GIT_{role}_{part}" for role in ROLES for part in ("NAME", "EMAIL")):
        monkeypatch.setenv(name, "a@b")
    root = tmp_path / "repository"
    (root / "inner").mkdir(parents=True)
    ask(root, "init", "--quiet", "-b", "main")
    for number in range(3):
        ask(root, "commit", "--quiet", "--allow-empty", "-m", str(number))
        ask(root, "update-ref", f"refs/exps/ab/cd/name-{number}", "HEAD")
    ask(root, "branch", "other/deep", "HEAD~1")
    return root


def files(folder: Path) -> GitFiles:
    found = GitFiles.around(folder)
    assert found is not None
    return found


def require_same(folder: Path) -> None:
    """What is read of the files is what Git says."""
    for under in ("refs/heads", "refs/heads/main", "refs/heads/other", "refs/exps", "refs/exps/ab/cd/name-1", "refs/x"):
        lines = ask(folder, "for-each-ref", "--format=%(objectname) %(refname)", under).splitlines()
        assert files(folder).refs(under) == {name: oid for oid, _, name in (line.partition(" ") for line in lines)}
    assert files(folder).head() == ask(folder, "rev-parse", "HEAD").strip()
    index = ask(folder, "rev-parse", "--path-format=absolute", "--git-path", "index").strip()
    assert files(folder).index.resolve() == Path(index).resolve()
    current = subprocess.run(["git", "symbolic-ref", "-q", "HEAD"], cwd=folder, capture_output=True, text=True)  # noqa: PLW1510
    assert files(folder).branch() == (current.stdout.strip() or None)


def nothing(root: Path) -> None:
    ask(root, "status")


def packed(root: Path) -> None:
    ask(root, "pack-refs", "--all")


def packed_in_part(root: Path) -> None:
    packed(root)
    ask(root, "update-ref", "refs/exps/ab/cd/name-1", "HEAD~2")
    ask(root, "update-ref", "refs/exps/ab/cd/newer", "HEAD~1")
    ask(root, "update-ref", "-d", "refs/exps/ab/cd/name-2")
    ask(root, "commit", "--quiet", "--allow-empty", "-m", "next")


def detached(root: Path) -> None:
    packed(root)
    ask(root, "checkout", "--quiet", "--detach", "HEAD~1")


@pytest.mark.parametrize("arrange", [nothing, packed, packed_in_part, detached])
def test_references_are_those_that_git_lists(repository: Path, arrange: Callable[[Path], None]) -> None:
    arrange(repository)
    require_same(repository)
    require_same(repository / "inner")


def test_a_worktree_has_a_head_of_its_own_and_the_references_of_all(repository: Path, tmp_path: Path) -> None:
    ask(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "aside"), "HEAD~2")
    require_same(tmp_path / "aside")
    assert set(files(repository).worktrees()) == {(tmp_path / "aside").resolve()}
    assert set(files(tmp_path / "aside").worktrees()) == {(tmp_path / "aside").resolve()}


def test_a_reference_that_is_being_written_is_not_listed(repository: Path) -> None:
    (repository / ".git/refs/exps/ab/cd/name-9.lock").write_text("")
    require_same(repository)


@pytest.mark.parametrize("text", ["", "ref: refs/heads/none\n", "0123\n", "ref: refs/exps/ab/cd/odd\n"])
def test_a_reference_that_names_no_object_is_left_to_git(repository: Path, text: str) -> None:
    (repository / ".git/refs/exps/ab/cd/odd").write_text(text)
    assert files(repository).refs("refs/exps") is None
    (repository / ".git/HEAD").write_text("ref: refs/exps/ab/cd/odd\n")
    assert files(repository).head() is None


def test_before_the_first_commit_there_is_no_head(tmp_path: Path) -> None:
    ask(tmp_path, "init", "--quiet", "-b", "main")
    assert (files(tmp_path).head(), files(tmp_path).branch()) == (None, "refs/heads/main")
    assert not Git(tmp_path).has_commits()


def test_of_a_bare_repository_and_of_another_layout_nothing_is_said(repository: Path) -> None:
    ask(repository, "init", "--quiet", "--bare", "inner/bare")
    assert GitFiles.around(repository / "inner/bare") is None
    assert GitFiles.around(repository / ".git/refs") is None
    (repository / ".git/reftable").mkdir()
    assert GitFiles.around(repository) is None
    assert Git(repository).head() == ask(repository, "rev-parse", "HEAD").strip()
    assert len(gitrefs.listed(Git(repository), "refs/exps")) == 3


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_tag_is_known_by_the_commit_that_it_stands_for(repository: Path, is_packed: bool) -> None:
    ask(repository, "tag", "light", "HEAD~1")
    ask(repository, "tag", "-a", "-m", "v1", "v1", "HEAD~2")
    if is_packed:
        packed(repository)
    old, middle = (ask(repository, "rev-parse", rev).strip() for rev in ("HEAD~2", "HEAD~1"))
    known = files(repository).tags()
    assert known == ({"refs/tags/light": middle, "refs/tags/v1": old} if is_packed else None)
    head = ask(repository, "rev-parse", "HEAD").strip()
    assert selection.names_of(Git(repository), [head, middle, old]) == {head: "main", middle: "light", old: "v1"}


def test_where_the_folder_lies_is_read_unless_the_configuration_may_move_it(repository: Path, tmp_path: Path) -> None:
    inner = Git(repository / "inner")
    assert (inner.prefix(), inner.top(), inner.is_repository()) == ("inner/", repository.resolve(), True)
    ask(repository, "config", "core.worktree", str(repository / "inner"))
    assert not files(repository).has_own_top()
    assert (Git(repository / "inner").prefix(), Git(repository / "inner").top()) == ("", repository.resolve() / "inner")
    ask(repository, "config", "--unset", "core.worktree")
    ask(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "aside"))
    assert (Git(tmp_path / "aside").prefix(), Git(tmp_path / "aside").top()) == ("", (tmp_path / "aside").resolve())
