"""What every command understands: `-q`, `-v`, `--cd`, `--wait-for-lock`; and completion, `list-url`, `destroy`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.errors import ConflictError
from everloop.workspace import Workspace, locks
from tests.s3 import S3Server

EVER = Path(sys.executable).with_name("ever")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    made = Workspace.init(tmp_path / "project")
    (made.root / "d/sub").mkdir(parents=True)
    (made.root / "d/a").write_text("one")
    (made.root / "d/sub/b").write_text("two!")
    made.add(["d"])
    made.git.commit(["."], "First")
    monkeypatch.chdir(made.root)
    return made


def ever(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), catch_exceptions=False)


@pytest.mark.parametrize(
    "words",
    [
        ("-q", "list", "."), ("list", "-q", "."), ("list", ".", "--quiet"), ("remote", "list", "-q"),
        ("-q", "list", "-q", ".", "--json"), ("ls", "-qR", "."),
    ],
    ids=" ".join,
)  # fmt: skip
def test_quiet_prints_nothing(workspace: Workspace, words: tuple[str, ...]) -> None:
    done = ever(*words)
    assert (done.exit_code, done.stdout) == (0, "")
    assert ever("list", ".").stdout, "the next command speaks again"


def test_cd_runs_elsewhere_and_comes_back(workspace: Workspace) -> None:
    assert ever("--cd", "d/sub", "root").stdout == "../..\n"
    assert Path.cwd() == workspace.root
    assert ever("--cd", "nowhere", "root").exit_code == 2


def test_verbose_says_where_an_error_comes_from(workspace: Workspace) -> None:
    for words in (("-v", "checkout", "nothing"), ("checkout", "nothing", "-v"), ("checkout", "nothing")):
        done = subprocess.run([str(EVER), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) == ("-v" in words)
        assert "nothing is not under version" in done.stderr


def test_wait_for_lock_waits(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.0)
    (workspace.root / "d/a").write_text("other")
    held, waits, go = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with Workspace.open(workspace.root).locked():
            held.set()
            go.wait(60)

    def pause(_: float) -> None:
        waits.set()
        go.set()

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(60)
    with pytest.raises(ConflictError, match="held by another process"):
        ever("add", "d")
    monkeypatch.setattr("everloop.workspace.locks.time.sleep", pause)
    assert ever("--wait-for-lock", "add", "d").exit_code == 0
    assert waits.is_set()
    assert locks.PATIENCE_S == 0.0, "only that command waits"
    other.join()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_needs(shell: str) -> None:
    said = subprocess.run([str(EVER), "completion", "-s", shell], capture_output=True, text=True, check=True).stdout
    assert f"_EVER_COMPLETE={shell}_complete" in said


def test_completion_in_bash(workspace: Workspace) -> None:
    def complete(*words: str) -> list[str]:
        asked = {"_EVER_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        done = subprocess.run([str(EVER)], env=os.environ | asked, capture_output=True, text=True, check=True)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("ever", "che") == ["checkout", "check-ignore"]
    assert "--granular" in complete("ever", "data", "status", "--gr")
    assert complete("ever", "remote", "re") == ["remove", "rename"]


def test_list_url_of_this_machine(workspace: Workspace) -> None:
    assert ever("list-url", "d").stdout.splitlines() == ["a", "sub"]
    assert ever("list-url", "d", "-R").stdout.splitlines() == ["a", "sub/b"]
    assert ever("list-url", "d", "--tree").stdout.splitlines() == ["d", "├── a", "└── sub", "    └── b"]
    assert ever("ls-url", "d", "--size").stdout.splitlines() == ["3  a", "   sub"]
    (file,) = json.loads(ever("list-url", "d/a", "--json").stdout)
    assert (file["path"], file["size"], file["isdir"]) == ("a", 3, False)


def test_list_url_and_show_url_of_a_bucket(workspace: Workspace, s3: S3Server) -> None:
    url = s3.make_bucket("listed")
    ever("remote", "add", "-d", "far", f"{url}/data")
    for name, value in s3.options.items():
        ever("remote", "modify", "far", name, value)
    ever("push")
    options = [f"{name}={value}" for name, value in s3.options.items()]
    assert ever("list-url", f"{url}/data", "--fs-config", *options).stdout.splitlines() == ["files"]
    found = ever("list-url", f"{url}/data", "-R", "--fs-config", *options).stdout.splitlines()
    assert len(found) == 3
    assert all(path.startswith("files/md5/") for path in found)
    assert (
        ever("list-url", f"{url}/data/{found[0]}", "--fs-config", *options).stdout == found[0].rpartition("/")[2] + "\n"
    )
    md5 = workspace.outs()[0].content
    assert md5 is not None
    assert ever("get", ".", "d", "--show-url").stdout == f"{url}/data/files/md5/{md5.md5[:2]}/{md5.md5[2:]}\n"


def test_another_configuration_for_once(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ever("remote", "add", "-d", "far", "/nowhere")
    ever("remote", "add", "near", str(tmp_path / "store"))
    ever("push", "-r", "near")
    workspace.git.commit(["."], "Remotes")
    for path in workspace.cache.root.rglob("*"):
        if path.is_file():
            path.unlink()
    monkeypatch.chdir(tmp_path)
    Path("config").write_text("[core]\n    remote = near\n")
    assert ever("get", "project", "d", "--rev", "HEAD", "--config", "config").exit_code == 0
    assert Path("d/a").read_text() == "one"
    done = ever("get", "project", "d/sub", "--remote", "far", "--remote-config", f"url={tmp_path}/store", "-o", "again")
    assert (done.exit_code, Path("again/b").read_text()) == (0, "two!")
    listed = ever("list", "project", "d", "--remote-config", f"url={tmp_path}/store", "--rev", "HEAD").stdout
    assert listed.splitlines() == ["a", "sub"]
    assert ever("du", "project", "d", "--config", "config").exit_code == 0
    assert ever("list", "project", "--remote-config", "words").exit_code == 2


def test_destroy_keeps_the_data_and_names_what_is_lost(workspace: Workspace) -> None:
    root = workspace.root
    ever("config", "cache.type", "hardlink")
    (root / "e").write_text("linked")
    (root / "dvc.yaml").write_text("stages:\n  s: {cmd: echo, outs: [o]}\n")
    ever("add", "e")
    (root / "d/a").unlink()
    with pytest.raises(ConflictError, match="nothing was removed"):
        ever("destroy")
    assert (root / ".dvc").is_dir()
    said = ever("destroy", "--force").stdout.splitlines()
    assert said == [
        "dvc.yaml: its text is not in Git, and goes for good",
        "e.dvc: its text is not in Git, and goes for good",
        "d: only the cache has what is recorded, and goes",
        f"{root} is no workspace any more",
    ]
    left = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if ".git/" not in str(path))
    assert left == [".git", ".gitignore", "d", "d/sub", "d/sub/b", "e"]
    assert os.access(root / "e", os.W_OK)
    assert (root / "e").stat().st_nlink == 1


def test_destroy_leaves_a_cache_that_lies_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    ever("cache", "dir", str(tmp_path / "cache"))
    ever("add", "d")
    assert json.loads(ever("destroy", "--force", "--json").stdout)["cache"] is None
    assert list((tmp_path / "cache").rglob("*.dir"))


def test_destroy_makes_files_of_links_into_the_cache(workspace: Workspace) -> None:
    md5 = next(path for path in (workspace.root / ".dvc/cache").rglob("*") if path.is_file())
    held = md5.read_bytes()
    (workspace.root / "d/link").symlink_to(md5)
    ever("destroy", "--force")
    assert not (workspace.root / "d.dvc").exists()
    assert not (workspace.root / "d/link").is_symlink()
    assert (workspace.root / "d/link").read_bytes() == held
