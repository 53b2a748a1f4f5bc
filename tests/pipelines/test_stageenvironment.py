from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everloop.compute.environmentspec import EnvironmentSpec
from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.stageenvironment import environment_of, spec_of
from everloop.pipelines.values import Stage
from everloop.workspace import Workspace


class Declaring(Stage, frozen=True, kw_only=True):
    """A stage with what `dvc.yaml` has under `meta`."""

    meta: Any = None


def stage(environment: Any = None, folder: str = ".") -> Stage:
    meta = None if environment is None else {"everloop": {"environment": environment}, "else": 1}
    return Declaring(name="a", file="dvc.yaml", command="x", folder=folder, meta=meta)


def test_none_is_declared(workspace: Workspace) -> None:
    assert spec_of(workspace, stage()) is None
    assert environment_of(workspace, Stage(name="a", file="dvc.yaml", command="x", folder=".")) is None


def test_a_stage_goes_before_the_project(workspace: Workspace) -> None:
    (workspace.root / "everloop.yaml").write_text("environment: requirements.txt\n")
    (workspace.root / "requirements.txt").touch()
    (workspace.root / "sub").mkdir()
    (workspace.root / "sub/own.txt").touch()
    whole = spec_of(workspace, stage())
    assert whole == EnvironmentSpec(kind="requirements", lock=str(workspace.root / "requirements.txt"))
    own = spec_of(workspace, stage("own.txt", folder="sub"))
    assert own == EnvironmentSpec(kind="requirements", lock=str(workspace.root / "sub/own.txt"))
    assert spec_of(workspace, stage(False)) is None


def test_what_is_wrong_is_named_with_its_place(workspace: Workspace) -> None:
    with pytest.raises(InvalidError, match=r"dvc\.yaml: stage a: meta\.everloop\.environment"):
        spec_of(workspace, stage([1]))
    (workspace.root / "everloop.yaml").write_text("environment: nope.txt\n")
    with pytest.raises(NotFoundError, match=r"everloop\.yaml: environment"):
        spec_of(workspace, stage())
    (workspace.root / "everloop.yaml").write_text("[1]\n")
    with pytest.raises(InvalidError, match="top level must be a mapping"):
        spec_of(workspace, stage())


def test_the_environment_says_what_it_is(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Path(__file__).parents[2] / ".venv-uv/bin"
    if not (uv / "uv").exists():
        pytest.skip("there is no uv: make setup")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin:{uv}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (workspace.root / "empty.txt").touch()
    made = environment_of(workspace, stage("empty.txt"))
    assert made is not None
    assert Path(made.path).parent == tmp_path / "cache/everloop/environments"
    assert msgspec.to_builtins(made) == {
        "key": Path(made.path).name,
        "path": made.path,
        "kind": "requirements",
        "python": platform.python_version(),
        "lock": "empty.txt",
    }
