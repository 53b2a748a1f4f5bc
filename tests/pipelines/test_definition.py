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
        ("stages:\n  a:\n    cmd: echo ${lr}\n", "dvc.yaml, line 3: stage a: cmd: templating"),
        ("stages:\n  a:\n    cmd: b\n    outs: ['m_${x}']\n", "line 4: stage a: outs: templating"),
        ("stages:\n  a:\n    foreach: [1]\n    do: {cmd: x}\n", "line 3: stage a: foreach is not supported"),
        ("stages:\n  a:\n    matrix: {x: [1]}\n    cmd: x\n", "stage a: matrix is not supported"),
        ("vars: [a.yaml]\n", "line 1: vars is not supported"),
        ("stages: {}\nplots: [a.csv]\n", "line 2: plots is not supported"),
        (
            "stages:\n  a:\n    cmd: b\n    dep: [x]\n",
            "line 4: stage a: dep: the key 'dep' is not known; do you mean 'deps'",
        ),
        ("stages:\n  a:\n    deps: [x]\n", "stage a: cmd must be a shell command|cmd: cmd must be"),
        ("stages:\n  a:\n    cmd: b\n    deps: x\n", "line 4: stage a: deps: must be a list, found str"),
        ("stages:\n  a:\n    cmd: b\n    deps: [1]\n", "list of strings"),
        ("stages:\n  a:\n    cmd: b\n    outs:\n    - m: {cahce: false}\n", "do you mean 'cache'"),
        ("stages:\n  a:\n    cmd: b\n    outs:\n    - m: {cache: 0}\n", "cache must be true or false"),
        ("stages:\n  a:\n    cmd: b\n    frozen: 1\n", "must be true or false"),
        ("stages:\n  a:\n    cmd: b\n    deps: [../x]\n", "leaves the workspace"),
        ("stages:\n  a:\n    cmd: b\n    deps: [s3://x/y]\n", "outside of the workspace"),
        ("stages:\n  a:\n    cmd: b\n    outs: [.]\n", "is the workspace itself"),
        ("stages:\n  a:\n    cmd: b\n    params: [3]\n", "an item must be a key"),
        ("stages:\n  a:\n    cmd: b\n    params: [{f.json: x}]\n", "keys of f.json must be a list"),
        ("stages:\n  a@b:\n    cmd: b\n", "only letters, digits"),
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
