"""`ever repro` as people call it: its words, what it prints where, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.workspace import Workspace

EVER = [sys.executable, "-m", "everloop"]
PIPELINE = """\
stages:
  a: {cmd: echo did a; cp in a, deps: [in], outs: [a]}
  b: {cmd: echo did b; cp a b, deps: [a], outs: [b]}
  bad: {cmd: echo sorry; exit 3, outs: [x]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = Workspace.init(tmp_path / "project").root
    (root / "in").write_text("1")
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "sub").mkdir()
    return root


def ever(folder: Path, *words: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EVER, *words], cwd=folder, input=answers, capture_output=True, text=True, check=False, env=environment()
    )


def environment() -> dict[str, str]:
    return {**os.environ, "SHELL": "/bin/sh", "EVERLOOP_HOME": "/nowhere"}


def test_results_go_to_stdout_and_progress_to_stderr(project: Path) -> None:
    done = ever(project, "repro", "b")
    assert done.returncode == 0
    assert [line.partition(" (")[0] for line in done.stdout.splitlines()] == ["a: ran", "b: ran"]
    assert done.stderr.splitlines() == ["a: it has never run", "a | did a", "b: it has never run", "b | did b"]
    report = json.loads(ever(project, "repro", "b", "--json").stdout)
    assert [(stage["stage"], stage["outcome"]) for stage in report["stages"]] == [
        ("a", "unchanged"),
        ("b", "unchanged"),
    ]


def test_several_jobs_tell_one_line_for_each_start_and_end(project: Path) -> None:
    done = ever(project, "repro", "-j", "2", "-k")
    assert done.returncode == 1
    told = [line.partition(" (")[0] for line in done.stderr.splitlines()]
    for line in ("a: it has never run", "a: ran", "b: ran", "bad: failed"):
        assert line in told
    assert "a | did a" not in told
    assert "stage bad failed with exit code 3: echo sorry; exit 3\n  sorry" in done.stderr


def test_terminal_shows_a_line_for_each_running_stage_and_takes_it_away(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages:\n  a: {cmd: echo working; sleep 0.3}\n  b: {cmd: sleep 0.3}\n")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*EVER, "repro", "-j", "2"], cwd=project, stdout=subprocess.DEVNULL, stderr=theirs, env=environment()
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:
                break
            if not data:
                break
            said += data
        assert process.wait(20) == 0
    os.close(ours)
    assert b"  a  0 s  working" in said
    assert b"\033[A\r\033[2K" in said
    assert said.count(b"\033[A") >= 2


def test_ignored_errors_end_well_and_others_do_not(project: Path) -> None:
    assert ever(project, "repro", "--ignore-errors").returncode == 0
    assert ever(project, "repro").returncode == 1
    assert ever(project, "repro", "bad").returncode == 1


def test_without_a_target_the_folders_own_file_is_meant(project: Path) -> None:
    done = ever(project / "sub", "repro")
    assert done.returncode == 1
    assert "sub/dvc.yaml does not exist" in done.stderr
    assert "ever repro -P" in done.stderr
    (project / "sub/dvc.yaml").write_text("stages: {c: {cmd: cp ../b c, deps: [../b], outs: [c]}}\n")
    done = ever(project / "sub", "repro")
    assert [line.partition(" (")[0] for line in done.stdout.splitlines()] == ["a: ran", "b: ran", "sub/dvc.yaml:c: ran"]
    assert ever(project, "repro", "-P", "--dry").returncode == 0


def test_person_is_asked(project: Path) -> None:
    done = ever(project, "repro", "-i", "b", answers="y\nn\n")
    assert done.returncode == 1
    assert "reproduce a: it has never run?" in done.stderr
    assert "b was not reproduced" in done.stderr
    assert (project / "a").exists()
    assert not (project / "b").exists()


def test_configuration_may_ask_each_time(project: Path) -> None:
    (project / ".dvc/config").write_text("[core]\n    interactive = true\n")
    assert ever(project, "repro", "a", answers="n\n").returncode == 1
    assert ever(project, "repro", "a", answers="y\n").returncode == 0


def test_words_of_dvc_are_understood(project: Path) -> None:
    words = (
        "-f -s -p -P -R --downstream --force-downstream --pull --allow-missing --dry -k --ignore-errors --glob "
        "--no-commit --no-run-cache"
    )
    assert ever(project, "repro", *words.split()).returncode == 0
    assert ever(project, "repro", "-j", "0").returncode == 2
