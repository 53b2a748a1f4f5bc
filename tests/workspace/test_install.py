"""What Git calls: hooks and merge driver, with a real Git and a real `ever` on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.errors import ConflictError, InvalidError
from everloop.workspace import Workspace
from everloop.workspace.yamlfile import load_plain

HOOKS = ("pre-commit", "post-checkout")


@pytest.fixture(autouse=True)
def ever_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ever").write_text(f'#!/bin/sh\nexec {sys.executable} -m everloop "$@"\n')
    (folder / "ever").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")


def git(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=workspace.root, capture_output=True, text=True, check=False)


def write(workspace: Workspace, path: str, text: str) -> None:
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def test_post_checkout_brings_the_data_and_pre_commit_speaks(workspace: Workspace) -> None:
    write(workspace, "a", "1")
    workspace.add(["a"])
    workspace.install(hooks=HOOKS)
    git(workspace, "add", "-A")
    git(workspace, "commit", "-q", "-m", "one")
    git(workspace, "checkout", "-q", "-b", "other")
    write(workspace, "a", "2")
    said = git(workspace, "commit", "-q", "--allow-empty", "-m", "with data not added")
    assert "changed: a.dvc" in said.stderr
    Workspace.open(workspace.root).add(["a"])
    git(workspace, "commit", "-q", "-a", "-m", "two")
    assert git(workspace, "checkout", "-q", "main").returncode == 0
    assert (workspace.root / "a").read_text() == "1"


def test_branches_that_changed_one_directory_merge(workspace: Workspace) -> None:
    workspace.install(hooks=())
    write(workspace, "d/x", "x")
    workspace.add(["d"])
    git(workspace, "add", "-A")
    git(workspace, "commit", "-q", "-m", "base")
    git(workspace, "checkout", "-q", "-b", "side")
    write(workspace, "d/side", "side")
    workspace.add(["d"])
    git(workspace, "commit", "-q", "-a", "-m", "side")
    git(workspace, "checkout", "-q", "main")
    workspace.checkout(force=True)
    write(workspace, "d/main", "main")
    workspace.add(["d"])
    git(workspace, "commit", "-q", "-a", "-m", "main")
    done = git(workspace, "merge", "side", "-m", "both")
    assert done.returncode == 0, done.stdout + done.stderr
    workspace.checkout()
    assert sorted(path.name for path in (workspace.root / "d").iterdir()) == ["main", "side", "x"]
    assert workspace.status() == {}


def test_branches_that_changed_one_file_conflict_with_marks(workspace: Workspace) -> None:
    workspace.install(hooks=())
    write(workspace, "a", "1")
    workspace.add(["a"])
    git(workspace, "add", "-A")
    git(workspace, "commit", "-q", "-m", "base")
    git(workspace, "checkout", "-q", "-b", "side")
    for branch in ("side", "main"):
        git(workspace, "checkout", "-q", branch)
        write(workspace, "a", branch)
        workspace.add(["a"])
        git(workspace, "commit", "-q", "-a", "-m", branch)
    done = git(workspace, "merge", "side")
    assert done.returncode != 0
    assert "conflict in a.dvc: outs.a.md5" in done.stderr
    assert "<<<<<<< ours" in (workspace.root / "a.dvc").read_text()


def test_install_twice_changes_nothing(workspace: Workspace) -> None:
    workspace.install(hooks=HOOKS)
    attributes = (workspace.root / ".gitattributes").read_text()
    assert attributes == "*.dvc merge=everloop\ndvc.lock merge=everloop\n"
    assert workspace.install(hooks=HOOKS).hooks == HOOKS
    assert (workspace.root / ".gitattributes").read_text() == attributes


def test_hook_of_somebody_else_is_not_overwritten(workspace: Workspace) -> None:
    hook = workspace.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nmake lint\n")
    with pytest.raises(ConflictError, match="not ours"):
        workspace.install(hooks=HOOKS)
    assert hook.read_text() == "#!/bin/sh\nmake lint\n"
    assert not (workspace.root / ".git/hooks/post-checkout").exists()


def test_hooks_and_driver_of_dvc_are_lived_with(workspace: Workspace) -> None:
    hook = workspace.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexec dvc git-hook pre-commit $@\n")
    (workspace.root / ".gitattributes").write_text("*.dvc merge=dvc")
    report = workspace.install(hooks=HOOKS)
    assert (report.hooks, report.kept) == (("post-checkout",), ("pre-commit",))
    assert (workspace.root / ".gitattributes").read_text() == "*.dvc merge=dvc\ndvc.lock merge=everloop\n"
    assert workspace.git.setting("merge.dvc.driver") == "ever merge-driver %O %A %B %P"


def test_hooks_go_where_git_looks_for_them(workspace: Workspace) -> None:
    git(workspace, "config", "core.hooksPath", "my hooks")
    workspace.install(hooks=HOOKS)
    assert (workspace.root / "my hooks/pre-commit").exists()


def test_without_git_there_is_nothing_to_install_into(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="not in a Git repository"):
        Workspace.init(tmp_path / "plain", scm=False).install(hooks=HOOKS)


def test_pre_commit_tool_is_told_of_the_hooks_once(workspace: Workspace) -> None:
    config = workspace.root / ".pre-commit-config.yaml"
    config.write_text("# ours\nrepos:\n- repo: https://example.org/x  # theirs\n  rev: v1\n  hooks: [{id: x}]\n")
    assert workspace.install(hooks=HOOKS, use_pre_commit_tool=True).hooks == HOOKS
    text = config.read_text()
    assert text.startswith("# ours\nrepos:\n- repo: https://example.org/x  # theirs\n  rev: v1\n")
    workspace.install(hooks=HOOKS, use_pre_commit_tool=True)
    assert config.read_text() == text
    assert not (workspace.root / ".git/hooks/pre-commit").exists()
    assert "merge=everloop" in (workspace.root / ".gitattributes").read_text()
    for hook in load_plain(config)["repos"][1]["hooks"]:
        # As the tool calls it: without arguments, and with what Git said in the environment.
        said = {"PRE_COMMIT_CHECKOUT_TYPE": "1"} if hook["stages"] == ["post-checkout"] else {}
        done = subprocess.run(hook["entry"].split(), cwd=workspace.root, env={**os.environ, **said}, check=False)
        assert done.returncode == 0


def test_checkout_hook_of_the_pre_commit_tool_brings_the_data(workspace: Workspace) -> None:
    write(workspace, "a", "1")
    workspace.add(["a"])
    (workspace.root / "a").unlink()
    ever = ["ever", "git-hook", "post-checkout"]
    subprocess.run(ever, cwd=workspace.root, check=True)
    assert not (workspace.root / "a").exists()
    subprocess.run(ever, cwd=workspace.root, check=True, env={**os.environ, "PRE_COMMIT_CHECKOUT_TYPE": "1"})
    assert (workspace.root / "a").read_text() == "1"


def test_hooks_of_dvc_in_the_pre_commit_tool_stay_alone(workspace: Workspace) -> None:
    config = workspace.root / ".pre-commit-config.yaml"
    hooks = "".join(f"  - id: dvc-{name}\n" for name in HOOKS)
    config.write_text(f"repos:\n- repo: https://github.com/treeverse/dvc\n  hooks:\n{hooks}")
    before = config.read_text()
    assert workspace.install(hooks=HOOKS, use_pre_commit_tool=True).kept == HOOKS
    assert config.read_text() == before
