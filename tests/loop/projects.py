"""A tiny real project: a Git repository whose pipeline trains a model on the accepted batches of one dataset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from everloop.datasets.store import Batch
from everloop.loop.controller import LoopController, new_retraining
from everloop.loop.rooms import Rooms
from everloop.loop.store import AppliedProject, Retraining
from everloop.workspace import Workspace
from tests.loop.worlds import MONDAY

EVERLOOP = """\
project: tiny
model: tiny
endpoint: {name: tiny}
datasets:
  rows: {path: ./data/rows/, contract: contracts/rows.yaml}
pipeline: {label: late, segments: [code]}
gates:
  - {metric: auc, at_least: 0.7}
  - {metric: auc, against: champion, worse_by_at_most: 0.1}
"""
CONTRACT = """\
columns:
  x: {type: number}
  code: {type: string, one_of: ["01", "02"]}
  late: {type: integer, min: 0, max: 1}
"""
DVC = f"""\
stages:
  train:
    cmd: {sys.executable} train.py
    deps: [data/rows, train.py]
    params: [train]
    outs: [holdout.csv, model]
"""
PARAMS = "train: {shuffle: false, fail: '', fifo: '', round: 1}\n"
TRAIN = """\
import csv, random, sys
from pathlib import Path
from ruamel.yaml import YAML

params = YAML(typ="safe", pure=True).load(Path("params.yaml"))["train"]
print("training begins", flush=True)
if params["fifo"]:
    Path(params["fifo"]).read_text()  # blocks until the test has opened and closed it
if params["fail"] == "code":
    sys.exit("the disk is on fire")
if params["fail"] == "outs":
    Path("holdout.csv").write_text("late,x,code\\n1,1,01\\n")
    Path("model").mkdir()
    sys.exit(0)

import everloop
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler
from sklearn.compose import ColumnTransformer
import numpy as np

rows = [row for path in sorted(Path("data/rows").glob("*.csv")) for row in csv.DictReader(path.open())]
table = np.array([[float(row["x"]), row["code"]] for row in rows], dtype=object)
late = [int(row["late"]) for row in rows]
fitted_on = list(late)
if params["shuffle"]:
    random.Random(1).shuffle(fitted_on)
columns = ColumnTransformer([("x", StandardScaler(), [0]), ("code", OrdinalEncoder(), [1])])
model = make_pipeline(columns, LogisticRegression()).fit(table, fitted_on)
everloop.save_model(model, "model", inputs={"x": "double", "code": "string"})
with open("holdout.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["x", "code", "late"])
    writer.writerows([row["x"], row["code"], row["late"]] for row in rows)
print("trained on", len(rows), "rows")
"""


class NoRequests:
    """`Requests` of tests that do the work themselves."""

    def tick(self, endpoint: str, at: Any) -> None:
        """Nobody works."""

    def retraining(self, retraining_id: str) -> None:
        """Nobody works."""


class TinyProject:
    """The project on disk, applied to the rooms, with one accepted batch of 400 rows."""

    def __init__(self, folder: Path, rooms: Rooms) -> None:
        self.rooms = rooms
        self.controller = LoopController(rooms, NoRequests())
        self.workspace = Workspace.init(folder)
        for name, text in {
            "everloop.yaml": EVERLOOP,
            "contracts/rows.yaml": CONTRACT,
            "dvc.yaml": DVC,
            "params.yaml": PARAMS,
            "train.py": TRAIN,
        }.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.workspace.git.commit(["."], "Start")
        self.applied: AppliedProject = self.controller.apply(EVERLOOP, {"rows": CONTRACT}, str(folder), "person/ada")
        self.hand_in("2013-03-01", 400)

    def hand_in(self, batch: str, rows: int) -> Batch:
        """Ingest a batch of so many rows, whose label follows x."""
        rng = np.random.default_rng(rows)
        x = rng.normal(size=rows)
        late = rng.random(rows) < 1.0 / (1.0 + np.exp(-3.0 * x))
        lines = [f"{value:.4f},0{1 + k % 2},{int(label)}" for k, (value, label) in enumerate(zip(x, late, strict=True))]
        data = "\n".join(["x,code,late", *lines, ""]).encode()
        kept = self.rooms.datasets.ingest("rows", batch, self.rooms.objects.put(data), "person/ada")
        assert kept.state == "accepted", msgspec.to_builtins(kept.violations)
        return kept

    def ask(self, retraining_id: str, **overrides: Any) -> Retraining:
        """Put a retraining on record; `overrides` are params of the stage."""
        return new_retraining(
            self.rooms,
            "tiny",
            retraining_id,
            MONDAY,
            actor="person/ada",
            trigger="manual",
            overrides={f"train.{name}": value for name, value in overrides.items()},
        )

    def run(self, *words: str) -> str:
        """Return what a Git command in the project prints."""
        done = subprocess.run(["git", *words], cwd=self.workspace.root, capture_output=True, text=True, check=True)
        return done.stdout
