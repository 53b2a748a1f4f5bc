from __future__ import annotations

import pytest

from everloop.errors import InvalidError
from everloop.pipelines.tree import FolderTree, Tree, commit_trees, pipeline_files, text_of
from everloop.workspace import Workspace


@pytest.fixture
def kept(workspace: Workspace) -> Workspace:
    (workspace.root / "sub").mkdir()
    (workspace.root / "sub" / "dvc.yaml").write_text("stages: {}\n")
    (workspace.root / "dvc.yaml").write_text("stages: {}\n")
    (workspace.root / "data").mkdir()
    (workspace.root / "data" / "a.csv").write_text("a\n")
    (workspace.root / "one.json").write_text("{}")
    workspace.add(["data", "one.json"])
    workspace.git.stage([path for path in workspace.root.iterdir() if path.name not in (".git", "data", "one.json")])
    workspace.git.commit([workspace.root / "dvc.yaml", workspace.root / "sub"], "first")
    return workspace


def look(tree: Tree) -> None:
    assert pipeline_files(tree) == ["dvc.yaml", "sub/dvc.yaml"]
    assert text_of(tree, "sub/dvc.yaml") == "stages: {}\n"
    assert tree.read("one.json") == b"{}"
    assert tree.below("data") == ["data/a.csv"]
    assert tree.read("data/a.csv") == b"a\n"
    assert tree.read("nothing") is None
    assert tree.read("dvc.yaml/nothing") is None
    assert tree.below("nothing") == []
    assert tree.below("sub") == ["sub/dvc.yaml"]
    with pytest.raises(InvalidError, match="sub is a folder"):
        tree.read("sub")


def test_the_folder_and_its_commit_read_alike(kept: Workspace) -> None:
    look(FolderTree(kept))
    with commit_trees(kept) as trees:
        kept.git.ask("add", "-A")
        kept.git.commit([kept.root / "data.dvc", kept.root / "one.json.dvc"], "second")
        tree = trees.at("HEAD")
        look(tree)
        assert tree.name == "HEAD"


def test_data_that_the_cache_lacks_are_not_there(kept: Workspace) -> None:
    kept.git.commit([kept.root / "one.json.dvc"], "second")
    (kept.cache.path("99914b932bd37a50b983c5e7c90ae93b")).unlink()
    with commit_trees(kept) as trees:
        assert trees.at("HEAD").read("one.json") is None
