"""`ever exp run` reaches as far, and bears as much, as its flags say: as `ever repro` does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.cli.standin import EVER, call
from tests.workspace.dvcpeer import DVC, commit, environment, needs_dvc, run, write

PIPELINE = """
stages:
  one:
    cmd: cat a > one
    deps: [a]
    outs: [one]
  two:
    cmd: cat one > two
    deps: [one]
    outs: [two]
  other:
    cmd: cat b > other
    deps: [b]
    outs: [other]
"""
INNER = "stages:\n  deep:\n    cmd: cat ../a > deep\n    deps: [../a]\n    outs: [deep]\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Stages that never ran, here and in a folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    run(folder, "git", "init", "--quiet")
    run(folder, str(EVER), "init")
    write(folder, {"a": "a", "b": "b", "dvc.yaml": PIPELINE, "inner/dvc.yaml": INNER})
    commit(folder)
    return folder


def ever(folder: Path, *words: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    home = next(above / "home" for above in folder.parents if (above / "home").is_dir())
    return subprocess.run(
        [str(EVER), "exp", "run", *words],
        cwd=folder,
        env=environment(home),
        input=answers,
        capture_output=True,
        text=True,
        check=False,
    )


def made(project: Path) -> set[str]:
    return {name for name in ("one", "two", "other", "inner/deep") if (project / name).exists()}


@needs_dvc
@pytest.mark.parametrize(
    ("words", "outs"),
    [
        ("", {"one", "two", "other"}),
        ("two", {"one", "two"}),
        ("-s one", {"one"}),
        ("-p one", {"one", "two"}),
        ("-P", {"one", "two", "other", "inner/deep"}),
        ("-R inner", {"inner/deep"}),
        ("--downstream one", {"one", "two"}),
    ],
)
def test_flags_reach_as_far_as_those_of_dvc(project: Path, tmp_path: Path, words: str, outs: set[str]) -> None:
    done = ever(project, *words.split())
    assert done.returncode == 0, done.stderr
    assert made(project) == outs
    twin = tmp_path / "twin"
    run(project, "git", "clone", "--quiet", str(project), str(twin))
    theirs = call(DVC, twin, "exp", "run", *words.split())
    assert theirs.returncode == 0, theirs.stderr
    assert made(twin) == outs


def stages(project: Path, name: str, file: str = "dvc.lock") -> set[str]:
    """Those that an experiment recorded."""
    (ref,) = run(project, "git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").split()
    lock: dict[str, dict[str, object]] = YAML(typ="safe").load(run(project, "git", "show", f"{ref}:{file}"))
    return set(lock["stages"])


def test_a_dry_run_makes_nothing(project: Path) -> None:
    done = ever(project, "--dry", "two")
    assert done.stdout.splitlines() == ["one: would run (0.0 s)", "two: would run (0.0 s)"]
    assert made(project) == set()


@pytest.mark.parametrize("how", ["--temp", "--queue"])
def test_flags_hold_aside_too(project: Path, how: str) -> None:
    for name, words in (("chain", ["--downstream", "one"]), ("deep", ["-R", "inner"])):
        assert ever(project, how, "-n", name, *words).returncode == 0
    # Targets and the pipeline that is meant without any are those of the folder one is in.
    assert ever(project / "inner", how, "-n", "here").returncode == 0
    if how == "--queue":
        assert ever(project, "--run-all").returncode == 0
    assert made(project) == set()
    assert stages(project, "chain") == {"one", "two"}
    assert stages(project, "deep", "inner/dvc.lock") == {"deep"}
    assert stages(project, "here", "inner/dvc.lock") == {"deep"}


def test_a_failure_is_borne_as_the_flags_say(project: Path) -> None:
    write(project, {"dvc.yaml": PIPELINE.replace("cat a > one", "exit 1")})
    assert ever(project).returncode == 1
    assert ever(project, "--keep-going").returncode == 1
    assert made(project) == {"other"}
    assert ever(project, "--ignore-errors").returncode == 0


def test_flags_that_only_repro_has_in_dvc(project: Path) -> None:
    assert ever(project, "--no-commit", "--no-run-cache", "--glob", "o*").returncode == 0
    assert made(project) == {"one", "other"}
    assert not (project / ".dvc/cache/files").exists()


def test_a_person_is_asked_in_the_workspace(project: Path) -> None:
    done = ever(project, "-i", "two", answers="n\n")
    assert done.returncode == 1
    assert "reproduce one" in done.stderr
    assert made(project) == set()
    assert ever(project, "-i", "two", answers="y\ny\n").returncode == 0
    assert made(project) == {"one", "two"}


@pytest.mark.parametrize("how", ["--temp", "--queue"])
def test_outputs_that_would_be_lost_are_not_made(project: Path, how: str) -> None:
    done = ever(project, how, "--no-commit")
    assert done.returncode == 2
    assert "--no-commit" in done.stderr
