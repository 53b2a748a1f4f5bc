from __future__ import annotations

from pathlib import Path

import pytest

from everloop.errors import InvalidError
from everloop.workspace import Content, DvcFile, Out, dvcfile

FILE = Content(md5="a" * 32, size_bytes=7)
DIRECTORY = Content(md5="b" * 32 + ".dir", size_bytes=9, n_files=2)


def test_new_file_has_dvcs_order_and_quotes(tmp_path: Path) -> None:
    dvcfile.write(tmp_path, DvcFile(path="1.dvc", outs=(Out(path="1", content=DIRECTORY),)))
    assert (tmp_path / "1.dvc").read_text() == (
        f"outs:\n- md5: {DIRECTORY.md5}\n  size: 9\n  nfiles: 2\n  hash: md5\n  path: '1'\n"
    )


def test_comments_order_and_further_keys_survive(tmp_path: Path) -> None:
    (tmp_path / "x.dvc").write_text(
        "# top\nouts:\n- path: x  # name\n  desc: mine\n  nfiles: 3\n  md5: "
        + "c" * 32
        + ".dir\n  hash: md5\nmeta:\n  owner: me\n"
    )
    dvcfile.write(tmp_path, DvcFile(path="x.dvc", outs=(Out(path="x", content=FILE),)))
    text = (tmp_path / "x.dvc").read_text()
    assert text.startswith("# top\nouts:\n")
    assert "path: x  # name\n" in text
    assert "desc: mine\n" in text
    assert text.endswith("meta:\n  owner: me\n")
    assert "nfiles" not in text
    assert dvcfile.read(tmp_path, "x.dvc").outs == (Out(path="x", content=FILE),)


def test_paths_are_relative_to_the_file_and_its_wdir(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/x.dvc").write_text("wdir: ..\nouts:\n- path: y/x\n")
    assert dvcfile.read(tmp_path, "sub/x.dvc").outs == (Out(path="y/x"),)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("outs: [{path: x, md5: " + "a" * 32 + ", hash: sha256}]", "sha256"),
        ("outs: [{path: x, md5: zz, hash: md5}]", "32 hex digits"),
        ("outs: [{path: x, etag: q}]", "etag"),
        ("outs: [{path: ../x}]", "leaves the workspace"),
        ("outs: [{path: s3://b/x}]", "outside of the workspace"),
        ("outs: [{md5: " + "a" * 32 + ", hash: md5}]", "path must be a string"),
        ("outs: [{path: x, chache: true}]", "chache"),
        ("outs: 3", "must be a list"),
        ("outz: []", "outz"),
        ("- a", "mapping"),
        ("a: [", "line"),
    ],
)
def test_malformed_and_unsupported_files_are_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "x.dvc").write_text(text)
    with pytest.raises(InvalidError, match=named):
        dvcfile.read(tmp_path, "x.dvc")
