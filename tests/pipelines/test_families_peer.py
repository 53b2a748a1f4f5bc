"""Pipelines with variables, families and sub-folders: both tools make the same `dvc.lock` and files of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from everloop import pipelines
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import dvc

pytestmark = pytest.mark.peer

PARAMS = """\
lr: 0.001
name: rf
on: yes
flags: {depth: 3, fast: true, slow: false, names: [a, "b c"], deep: {x: it's}}
grid: [1, 2]
models:
  small: {size: 1, tags: [x]}
  large: {size: 2, tags: [y, z]}
"""

SCENES: dict[str, dict[str, str]] = {
    "variables": {
        "dvc.yaml": r"""
vars:
- other.json:a,b
- more.yaml
- local: {folder: made, n: 3}
stages:
  scalars:
    cmd: echo ${lr} ${name} ${on} ${flags.fast} ${grid[1]} ${a} ${b.c} ${more.x} \${NO} ${ local.n } > ${local.folder}
    desc: with ${name}
    outs: ["${local.folder}"]
  options:
    cmd: echo ${flags} > options.txt
    outs: [options.txt]
  own:
    vars: [{mine: 7}, sub/own.yaml]
    wdir: sub
    cmd: echo ${mine} ${own.x} > own.txt
    outs: [own.txt]
""",
        "other.json": '{"a": 1, "b": {"c": "x"}, "z": 0}',
        "more.yaml": "more: {x: 1.50}\n",
        "sub/sub/own.yaml": "own: {x: true}\n",
    },
    "foreach": {
        "dvc.yaml": """
stages:
  list:
    foreach: [a, b, 3, true, 1.5]
    do: {cmd: "echo ${item} > l-${item}", outs: ["l-${item}"]}
  variable:
    foreach: ${grid}
    do: {cmd: "echo ${item} > g-${item}", outs: ["g-${item}"]}
  composite:
    foreach: [{x: 1, y: "${name}"}, [5, 6]]
    do: {cmd: "echo one > c-$DVC_STAGE", always_changed: true}
  mapping:
    foreach: ${models}
    do:
      cmd: echo ${key} ${item.size} ${item.tags[0]} > m-${key}
      params: ["models.${key}.size"]
      outs: ["m-${key}": {cache: false}]
  inline:
    foreach: {one: {n: 1}, two: {n: 2}}
    do: {wdir: "${key}", cmd: "echo ${item.n} > out", outs: [out]}
""",
        "one/.gitkeep": "",
        "two/.gitkeep": "",
    },
    "matrix": {
        "dvc.yaml": """
stages:
  cross:
    matrix:
      model: [rf, true]
      size: ${grid}
      deep: [{a: 1}, [2]]
    cmd: echo ${item.model} ${item.size} ${key} > x-${key}
    outs: ["x-${key}"]
  chain:
    matrix: {model: [rf]}
    cmd: cat x-${item.model}-1-deep0 > y-${key}
    deps: ["x-${item.model}-1-deep0"]
    outs: ["y-${key}"]
""",
    },
    "params": {
        "dvc.yaml": """
params: [extra.yaml]
metrics: [extra-metrics.json]
stages:
  all:
    cmd: echo 1 > a
    params: [lr, flags, "grid.0", other.json: [b.c], conf.toml: [t.x], whole.yaml: ]
    outs: [a]
""",
        "other.json": '{"b": {"c": [1, {"d": null}]}}',
        "conf.toml": "[t]\nx = 1.5\n",
        "whole.yaml": "z: 1\na: {y: 2, x: 0o10}\n",
        "extra.yaml": "q: 1\n",
        "extra-metrics.json": '{"auc": 0.5}',
    },
    "sub-folders": {
        "dvc.yaml": "stages:\n  up:\n    cmd: cat low/made/b > top\n    deps: [low/made]\n    outs: [top]\n",
        "low/params.yaml": "lr: 5\nlow: {x: made}\n",
        "low/dvc.yaml": """
stages:
  make:
    wdir: ${low.x}
    cmd: echo ${lr} > b
    params: [../params.yaml: [lr]]
    outs: [b]
""",
        "low/made/.gitkeep": "",
    },
    "lists and options": {
        "dvc.yaml": """
stages:
  "a.b c":
    cmd:
    - echo '{"m":1}' > m.json
    - echo step,loss > p.csv && echo 1,2 >> p.csv
    - mkdir -p kept && echo x > kept/x
    metrics: [m.json: {cache: false}]
    plots: [p.csv: {x: step, y: loss, template: linear, cache: false}]
    outs:
    - kept: {persist: true, desc: held, type: thing, labels: [a], meta: {x: 1}, push: false}
plots:
- p.csv: {x: step}
- both: {x: step, y: {p.csv: [loss]}, title: t}
artifacts:
  held: {path: kept, type: model, labels: [a], desc: d, meta: {k: 1}}
""",
    },
}


def fill(folder: Path, scene: str) -> Workspace:
    workspace = Workspace.init(folder)
    for name, text in {"params.yaml": PARAMS, **SCENES[scene]}.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return workspace


def files(folder: Path) -> dict[str, bytes]:
    hidden = {".git", ".dvc"}
    found = (path for path in folder.rglob("*") if path.is_file() and not hidden & set(path.relative_to(folder).parts))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("scene", SCENES)
def test_both_make_the_same(tmp_path: Path, scene: str) -> None:
    ours, theirs = fill(tmp_path / "ours", scene), fill(tmp_path / "theirs", scene)
    pipelines.repro(ours)
    dvc(theirs.root, "repro", "-q")
    assert files(ours.root) == files(theirs.root)
    # Each finds nothing to do in what the other made.
    said = json.loads(dvc(ours.root, "status", "--json"))
    assert {name for name, found in said.items() if found != ["always changed"]} == set()
    assert {name for name, found in pipelines.status(theirs).items() if found != ["always changed"]} == set()
    for out in ours.outs():
        place = theirs.root / out.path
        if out.is_cached:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    theirs.checkout()
    assert files(ours.root) == files(theirs.root)


def test_what_lies_outside_of_the_workspace_can_be_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "file").write_text("1")
    (outside / "folder/a").write_text("2")
    (outside / "p.yaml").write_text("a: 1")
    made = []
    for name in ("ours", "theirs"):
        workspace = fill(tmp_path / name, "params")
        (workspace.root / "dvc.yaml").write_text(
            f"stages:\n  a:\n    cmd: echo x > x\n    deps: [../outside/file, {outside}/folder]\n"
            "    params: [../outside/p.yaml: [a]]\n    outs: [x]\n"
        )
        made.append(workspace)
    ours, theirs = made
    pipelines.repro(ours)
    dvc(theirs.root, "repro", "-q")
    assert files(ours.root) == files(theirs.root)
    (outside / "file").write_text("3")
    (outside / "folder/b").write_text("3")
    assert json.loads(json.dumps(pipelines.status(ours))) == json.loads(dvc(theirs.root, "status", "--json"))
    assert pipelines.repro(ours).ran == ("a",)
    assert json.loads(dvc(ours.root, "status", "--json")) == {}


@pytest.mark.parametrize("style", [("boolean_optional", "append"), ("store_true", "nargs")])
def test_the_configured_style_of_options_counts(tmp_path: Path, style: tuple[str, str]) -> None:
    workspace = fill(tmp_path / "ours", "variables")
    (workspace.root / ".dvc/config").write_text(f"[parsing]\n    bool = {style[0]}\n    list = {style[1]}\n")
    pipelines.repro(Workspace.open(workspace.root))
    assert json.loads(dvc(workspace.root, "status", "--json")) == {}
