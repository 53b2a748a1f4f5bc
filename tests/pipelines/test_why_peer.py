"""The run cache that the real DVC wrote is looked into with its own keys."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from everloop.pipelines.why import Verdict, why
from everloop.workspace import Workspace
from tests.peerdvc import dvc, needs_dvc

pytestmark = [pytest.mark.peer, needs_dvc]

PIPELINE = """\
stages:
  copy:
    cmd: cp in out && echo {} > m.json
    deps: [in]
    params: [z, lr, other.json: [k]]
    outs: [out]
    metrics: [m.json: {cache: false}]
"""


def test_a_run_of_before_is_found_in_the_run_cache(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "other.json").write_text('{"k": {"b": 1.50, "a": [null]}}')
    for rate in ("0.1", "0.2"):
        (folder / "in").write_text("1")
        (folder / "params.yaml").write_text(f"z: yes\nlr: {rate}\n")
        dvc(folder, "repro", "-q")
    (folder / "params.yaml").write_text("z: yes\nlr: 0.1\n")
    workspace = Workspace.open(folder)
    (answer,) = why(workspace)
    assert answer.verdict is Verdict.WOULD_RESTORE_RUN
    assert [cause.text for cause in answer.causes] == ["parameter lr of params.yaml changed from 0.2 to 0.1"]
    assert "is cached - skipping run" in dvc(folder, "repro")
