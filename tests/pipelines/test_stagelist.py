from __future__ import annotations

import pytest

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.stagelist import list_stages
from everloop.workspace import Workspace

ROOT = """\
stages:
  first:
    cmd: x
    desc: "\\n  told by its author  \\nand more"
    outs: [a]
  last:
    cmd: x
    deps: [a]
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    (workspace.root / "sub").mkdir()
    (workspace.root / "dvc.yaml").write_text(ROOT)
    (workspace.root / "sub/dvc.yaml").write_text(f"stages:\n  long:\n    cmd: x\n    outs: [{'o' * 90}]\n")
    (workspace.root / "data").write_text("1")
    workspace.add(["data"])
    return workspace


def names(
    workspace: Workspace, *words: str, folder: str = ".", everything: bool = False, recursive: bool = False
) -> list[str]:
    return [each.stage for each in list_stages(workspace, words, folder, everything=everything, recursive=recursive)]


def test_descriptions(project: Workspace) -> None:
    assert {each.stage: each.description for each in list_stages(project, everything=True)} == {
        "data.dvc": "Outputs data",
        "first": "told by its author",
        "last": "Depends on a",
        "sub/dvc.yaml:long": f"Outputs {'o' * 71}…",
    }


def test_words_are_meant_from_the_folder(project: Workspace) -> None:
    assert names(project) == ["first", "last"]
    assert names(project, folder="sub") == ["long"]
    assert names(project, "../dvc.yaml:last", "../data", folder="sub") == ["../dvc.yaml:last", "../data.dvc"]
    assert names(project, "sub", recursive=True) == ["sub/dvc.yaml:long"]
    assert names(project, "a", "first") == ["first"]


def test_a_word_that_means_nothing_is_refused(project: Workspace) -> None:
    with pytest.raises(NotFoundError, match="'nope' is neither a stage nor an output"):
        names(project, "nope")


def test_a_broken_file_is_passed_over_or_refused(project: Workspace) -> None:
    (project.root / "sub/dvc.yaml").write_text("stages: [")
    told: list[str] = []
    found = list_stages(project, everything=True, on_unreadable=lambda error: told.append(error.message))
    assert [each.stage for each in found] == ["data.dvc", "first", "last"]
    assert "sub/dvc.yaml" in told[0]
    with pytest.raises(InvalidError, match=r"sub/dvc\.yaml"):
        names(project, everything=True)
