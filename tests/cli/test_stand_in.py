"""`ever` under the name `dvc`: what an editor or CI asks `dvc` for, it gets from both alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from everloop.version import DVC_VERSION, __version__
from everloop.workspace import Workspace
from tests.cli.standin import EVER, call, order_free
from tests.workspace.dvcpeer import DVC, commit, dvc, needs_dvc, write


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a metric, a remote that lacks some of it, and changes in the workspace."""
    folder = tmp_path_factory.mktemp("stand-in") / "repository"
    Workspace.init(folder)
    write(folder, {"d/a": "1", "d/sub/b": "2", "one": "one", "m.json": '{"acc": 0.5}', ".dvcignore": "*.tmp\n"})
    write(folder, {"dvc.yaml": "metrics: [m.json]\n", "x.tmp": "t"})
    dvc(folder, "add", "-q", "d", "one")
    dvc(folder, "remote", "add", "-q", "-d", "store", str(folder.parent / "store"))
    dvc(folder, "push", "-q", "one")
    commit(folder)
    write(folder, {"d/a": "changed", "d/new": "n", "d/sub/b": None})
    return folder


ASKED = [
    ("data", "status", "--granular", "--unchanged", "--json"),
    ("data", "status", "--granular", "--untracked-files", "--json"),
    ("diff", "--json", "--show-hash"),
    ("diff", "--json", "HEAD", "HEAD"),
    ("status", "--json"),
    ("status", "-c", "--json"),
    ("ls", ".", "--dvc-only", "-R", "--json"),
    ("list", ".", "d", "--json", "--rev", "HEAD"),
    ("metrics", "show", "--json"),
]


@needs_dvc
@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_json_and_exit_code_are_the_same(stand_in: Path, repository: Path, words: tuple[str, ...]) -> None:
    ours, theirs = (call(tool, repository, *words) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode == 0, ours.stderr
    assert order_free(json.loads(ours.stdout)) == order_free(json.loads(theirs.stdout))


SAID = [
    ("--version",),
    ("-V",),
    ("root",),
    ("--cd", "d", "root"),
    ("config", "core.remote"),
    ("remote", "list"),
    ("remote", "default"),
    ("config", "--list"),
    ("cache", "dir"),
    ("check-ignore", "x.tmp", "one"),
    ("check-ignore", "one"),
    ("status", "-q"),
    ("diff", "-q"),
    ("root", "-q"),
    ("get", ".", "one", "--show-url"),
    ("list-url", "d"),
    ("list-url", "d", "-R"),
]


@needs_dvc
@pytest.mark.parametrize("words", SAID, ids=" ".join)
def test_text_and_exit_code_are_the_same(stand_in: Path, repository: Path, words: tuple[str, ...]) -> None:
    ours, theirs = (call(tool, repository, *words) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode, ours.stderr
    # DVC lists folders in the order of the disk, and pads with blanks where we have tabs.
    said, expected = (sorted(line.split() for line in done.stdout.splitlines()) for done in (ours, theirs))
    assert said == expected


@needs_dvc
@pytest.mark.parametrize("words", [("no-such-command",), ("diff", "--no-such-flag"), ("status", "--cd", "d")])
def test_wrong_words_end_alike(stand_in: Path, repository: Path, words: tuple[str, ...]) -> None:
    ours, theirs = (call(tool, repository, *words) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode == 254
    assert ours.stderr


@needs_dvc
def test_what_an_editor_changes_is_changed_alike(stand_in: Path, repository: Path, tmp_path: Path) -> None:
    left, right = (
        shutil.copytree(repository, tmp_path / name / "repository", symlinks=True) for name in ("ever", "dvc")
    )
    for words in (("add", "d"), ("checkout", "-q"), ("commit", "-f"), ("push", "d"), ("remove", "one.dvc")):
        for tool, folder in ((stand_in, left), (DVC, right)):
            done = call(tool, folder, *words)
            assert done.returncode == 0, done.stderr
    # What DVC does not keep of an empty folder stands at the end of the record.
    record, _, _ = (left / "d.dvc").read_text().partition("  meta:\n    everloop:\n")
    assert record == (right / "d.dvc").read_text()
    assert (left / ".gitignore").read_text() == (right / ".gitignore").read_text()
    assert not (left / "one.dvc").exists()


def test_version_says_which_dvc_is_matched(stand_in: Path, tmp_path: Path) -> None:
    assert call(stand_in, tmp_path, "--version").stdout == f"{DVC_VERSION}\n"
    first = call(stand_in, tmp_path, "version").stdout.splitlines()[0]
    assert first == f"DVC version: {DVC_VERSION} (everloop {__version__})"
    assert call(EVER, tmp_path, "--version").stdout == f"ever, version {__version__}\n"
    assert "DVC" not in call(EVER, tmp_path, "version").stdout


@needs_dvc
def test_the_version_is_that_of_the_tool_it_was_compared_with(tmp_path: Path) -> None:
    assert call(DVC, tmp_path, "--version").stdout.strip() == DVC_VERSION


def test_a_wrong_word_is_told_as_dvc_tells_it_only_under_its_name(stand_in: Path, tmp_path: Path) -> None:
    assert call(stand_in, tmp_path, "diff", "--nothing").returncode == 254
    assert call(EVER, tmp_path, "diff", "--nothing").returncode == 2
