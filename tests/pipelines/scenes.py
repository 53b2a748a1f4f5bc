"""What the tests of experiments start from: a small pipeline in a Git repository, and the real DVC beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from everloop.workspace import Workspace

DVC = Path(__file__).parents[1] / "peers/.venv/bin/dvc"

PIPELINE = """\
stages:
  prepare:
    cmd: cp data.csv ready.csv
    deps: [data.csv]
    outs: [ready.csv]
  train:
    cmd: python3 -S train.py
    deps: [ready.csv, train.py]
    params: [lr, train.depth]
    outs: [model.txt]
    metrics:
    - metrics.json:
        cache: false
"""
TRAIN = """\
import json, re
text = open("params.yaml").read()
lr = float(re.search(r"lr: ([0-9.]+)", text)[1])
depth = int(re.search(r"depth: ([0-9]+)", text)[1])
open("model.txt", "w").write(f"{lr} {depth}")
json.dump({"auc": lr * depth, "loss": {"train": lr}}, open("metrics.json", "w"))
"""
FILES = {
    "data.csv": "a,b\n1,2\n",
    "params.yaml": "# how to train\nlr: 0.1\ntrain:\n  depth: 2  # levels\nseed: 7\n",
    "dvc.yaml": PIPELINE,
    "train.py": TRAIN,
}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make(root: Path) -> Workspace:
    """A repository with one commit: data under version, a pipeline that never ran."""
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.org")
    workspace = Workspace.init(root)
    for path, text in FILES.items():
        (root / path).write_text(text)
    workspace.add(["data.csv"])
    (root / ".gitignore").write_text("/data.csv\n/ready.csv\n/model.txt\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "start")
    return workspace


def environment(home: Path) -> dict[str, str]:
    """Of a person without settings; the tool looks for no update and reports nothing."""
    home.mkdir(exist_ok=True)
    (home / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    places = dict.fromkeys(("HOME", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"), str(home))
    path = f"{DVC.parent}:{os.environ['PATH']}"
    return {
        **os.environ, **places, "PATH": path, "DVC_SYSTEM_CONFIG_DIR": "/nowhere", "DVC_NO_ANALYTICS": "1",
        "SHELL": "/bin/sh", "COLUMNS": "400",
    }  # fmt: skip


def dvc(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [str(DVC), *words],
        cwd=folder,
        env=environment(folder.parent / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def state(root: Path) -> tuple[str, str, dict[str, str]]:
    """What a command must leave alone: the commit, the index, and the files (not what tools keep for themselves)."""
    files = {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.parts and ".dvc" not in path.parts
    }
    return git(root, "rev-parse", "HEAD"), git(root, "ls-files", "--stage"), files
