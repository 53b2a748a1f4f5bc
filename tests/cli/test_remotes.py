"""`ever config`, `remote`, `cache`, `push`, `pull`, `fetch`, `status --cloud`, typed as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from everloop.cli import group
from everloop.workspace import Workspace

Ever = Callable[..., str]
PIPELINE = """\
stages:
  join:
    cmd: cat data/a data/b > joined.txt
    deps: [data]
    outs: [joined.txt]
"""


@pytest.fixture
def ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ever:
    """Type an `ever` command in a workspace with data and one stage; gives stdout, or stderr when it is to fail."""
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("EVERLOOP_HUB_URL", raising=False)
    workspace = Workspace.init(tmp_path / "project")
    (workspace.root / "data").mkdir()
    (workspace.root / "data/a").write_text("1")
    (workspace.root / "data/b").write_text("2")
    (workspace.root / "dvc.yaml").write_text(PIPELINE)
    workspace.add(["data"])
    monkeypatch.chdir(workspace.root)

    def call(*words: str, exits: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["ever", *words])
        code: object = 0
        try:
            group.run()
        except SystemExit as end:
            code = end.code or 0
        out, errors = capsys.readouterr()
        assert code == exits, out + errors
        return errors if exits and not out else out

    return call


@pytest.fixture
def shared(ever: Ever, tmp_path: Path) -> Path:
    """The folder of the default remote, after the stage has run."""
    ever("repro")
    ever("remote", "add", "-d", "shared", "../shared")
    return tmp_path / "shared"


def forget_data() -> None:
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("data")
    Path("joined.txt").unlink()


def test_push_and_pull_all(ever: Ever, shared: Path) -> None:
    assert ever("push") == "4 files pushed\n"
    assert ever("push") == "everything is up to date\n"
    forget_data()
    assert ever("status", "--cloud", "-q", exits=1) == ""
    said = ever("pull")
    assert "restored data\n" in said
    assert "4 files fetched" in said
    assert Path("joined.txt").read_text() == "12"
    assert ever("status", "-c") == "cache and remote are in sync\n"


def test_a_stage_means_its_outs_and_with_deps_what_they_are_made_from(ever: Ever, shared: Path) -> None:
    assert ever("push", "join") == "1 file pushed\n"
    assert ever("push", "dvc.yaml") == "everything is up to date\n"
    assert ever("push", "--with-deps", "join") == "3 files pushed\n"


def test_paths_are_meant_from_the_current_folder(ever: Ever, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("data")
    assert ever("push", "a") == "1 file pushed\n"
    assert "nowhere is not under version" in ever("push", "nowhere", exits=1)


def test_what_fails_is_named_and_exits_with_1(ever: Ever, shared: Path) -> None:
    ever("push")
    (shared / "files/md5/c8/1e728d9d4c2f636f067f89cc14862c").unlink()
    forget_data()
    said = ever("fetch", exits=1)
    assert "2 files fetched" in said
    assert "restored joined.txt" in ever("pull", "--allow-missing")
    assert not Path("data").exists()
    report = json.loads(ever("fetch", "--json", exits=1))
    assert [failure["path"] for failure in report["failed"]] == ["data/b"]


def test_cloud_status_as_json(ever: Ever, shared: Path) -> None:
    assert json.loads(ever("status", "--cloud", "--json", "data")) == {"data": "new", "data/a": "new", "data/b": "new"}


def test_options_of_remotes_belong_to_the_cloud(ever: Ever) -> None:
    assert "--cloud" in ever("status", "-a", exits=2)


def test_large_data_are_left_out(ever: Ever, shared: Path) -> None:
    ever("push", "--no-run-cache")
    forget_data()
    assert ever("fetch", "--max-size", "1") == "everything is up to date\n"
    assert ever("fetch", "--max-size", "2") == "4 files fetched\n"


def test_empty_run_cache_is_no_obstacle(ever: Ever, shared: Path) -> None:
    shutil.rmtree(".dvc/cache/runs")
    assert ever("push", "--run-cache") == "4 files pushed\n"
    for verb in ("push", "pull", "fetch"):
        assert ever(verb, "--run-cache") == "everything is up to date\n"


def test_no_remote_says_what_to_do(ever: Ever) -> None:
    assert "ever remote add" in ever("push", exits=1)


def test_config_is_set_shown_and_taken_back(ever: Ever) -> None:
    ever("config", "cache.type", "hardlink,copy")
    assert ever("config", "cache.type") == "hardlink,copy\n"
    assert ever("config", "--show-origin", "cache.type") == ".dvc/config\thardlink,copy\n"
    ever("config", "--local", "core.autostage", "true")
    assert ever("config", "-l") == "cache.type=hardlink,copy\ncore.autostage=true\n"
    assert ever("config", "-l", "--local", "--show-origin") == ".dvc/config.local\tcore.autostage=true\n"
    ever("config", "-u", "cache.type")
    assert "not set" in ever("config", "cache.type", exits=1)
    for words in ([], ["-l", "a.b"], ["-u", "a.b", "c"]):
        ever("config", *words, exits=2)


def test_remotes_are_listed_without_secrets(ever: Ever, tmp_path: Path) -> None:
    ever("remote", "add", "web", "https://host/x")
    ever("remote", "add", "-d", "shared", "../shared")
    ever("remote", "modify", "--local", "web", "password", "word")
    assert ever("remote", "list") == f"web\thttps://host/x\nshared\t{tmp_path}/shared\t(default)\n"
    listed = ever("remote", "list", "--json") + ever("config", "--list") + ever("config", "--list", "--json")
    assert "word\n" not in listed.replace("password", "")
    assert json.loads(ever("remote", "list", "--json"))[0]["password"] == "********"
    ever("remote", "rename", "web", "site")
    ever("remote", "default", "site")
    assert ever("remote", "default") == "site\n"
    ever("remote", "default", "-u")
    ever("remote", "modify", "site", "user", "me")
    ever("remote", "modify", "-u", "site", "user")
    ever("remote", "remove", "site")
    assert ever("remote", "list") == f"shared\t{tmp_path}/shared\n"
    ever("remote", "modify", "shared", "jobs", exits=2)


def test_the_cache_moves_to_another_folder(ever: Ever, tmp_path: Path) -> None:
    assert ever("cache", "dir") == f"{tmp_path}/project/.dvc/cache\n"
    assert ever("cache", "dir", "../store") == f"{tmp_path}/store\n"
    assert ever("cache", "dir", "--project") == f"{tmp_path}/store\n"
    assert ever("cache", "dir", "-u") == f"{tmp_path}/project/.dvc/cache\n"


def test_outside_of_a_workspace_the_users_settings_can_be_changed(
    ever: Ever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ever("config", "--global", "core.analytics", "false")
    assert ever("config", "core.analytics") == "false\n"
    assert "ever init" in ever("config", "--local", "core.analytics", "false", exits=1)
