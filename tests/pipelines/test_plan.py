from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from everloop.errors import NotFoundError
from everloop.pipelines import Reach, graph, plan
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import DVC, environment, needs_dvc

# a -> b -> d, a -> c, e alone; in sub: f -> g, h reads g of sub.
FILES = {
    "dvc.yaml": """\
stages:
  d: {cmd: cp b d, deps: [b], outs: [d]}
  a: {cmd: cp raw a, deps: [raw], outs: [a]}
  b: {cmd: cp a b, deps: [a], outs: [b]}
  c: {cmd: cp a c, deps: [a], outs: [c]}
  e: {cmd: echo e > e, outs: [e]}
""",
    "sub/dvc.yaml": """\
stages:
  f: {cmd: cp ../d f, deps: [../d], outs: [f]}
  g: {cmd: echo g > g, outs: [g]}
""",
}


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    for name, text in {**FILES, "raw": "1"}.items():
        (workspace.root / name).parent.mkdir(exist_ok=True)
        (workspace.root / name).write_text(text)
    workspace.add(["raw"])
    return workspace


CASES: list[tuple[str, str, list[str], dict[str, bool]]] = [
    ("b", ".", ["raw.dvc", "a", "b"], {}),
    ("dvc.yaml", ".", ["raw.dvc", "a", "b", "d", "c", "e"], {}),
    ("dvc.yaml", "sub", ["raw.dvc", "a", "b", "d", "sub/dvc.yaml:f", "sub/dvc.yaml:g"], {}),
    ("f", "sub", ["raw.dvc", "a", "b", "d", "sub/dvc.yaml:f"], {}),
    ("sub/dvc.yaml:g", ".", ["sub/dvc.yaml:g"], {}),
    ("../dvc.yaml:a", "sub", ["raw.dvc", "a"], {}),
    ("raw.dvc", ".", ["raw.dvc"], {}),
    ("d b", ".", ["d", "b"], {"single_item": True}),
    ("c", ".", ["raw.dvc", "a", "b", "d", "c", "sub/dvc.yaml:f"], {"pipeline": True}),
    ("c", ".", ["raw.dvc", "a", "b", "d", "c", "sub/dvc.yaml:f"], {"pipeline": True, "single_item": True}),
    ("b", ".", ["b", "d", "sub/dvc.yaml:f"], {"downstream": True}),
    ("b", ".", ["raw.dvc", "a", "b", "d", "c", "e", "sub/dvc.yaml:f", "sub/dvc.yaml:g"], {"all_pipelines": True}),
    ("sub", ".", ["raw.dvc", "a", "b", "d", "sub/dvc.yaml:f", "sub/dvc.yaml:g"], {"recursive": True}),
    ("[ae]", ".", ["raw.dvc", "a", "e"], {"glob": True}),
    ("sub/dvc.yaml:*", ".", ["raw.dvc", "a", "b", "d", "sub/dvc.yaml:f", "sub/dvc.yaml:g"], {"glob": True}),
]


def made(workspace: Workspace, words: str, folder: str, **reach: bool) -> plan.Plan:
    whole = graph.load(workspace)
    return plan.make(workspace, whole, words.split(), Reach(**reach), workspace.root / folder)


@pytest.mark.parametrize(("words", "folder", "expected", "reach"), CASES)
def test_targets_reach_as_far_as_they_are_meant_to(
    project: Workspace, words: str, folder: str, expected: list[str], reach: dict[str, bool]
) -> None:
    found = made(project, words, folder, **reach)
    assert sorted(found.addresses) == sorted(expected)
    if "single_item" in reach and "pipeline" not in reach:
        assert list(found.addresses) == expected
    for address in found.addresses:
        for need in found.needs(address):
            assert found.addresses.index(need) < found.addresses.index(address)
            assert address in found.dependents(need)


@pytest.mark.peer
@needs_dvc
def test_dvc_looks_at_the_same(project: Workspace) -> None:
    script = """
import json, sys
from dvc.repo import Repo
from dvc.repo import reproduce as module
from dvc.dvcfile import PROJECT_FILE
import os
found = []
root = os.getcwd()
for words, folder, _, reach in json.loads(sys.argv[1]):
    os.chdir(os.path.join(root, folder))
    repo = Repo(root)
    if reach.get("pipeline") or reach.get("all_pipelines"):
        reach.pop("single_item", None)
    with repo.lock:
        stages = []
        if not reach.get("all_pipelines"):
            stages = module.collect_stages(repo, words.split(), reach.get("recursive", False), reach.get("glob", False))
        if not reach.get("single_item"):
            active = module.get_active_graph(repo.index.graph)
            stages = module.plan_repro(active, stages, reach.get("pipeline", False), reach.get("downstream", False))
    names = [stage.addressing if hasattr(stage, "name") else stage.path_in_repo for stage in stages]
    found.append([name.removeprefix("../") for name in names])
    os.chdir(root)
print(json.dumps(found))
"""
    done = subprocess.run(
        [str(DVC.with_name("python")), "-c", script, json.dumps(CASES)],
        cwd=project.root,
        env=environment(project.root.parent / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for (words, folder, expected, reach), found in zip(CASES, json.loads(done.stdout), strict=True):
        # It names stages as seen from the folder that one is in.
        names = {name.removeprefix(f"{folder}/").removeprefix("dvc.yaml:") for name in expected}
        theirs = {name.removeprefix(f"{folder}/").removeprefix("dvc.yaml:") for name in found}
        assert theirs == names, (words, folder, reach)


@pytest.mark.parametrize(
    ("words", "reach", "named"),
    [
        ("nothing", {}, "'nothing' is neither a stage nor an output"),
        ("x*", {"glob": True}, r"no stage of dvc.yaml matches 'x\*'"),
        ("raw/dvc.yaml", {}, "raw/dvc.yaml does not exist"),
    ],
)
def test_target_that_means_nothing_is_named(project: Workspace, words: str, reach: dict[str, bool], named: str) -> None:
    with pytest.raises(NotFoundError, match=named):
        made(project, words, ".", **reach)


def test_frozen_stage_needs_nothing(project: Workspace) -> None:
    path = Path(project.root / "dvc.yaml")
    path.write_text(path.read_text().replace("cmd: cp a b,", "cmd: cp a b, frozen: true,"))
    assert list(made(project, "d", ".").addresses) == ["b", "d"]
    assert list(made(project, "a", ".", downstream=True).addresses) == ["a", "c"]


def test_all_that_depends_is_told_in_order(project: Workspace) -> None:
    assert made(project, "", ".", all_pipelines=True).all_dependents("a") == ["b", "d", "c", "sub/dvc.yaml:f"]
