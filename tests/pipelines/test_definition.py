from __future__ import annotations

import pytest

from everloop.errors import InvalidError
from everloop.pipelines import definition
from everloop.pipelines.tree import FolderTree
from everloop.pipelines.values import OutKind, ParamsFile, Stage
from everloop.workspace import Workspace


def read(workspace: Workspace, text: str, file: str = "dvc.yaml") -> list[Stage]:
    target = workspace.root / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return definition.read(FolderTree(workspace), file).stages


def test_whole_grammar_that_is_supported(workspace: Workspace) -> None:
    (stage,) = read(
        workspace,
        """\
stages:
  train-1:
    desc: learn
    cmd: python train.py \\${HOME}
    wdir: src
    deps: [../data, train.py]
    params: [lr, train.depth, {../more.toml: [a]}, {x.json: null}]
    outs:
    - model: {cache: true, persist: true, push: false, desc: the model, labels: [a], type: model, meta: {x: 1}}
    metrics: [m.json: {cache: false}]
    plots:
    - p.csv: {x: fpr, y: tpr, title: ROC, template: linear, header: true, x_label: a, y_label: b}
    frozen: false
    always_changed: true
    meta: anything
""",
    )
    assert stage.command == "python train.py ${HOME}"
    assert stage.folder == "src"
    assert [(dep.written, dep.path) for dep in stage.deps] == [("../data", "data"), ("train.py", "src/train.py")]
    assert stage.params == (
        ParamsFile(written="params.yaml", path="src/params.yaml", keys=("lr", "train.depth")),
        ParamsFile(written="../more.toml", path="more.toml", keys=("a",)),
        ParamsFile(written="x.json", path="src/x.json", keys=None),
    )
    assert [(out.path, out.kind, out.is_cached, out.is_persistent) for out in stage.outs] == [
        ("src/model", OutKind.OUT, True, True),
        ("src/m.json", OutKind.METRIC, False, False),
        ("src/p.csv", OutKind.PLOT, True, False),
    ]
    assert stage.is_always_changed
    assert not stage.is_frozen


def test_stage_of_another_folder_has_its_file_in_the_address(workspace: Workspace) -> None:
    (stage,) = read(workspace, "stages: {a: {cmd: b, deps: [x]}}", "sub/dvc.yaml")
    assert stage.address == "sub/dvc.yaml:a"
    assert stage.deps[0].path == "sub/x"


def test_lines_of_a_command_are_scripts(workspace: Workspace) -> None:
    (stage,) = read(workspace, "stages:\n  a:\n    cmd: |\n      one\n      two\n")
    assert stage.scripts == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("stages:\n  a:\n    cmd: echo ${lr}\n", "dvc.yaml, line 3: stage a: cmd: the variable .* is not defined"),
        ("vars: [{lr: 1}]\nstages:\n  a:\n    cmd: ${lrr}\n", "line 4: .*do you mean \\$\\{lr\\}"),
        ("stages:\n  a:\n    cmd: b\n    outs: ['m_${x[}']\n", "line 4: stage a: outs: .*cannot be read"),
        ("stages:\n  a:\n    foreach: 1\n    do: {cmd: x}\n", "line 3: stage a: foreach: must be a list or a mapping"),
        ("stages:\n  a:\n    foreach: [1]\n", "line 3: .*has foreach and do, nothing else; one is missing"),
        ("stages:\n  a:\n    foreach: [1]\n    do: {cmd: x}\n    desc: y\n", "line 5: .*found 'desc'"),
        ("stages:\n  a:\n    foreach: [1]\n    do: {cmd: x, dep: y}\n", "dep: the key 'dep' is not known"),
        ("stages:\n  a:\n    matrix: {x: 1}\n    cmd: x\n", "line 3: .*must map names to lists"),
        ("stages:\n  a:\n    matrix: {x: [1]}\n    do: {cmd: x}\n", "line 3: .*neither foreach nor do"),
        ("vars: [a.yaml]\n", "dvc.yaml: the file of variables a.yaml does not exist"),
        ("vars: [{a: {b: 1}}, {a: {b: 2}}]\n", "defines the variable 'a.b' again, which vars\\[0\\] has"),
        ("vars: [{a: '${b}'}]\n", "cannot be made of other ones"),
        ("vars: [{a: [1]}]\nstages:\n  a:\n    cmd: x ${a}\n", "is a list, which cannot be written into a text"),
        ("stages: {}\nplots: [1]\n", "line 2: plots: an item must be"),
        ("stages: {}\nplots: [a: {z: 1}]\n", "the key 'z' is not known"),
        ("stages: {}\nartifacts: {a: {type: b}}\n", "line 2: .*a must be a mapping with a path"),
        (
            "stages:\n  a:\n    cmd: b\n    dep: [x]\n",
            "line 4: stage a: dep: the key 'dep' is not known; do you mean 'deps'",
        ),
        ("stages:\n  a:\n    deps: [x]\n", "stage a: cmd: must be a shell command"),
        ("stages:\n  a:\n    cmd: b\n    deps: x\n", "line 4: stage a: deps: must be a list, found str"),
        ("stages:\n  a:\n    cmd: b\n    deps: [{a: 1}]\n", "list of strings"),
        ("stages:\n  a:\n    cmd: b\n    outs:\n    - m: {cahce: false}\n", "do you mean 'cache'"),
        ("stages:\n  a:\n    cmd: b\n    outs:\n    - m: {cache: 0}\n", "cache must be true or false"),
        ("stages:\n  a:\n    cmd: b\n    frozen: 1\n", "must be true or false"),
        ("stages:\n  a:\n    cmd: b\n    outs: [../x]\n", "leaves the workspace"),
        ("stages:\n  a:\n    cmd: b\n    outs: [/x/y]\n", "outside of the workspace"),
        ("stages:\n  a:\n    cmd: b\n    deps: [s3://x/y]\n", "an address, which a stage cannot depend on"),
        ("stages:\n  a:\n    cmd: b\n    outs: [.]\n", "is the workspace itself"),
        ("stages:\n  a:\n    cmd: b\n    params: [3]\n", "an item must be a key"),
        ("stages:\n  a:\n    cmd: b\n    params: [{f.json: x}]\n", "keys of f.json must be a list"),
        ("stages:\n  a@b:\n    cmd: b\n", "has no @"),
        ("stages:\n  a: b\n", "must be a mapping of keys"),
        ("stages: [a]\n", "must be a mapping of names"),
        ("stages:\n  a: {cmd: b}\n  a: {cmd: c}\n", "line"),
        ("stages: {a: [", "line"),
        ("- a\n", "top level must be a mapping"),
    ],
)
def test_what_is_wrong_or_not_supported_is_named(workspace: Workspace, text: str, named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        read(workspace, text)
