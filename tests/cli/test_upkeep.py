from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("EVERLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHELL", "/bin/sh")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert ever("init").exit_code == 0
    (folder / "d").mkdir()
    (folder / "d/x").write_text("1")
    assert ever("add", "d").exit_code == 0
    return folder


def ever(*words: str, said: str | None = None) -> Result:
    return CliRunner().invoke(cli, words, input=said)


def fails(*words: str) -> str:
    result = ever(*words)
    assert result.exception is not None
    return str(result.exception)


def test_part_of_a_folder_from_inside_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "d")
    Path("y").write_text("2")
    assert ever("add", "y").stdout == "added d (2 files, 2 bytes)\n"


@pytest.mark.parametrize(
    "words",
    [
        ("add", "a", "b", "-o", "c"),
        ("add", "a", "-o", "c", "--glob"),
        ("gc",),
        ("gc", "-w", "-r", "store"),
        ("check-ignore",),
        ("check-ignore", "-a", "x"),
        ("init", "--no-scm", "--subdir", "x"),
        ("verify", "--cloud", "--fetch"),
        ("verify", "--remote", "r"),
    ],
    ids=" ".join,
)
def test_words_that_do_not_fit_are_a_usage_error(project: Path, words: tuple[str, ...]) -> None:
    assert ever(*words).exit_code == 2


def test_move_and_remove_by_their_short_names(project: Path) -> None:
    assert ever("mv", "d", "e").stdout == "moved d to e (e.dvc)\n"
    assert ever("rm", "e.dvc").stdout == "removed e.dvc\n"
    assert (project / "e/x").exists()


def test_gc_asks_nobody_and_removes_nothing(project: Path) -> None:
    (project / "d/x").write_text("2")
    ever("add", "d")
    told = ever("gc", "-w", "--dry").stdout.splitlines()
    assert len(told) == 3
    assert told[-1].startswith("would remove 2 objects")
    assert "nothing was removed" in fails("gc", "-w")
    assert ever("gc", "-w", "-f").stdout.startswith("removed 2 objects")
    assert ever("gc", "-w", "-f").stdout.startswith("removed 0 objects")


def test_undo_lists_brings_back_and_empties(project: Path) -> None:
    (project / "d/x").write_text("mine")
    ever("checkout", "--force")
    (listed,) = json.loads(ever("undo", "--list", "--json").stdout)
    assert (listed["verb"], listed["files"]) == ("checkout", ["d/x"])
    assert "checkout" in ever("undo", "--list").stdout
    assert ever("undo").stdout == "restored d/x\n"
    assert (project / "d/x").read_text() == "mine"
    assert "nothing to undo" in fails("undo")
    ever("checkout", "--force")
    assert "nothing was emptied" in fails("undo", "--empty")
    assert ever("undo", "--empty", "--force").exit_code == 0
    assert ever("undo", "--list").stdout == "empty\n"


def test_setting_says_how_much_is_remembered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_TRASH_OPERATIONS", "1")
    for text in ("one", "two"):
        (project / "d/x").write_text(text)
        ever("checkout", "--force")
    assert len(json.loads(ever("undo", "--list", "--json").stdout)) == 1


def test_verify_says_who_needs_the_damaged_and_fails(project: Path) -> None:
    whole = ever("verify")
    assert whole.stdout.startswith("2 objects, ")
    assert (whole.stdout.endswith(": 0 damaged\n"), whole.exit_code) == (True, 0)
    (found,) = (path for path in (project / ".dvc/cache/files/md5").glob("*/*") if path.suffix != ".dir")
    found.chmod(0o644)
    found.write_text("rotten")
    result = ever("verify", "-j", "2")
    assert result.exit_code == 1
    assert "needed by d/x" in result.stdout
    assert ever("verify").exit_code == 0


def test_commit_takes_what_no_commit_left(project: Path) -> None:
    (project / "later").write_text("later")
    ever("add", "--no-commit", "later")
    assert "not in cache" in ever("status").stdout
    assert ever("commit", "later").stdout == "recorded later.dvc\n"
    assert ever("status").stdout == "data and pipelines are up to date\n"
    (project / "later").write_text("changed")
    assert "it was not recorded" in fails("commit")
    assert ever("commit", "-f", "later.dvc").exit_code == 0


def test_unprotect_makes_files_writable(project: Path) -> None:
    (project / ".dvc/config").write_text("[cache]\n    type = hardlink\n")
    (project / "d/x").unlink()
    ever("checkout")
    assert (project / "d/x").stat().st_nlink == 2
    assert ever("unprotect", "d").stdout == "d can be edited\n"
    assert (project / "d/x").stat().st_nlink == 1
    assert "does not exist" in fails("unprotect", "nothing")


def test_check_ignore_speaks_as_dvc_does(project: Path) -> None:
    (project / ".dvcignore").write_text("*.log\n!keep.log\n")
    result = ever("check-ignore", "a.log", "keep.log", "b")
    assert (result.stdout, result.exit_code) == ("a.log\n", 0)
    details = ever("check-ignore", "-d", "-n", "keep.log", "b").stdout
    assert details == ".dvcignore:2:!keep.log\tkeep.log\n::\tb\n"
    every = ever("check-ignore", "-d", "-a", "keep.log").stdout
    assert every == ".dvcignore:1:*.log\tkeep.log\n.dvcignore:2:!keep.log\tkeep.log\n"
    assert ever("check-ignore", "--stdin", said="a.log\nb\n").stdout == "a.log\n"
    assert ever("check-ignore", "b").exit_code == 1


def test_root_is_relative(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ever("root").stdout == ".\n"
    (project / "a/b").mkdir(parents=True)
    monkeypatch.chdir(project / "a/b")
    assert ever("root").stdout == "../..\n"
    assert json.loads(ever("root", "--json").stdout) == {"root": str(project)}


def test_version_needs_no_workspace(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert f"workspace: {project}" in ever("version").stdout
    monkeypatch.chdir(tmp_path)
    assert "workspace: none here" in ever("version").stdout


def test_doctor_finds_what_is_broken(project: Path) -> None:
    assert ever("doctor").exit_code == 0
    found = {finding["name"]: finding["verdict"] for finding in json.loads(ever("doctor", "--json").stdout)}
    assert found["cache"] == "good"
    (project / "bad.dvc").write_text("outs: [")
    result = ever("doctor")
    assert result.exit_code == 1
    assert "bad.dvc" in result.stdout


def test_init_anew_keeps_the_cache(project: Path) -> None:
    (project / ".dvc/config").write_text("[core]\n    autostage = true\n")
    assert "a workspace already" in fails("init")
    assert ever("init", "--force").exit_code == 0
    assert (project / ".dvc/config").read_text() == ""
    assert ever("status").stdout == "data and pipelines are up to date\n"


def test_init_of_a_part_of_a_repository(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "part").mkdir()
    assert ever("init", "--subdir", "part").exit_code == 0
    assert not (project / "part/.git").exists()
    (tmp_path / "plain").mkdir()
    assert "no part of one" in fails("init", "--subdir", str(tmp_path / "plain"))


def test_hook_is_silent_outside_of_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = ever("git-hook", "pre-commit")
    assert (result.output, result.exit_code) == ("", 0)


def test_pre_push_pushes_where_there_is_a_remote(project: Path, tmp_path: Path) -> None:
    assert "no remote is configured" in ever("git-hook", "pre-push").stderr
    (project / ".dvc/config").write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {tmp_path}/r\n")
    result = ever("git-hook", "pre-push")
    assert "pushed d" in result.stderr
    assert len([path for path in (tmp_path / "r").rglob("*") if path.is_file()]) == 2


def test_merge_driver_works_without_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"base": "", "ours": "outs:\n- path: a\n", "theirs": "outs:\n- path: b\n"}.items():
        Path(name).write_text(text)
    assert ever("merge-driver", "base", "ours", "theirs").exit_code == 0
    assert Path("ours").read_text() == "outs:\n- path: a\n- path: b\n"


def test_merge_driver_leaves_marks_in_what_is_no_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"base": "[\n", "ours": "[ours\n", "theirs": "[theirs\n"}.items():
        Path(name).write_text(text)
    result = ever("merge-driver", "base", "ours", "theirs", "a.dvc")
    assert result.exit_code == 1
    assert "<<<<<<< ours" in Path("ours").read_text()


def test_install_names_what_it_did(project: Path) -> None:
    result = json.loads(ever("install", "--json").stdout)
    assert result["hooks"] == ["pre-commit", "post-checkout", "pre-push"]
    driver = subprocess.run(
        ["git", "config", "merge.everloop.driver"], cwd=project, capture_output=True, text=True, check=True
    )
    assert driver.stdout == "ever merge-driver %O %A %B %P\n"
