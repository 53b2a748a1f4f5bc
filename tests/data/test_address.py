"""An address means one thing, and what is none says so."""

from __future__ import annotations

import pytest

from everloop.data import BatchFile, FarFile, LocalFile, ModelFile, TrackedFile, parse
from everloop.errors import InvalidError


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("data/x.csv", LocalFile(path="data/x.csv")),
        ("/abs/a@b.csv", LocalFile(path="/abs/a@b.csv")),
        ("file:///abs/x", LocalFile(path="/abs/x")),
        ("ever://data/x.csv", LocalFile(path="data/x.csv")),
        ("ever://@v1.0//data/x.csv", TrackedFile(rev="v1.0", path="data/x.csv")),
        ("ever://@feature/new//d/x", TrackedFile(rev="feature/new", path="d/x")),
        ("ever://../registry@v1//d", TrackedFile(repo="../registry", rev="v1", path="d")),
        ("ever:///srv/registry//d/x", TrackedFile(repo="/srv/registry", path="d/x")),
        (
            "ever://https://host/a/b.git@main//d/x@y.csv",
            TrackedFile(repo="https://host/a/b.git", rev="main", path="d/x@y.csv"),
        ),
        ("ever://https://ada@host/a.git//x", TrackedFile(repo="https://ada@host/a.git", path="x")),
        ("ever://git@host:a/b.git@v1//x", TrackedFile(repo="git@host:a/b.git", rev="v1", path="x")),
        ("ever://file:///srv/bare.git@v1//x", TrackedFile(repo="file:///srv/bare.git", rev="v1", path="x")),
        ("s3://bucket/a/x.csv", FarFile(url="s3://bucket/a/x.csv")),
        ("remote://shared/x", FarFile(url="remote://shared/x")),
        ("models/delay@champion/a/model.skops", ModelFile(model="delay", version="champion", path="a/model.skops")),
        ("ever://models/delay@3/MLmodel", ModelFile(model="delay", version="3", path="MLmodel")),
        ("datasets/weather@latest/2013-01", BatchFile(dataset="weather", up_to="latest", batch="2013-01")),
        ("models/mine.bin", LocalFile(path="models/mine.bin")),
        ("./models/a@b/c", LocalFile(path="./models/a@b/c")),
    ],
)
def test_means(text: str, meaning: object) -> None:
    assert parse(text) == meaning


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a path or a URL"),
        ("ftp://host/x", "ftp:// are not supported"),
        ("ever://https://host/repo", "no path in it"),
        ("ever://@v1//d/../../x", "out of the repository"),
        ("a\0b", "a path or a URL"),
    ],
)
def test_is_none(text: str, says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        parse(text)
