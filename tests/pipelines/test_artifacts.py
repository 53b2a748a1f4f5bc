from __future__ import annotations

import pytest

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.artifacts import Artifact, Tag, commit_of, parse_address

MODEL = Artifact(folder="", name="model")


def versions(*names: str) -> list[Tag]:
    return [Tag(artifact="model", commit=name, version=name) for name in names]


def test_addresses() -> None:
    assert parse_address("model") == MODEL
    assert parse_address("a/b:model") == parse_address("a/b/dvc.yaml:model") == Artifact(folder="a/b", name="model")
    assert parse_address("dvc.yaml:model") == MODEL
    assert parse_address("a/b:m").address == "a/b:m"
    for wrong in ("", "-", "a:b:c", "m odel", "model-"):
        with pytest.raises(InvalidError, match="no artifact's name"):
            parse_address(wrong)


def test_the_greatest_version_is_meant() -> None:
    ordered = ["v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta", "v1.0.0-2", "v1.0.0", "v1.2.0", "v1.10.0"]
    assert commit_of(versions(*ordered), MODEL) == "v1.10.0"
    assert commit_of(versions(*reversed(ordered)), MODEL) == "v1.10.0"
    assert commit_of(versions("v1.0.0-2", "v1.0.0-alpha"), MODEL) == "v1.0.0-alpha"
    assert commit_of(versions("v1.0.0", "v1.0.0-rc.1"), MODEL) == "v1.0.0"


def test_the_last_word_about_a_stage_counts() -> None:
    tags = [Tag(artifact="model", commit=commit, stage="prod") for commit in ("1", "2")]
    assert commit_of(tags, MODEL, stage="prod") == "2"
    gone = Tag(artifact="model", commit="2", stage="prod", is_gone=True)
    with pytest.raises(NotFoundError, match="in stage prod is registered; known: none"):
        commit_of([*tags, gone], MODEL, stage="prod")


def test_a_version_that_was_taken_back_is_not_found() -> None:
    tags = [*versions("v1.0.0", "v2.0.0"), Tag(artifact="model", commit="v2.0.0", version="v2.0.0", is_gone=True)]
    assert commit_of(tags, MODEL) == "v1.0.0"
    with pytest.raises(NotFoundError, match=r"of version v2\.0\.0 is registered; known: v1\.0\.0"):
        commit_of(tags, MODEL, version="v2.0.0")
    with pytest.raises(InvalidError, match="not by both"):
        commit_of(tags, MODEL, version="v1.0.0", stage="prod")
