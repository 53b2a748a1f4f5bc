"""Commits are made of what lies in a working tree, with nothing of it touched; references change all or none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from everloop.errors import ConflictError, UnavailableError
from everloop.workspace import Git, gitrefs, gitsnapshot
from everloop.workspace.gitrefs import RefChange, RefOutcome
from everloop.workspace.gitsnapshot import Variant

ODD = 'sub/ü "quoted" \\ name.yaml'


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    root = tmp_path / "repository"
    (root / "ml/sub").mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    (root / "a").write_text("a")
    (root / "ml" / ODD).write_text("x: 1\n")
    (root / ".gitignore").write_text("ignored*\n")
    git(root, "add", "-A")
    git(root, "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "-q", "-m", "start")
    return root


def test_a_tree_has_what_is_on_disk_and_the_index_stays(repository: Path, tmp_path: Path) -> None:
    (repository / "a").write_text("other")
    for name in ("new", "left", "ignored-1", "ignored-2"):
        (repository / "ml" / name).write_text(name)
    before = git(repository, "status", "--porcelain"), (repository / ".git/index").read_bytes()
    tree = gitsnapshot.write_tree(
        Git(repository / "ml"), tmp_path / "scratch", also=["new", "ignored-1", "missing"], forced=["ignored-2"]
    )
    assert set(git(repository, "ls-tree", "-r", "-z", "--name-only", tree).split("\0")) == {
        "", ".gitignore", "a", f"ml/{ODD}", "ml/new", "ml/ignored-2",
    }  # fmt: skip
    assert git(repository, "show", f"{tree}:a") == "other"
    assert (git(repository, "status", "--porcelain"), (repository / ".git/index").read_bytes()) == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_change_in_the_same_moment_is_seen(repository: Path, tmp_path: Path) -> None:
    for number in range(20):
        (repository / "a").write_text(f"{number % 10}")
        git(repository, "add", "a")
        (repository / "a").write_text("x")
        tree = gitsnapshot.write_tree(Git(repository), tmp_path / "scratch")
        assert git(repository, "show", f"{tree}:a") == "x"


def test_variants_have_other_contents_and_no_names(repository: Path, tmp_path: Path) -> None:
    inner = Git(repository / "ml")
    head = inner.head()
    tree = gitsnapshot.tree_of(inner, "HEAD")
    variants = [Variant(message=f"number {n}\n\nü", contents={ODD: f"x: {n} ü\n".encode()}) for n in range(3)]
    made = gitsnapshot.commit_variants(inner, tmp_path / "scratch", tree, head, [*variants, Variant(message="same")])
    for number, commit in enumerate(made[:3]):
        assert git(repository, "show", f"{commit}:ml/{ODD}") == f"x: {number} ü\n"
        assert git(repository, "log", "-1", "--format=%P %B", commit).strip() == f"{head} number {number}\n\nü"
        assert git(repository, "diff", "--name-only", "-z", head, commit) == f"ml/{ODD}\0"
    assert gitsnapshot.tree_of(inner, made[3]) == tree
    assert git(repository, "for-each-ref", "--format=%(refname)") == "refs/heads/main\n"
    git(repository, "fsck", "--strict")


def test_references_change_all_or_none(repository: Path) -> None:
    here = Git(repository)
    head = here.head()
    gitrefs.change(here, [RefChange(name="refs/x/a", new=head, old=""), RefChange(name="refs/x/b", new=head)])
    assert gitrefs.listed(here, "refs/x") == {"refs/x/a": head, "refs/x/b": head}
    with pytest.raises(ConflictError):
        gitrefs.change(here, [RefChange(name="refs/x/b", new=""), RefChange(name="refs/x/a", new=head, old="")])
    assert len(gitrefs.listed(here, "refs/x")) == 2
    gitrefs.change(here, [RefChange(name="refs/x/b", new="", old=head), RefChange(name="refs/x/a", new="")])
    assert gitrefs.listed(here, "refs/x") == {}


def test_references_travel_under_their_own_names(repository: Path, tmp_path: Path) -> None:
    here, hub = Git(repository), tmp_path / "hub"
    git(tmp_path, "init", "-q", "--bare", str(hub))
    head = here.head()
    other = gitsnapshot.commit_tree(here, gitsnapshot.tree_of(here, head), [head], "other")
    gitrefs.change(here, [RefChange(name=f"refs/x/{n}", new=head) for n in range(5)])
    names = [f"refs/x/{n}" for n in range(5)]
    assert set(gitrefs.push(here, str(hub), names).values()) == {RefOutcome.SUCCESS}
    gitrefs.change(here, [RefChange(name="refs/x/0", new=other)])
    assert gitrefs.push(here, str(hub), names[:2]) == {
        "refs/x/0": RefOutcome.DIVERGED,
        "refs/x/1": RefOutcome.UP_TO_DATE,
    }
    there = gitrefs.listed_remote(here, str(hub), "refs/x")
    assert there == dict.fromkeys(names, head)
    assert gitrefs.fetch(here, str(hub), {"refs/x/0": head}) == {"refs/x/0": RefOutcome.DIVERGED}
    assert gitrefs.push(here, str(hub), names[:1], force=True) == {"refs/x/0": RefOutcome.SUCCESS}
    gitrefs.remove_remote(here, str(hub), names[1:])
    assert gitrefs.listed_remote(here, str(hub), "refs/x") == {"refs/x/0": other}
    with pytest.raises(UnavailableError, match="nowhere"):
        gitrefs.listed_remote(here, str(tmp_path / "nowhere"), "refs/x")
