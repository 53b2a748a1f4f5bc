from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from everloop.workspace import Workspace
from everloop.workspace.gitignore import ignore_out
from everloop.workspace.ignore import IgnoreRules, Patterns


def test_nearest_file_decides_and_later_patterns_win(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".dvcignore").write_text("*.log\n!keep.log\n/top\nfolder/\n")
    (tmp_path / "sub/.dvcignore").write_text("!a.log\n")
    rules = IgnoreRules(tmp_path, ".dvcignore")
    ignored = {
        path: rules.ignores(path, is_directory=False)
        for path in ("x.log", "keep.log", "sub/a.log", "sub/b.log", "sub/top")
    }
    assert ignored == {"x.log": True, "keep.log": False, "sub/a.log": False, "sub/b.log": True, "sub/top": False}
    assert rules.ignores("folder", is_directory=True)
    assert not rules.ignores("folder", is_directory=False)
    assert rules.ignores_or_parent("folder/file", is_directory=False)


def test_described_files_leave_out_what_is_ignored_or_of_another_workspace(workspace: Workspace) -> None:
    for path in (
        "a.dvc",
        "sub/dvc.yaml",
        "venv/b.dvc",
        "data/c.dvc",
        "inner/d.dvc",
        "inner/.dvc/config",
        ".hidden.dvc",
    ):
        target = workspace.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("")
    (workspace.root / ".gitignore").write_text("/venv\n")
    (workspace.root / ".dvcignore").write_text("data/\n")
    assert workspace.described_files() == [".hidden.dvc", "a.dvc", "sub/dvc.yaml"]


def test_gitignore_entry_is_written_once_and_escaped(tmp_path: Path) -> None:
    rules = IgnoreRules(tmp_path, ".gitignore")
    (tmp_path / ".gitignore").write_text("*.pyc")
    (tmp_path / "a [1]").write_text("")
    assert ignore_out(tmp_path, "a [1]", rules)
    assert not ignore_out(tmp_path, "a [1]", rules)
    assert (tmp_path / ".gitignore").read_text() == "*.pyc\n/a\\ \\[1\\]\n"
    assert rules.ignores("a [1]", is_directory=False)


NAMES = ["/a", "/b.txt", "/c", "*.log", "/d/", "e/", "sub/f", "/c/x", "!/a", "/a-b", "a", "*b", "*.", ".e", "..", "/."]
WORDS = st.text("ab.-_*/!\\ #[?é", max_size=6)
LINES = st.sampled_from(NAMES) | WORDS.filter(lambda word: word.strip() and not word.startswith("#"))
NAME = st.sampled_from(["a", "b", "c", "d", "e", "f", "ab", "b.txt", "x.log", ".log", "a-b", "sub", ".e", "a.", "é"])
PATHS = st.builds(
    lambda names, end: "/".join(names) + end, st.lists(NAME, min_size=1, max_size=4), st.sampled_from(["", "/"])
)


def expected(lines: list[str], path: str) -> object:
    try:
        return GitIgnoreSpec.from_lines(lines).check_file(path).include
    except ValueError as error:
        return type(error)


def found(lines: list[str], path: str) -> object:
    try:
        return Patterns(lines).verdict(path)
    except ValueError as error:
        return type(error)


@settings(max_examples=1000, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=6), PATHS)
@example(["/d/"], "d")
@example(["/d/"], "d/")
@example(["/d/"], "d/x")
@example(["e/"], "q/e")
@example(["e/"], "q/e/")
@example(["*.log"], "a/.log/x")
@example(["__pycache__/", "*.pyc"], "a/__pycache__/x.pyc")
def test_names_that_are_looked_up_mean_what_they_mean_to_the_library(lines: list[str], path: str) -> None:
    assert found(lines, path) == expected(lines, path)


def test_what_people_write_mostly_loads_no_library() -> None:
    lines = ["__pycache__/", "*.pyc", ".venv/", "/data", "/model.pkl", "build", ".DS_Store"]
    code = f"import sys; from everloop.workspace.ignore import Patterns; Patterns({lines})"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'pathspec' not in sys.modules"], check=True)
