"""What the tests of data by address share: two commits with data, their remote, and a clone without a cache."""

from __future__ import annotations

import subprocess
from pathlib import Path

import duckdb
import pytest

from everloop.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """`d/a.csv`, `d/sub/b.csv`, `p.parquet` under version, `code.py` in Git, tagged v1; then changed and recorded."""
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    made = Workspace.init(tmp_path / "project")
    root = made.root
    (root / "d/sub").mkdir(parents=True)
    (root / "d/a.csv").write_text("id,v\n1,a\n")
    (root / "d/sub/b.csv").write_text("id\n007\n")
    (root / "code.py").write_text("print()\n")
    (root / ".dvc/config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path}/store\n")
    duckdb.execute(f"COPY (SELECT * FROM range(1000) t(id)) TO '{root}/p.parquet'")
    made.add(["d", "p.parquet"])
    made.git.commit(["."], "First")
    subprocess.run(["git", "-C", str(root), "tag", "v1"], check=True)
    (root / "d/a.csv").write_text("id,v\n1,b\n2,c\n")
    made.add(["d"])
    made.git.commit(["."], "Second")
    monkeypatch.chdir(root)
    return made


@pytest.fixture
def bare(workspace: Workspace, tmp_path: Path) -> str:
    """The address of a Git repository that has no cache, only a remote."""
    workspace.transfers.push(revisions=workspace.revisions(all_commits=True))
    subprocess.run(["git", "clone", "-q", "--bare", str(workspace.root), str(tmp_path / "bare.git")], check=True)
    return f"file://{tmp_path}/bare.git"
