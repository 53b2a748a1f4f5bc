from __future__ import annotations

import re
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.workspace import Content, DvcFile, Out, dvcfile, hashing, recordhash, yamlfile
from everloop.workspace.yamlfile import load_plain

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
        ("outs: [{path: ../x}]", "leaves the workspace"),
        ("outs: [{md5: " + "a" * 32 + ", hash: md5}]", "path must be a string"),
        ("outs: [{path: x, hash: md5, files: 3}]", "files must be a list"),
        ("outs: [{path: x, hash: md5, files: [{relpath: ../y, md5: " + "a" * 32 + "}]}]", "inside of the directory"),
        ("outs: [{path: x, hash: md5, files: [{relpath: y, md5: 3}]}]", "32 hex digits"),
        ("outs: [{path: x, hash: md5, md5: " + "a" * 32 + ", cloud: 3}]", "cloud must be"),
        ("outs: 3", "must be a list"),
        ("- a", "mapping"),
        ("a: [", "line"),
    ],
)
def test_malformed_and_unsupported_files_are_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "x.dvc").write_text(text)
    with pytest.raises(InvalidError, match=named):
        dvcfile.read(tmp_path, "x.dvc")


@pytest.mark.parametrize(
    "text",
    [
        "outs: [{path: x, chache: true, etag: q}]\noutz: []\n",
        "outs: [{path: s3://b/y, etag: q, cache: false}, {path: /tmp/z, checksum: q}, {path: x}]\n",
    ],
)
def test_what_is_not_understood_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.dvc").write_text(text)
    assert dvcfile.read(tmp_path, "x.dvc").outs == (Out(path="x"),)
    dvcfile.write(tmp_path, DvcFile(path="x.dvc", outs=(Out(path="x", content=FILE),)))
    written = load_plain(tmp_path / "x.dvc")
    before = yamlfile.parse_plain(text, "it")
    (kept,) = (entry for entry in written["outs"] if entry["path"] == "x")
    assert kept["md5"] == FILE.md5
    assert [e for e in written["outs"] if e["path"] != "x"] == [e for e in before["outs"] if e["path"] != "x"]
    assert written.get("outz") == before.get("outz")


def test_hash_over_the_whole_record_of_an_old_dvc_stays_right(tmp_path: Path) -> None:
    (tmp_path / "x.dvc").write_text("md5: 0\nouts:\n- md5: " + "c" * 32 + "\n  path: x\n")
    dvcfile.write(tmp_path, DvcFile(path="x.dvc", outs=(Out(path="x", content=FILE),)))
    data = load_plain(tmp_path / "x.dvc")
    assert data["md5"] == recordhash.digest(data)


def test_files_in_clouds_are_read_and_go_when_the_content_changes(tmp_path: Path) -> None:
    listed = {"a": "a" * 32, "b/c": "b" * 32}
    entries = "".join(
        f"  - relpath: {path}\n    md5: {md5}\n    size: 2\n    cloud:\n      Far: {{etag: q, version_id: v}}\n"
        for path, md5 in listed.items()
    )
    (tmp_path / "x.dvc").write_text(f"outs:\n- hash: md5\n  path: x\n  desc: mine\n  files:\n{entries}")
    (out,) = dvcfile.read(tmp_path, "x.dvc").outs
    assert out.content == Content(md5=hashing.directory_md5_of(listed), size_bytes=4, n_files=2)
    assert [(version.path, version.md5, version.ids) for version in out.versions] == [
        (path, md5, {"far": "v"}) for path, md5 in listed.items()
    ]
    dvcfile.write(tmp_path, DvcFile(path="x.dvc", outs=(Out(path="x", content=FILE),)))
    assert (tmp_path / "x.dvc").read_text() == (
        f"outs:\n- md5: {FILE.md5}\n  size: 7\n  hash: md5\n  path: x\n  desc: mine\n"
    )


WORDS = st.text("abcdefgh", min_size=1, max_size=6)
SCALARS = st.one_of(WORDS, st.integers(-5, 5), st.booleans(), st.none())
VALUES = SCALARS | st.lists(SCALARS, min_size=1, max_size=2) | st.dictionaries(WORDS, SCALARS, min_size=1, max_size=2)
# Keys that DVC knows beside those of the content, and others.
OPTIONS = st.dictionaries(
    st.one_of(st.sampled_from(["desc", "meta", "labels", "type", "remark"]), WORDS.map("x-{}".format)),
    VALUES,
    max_size=5,
)
CONTENTS = st.builds(
    lambda md5, size, n: Content(md5=md5 + (".dir" if n else ""), size_bytes=size, n_files=n),
    st.sampled_from(["a" * 32, "b" * 32]),
    st.integers(0, 99),
    st.none() | st.integers(1, 9),
)


def commented(lines: list[str], random: Random) -> tuple[str, set[str]]:
    """The lines of a file with comments in between and behind, and these comments."""
    comments: set[str] = set()
    text = ""
    for line in lines:
        number = len(comments)
        if random.random() < 0.3 and text:
            text += f"# above {number}\n"
            comments.add(f"# above {number}")
        if random.random() < 0.3 and not line.endswith((":", "|-", ">-")):
            text += f"{line}  # behind {number}.\n"
            comments.add(f"# behind {number}.")
        else:
            text += line + "\n"
    return text, comments


@settings(max_examples=40, phases=[Phase.explicit, Phase.generate])
@given(CONTENTS, CONTENTS, OPTIONS, OPTIONS, st.randoms(use_true_random=False))
def test_whatever_else_is_written_survives(
    before: Content, after: Content, options: dict[str, Any], further: dict[str, Any], random: Random
) -> None:
    fields = [*dvcfile.content_fields(before).items(), ("path", "x"), *options.items()]
    random.shuffle(fields)
    data = {"outs": [dict(fields), {"path": "y"}], **further}
    text, comments = commented(yamlfile.dump(data).decode().splitlines(), random)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "x.dvc").write_text(text)
        # The YAML library itself loses some comments behind nested lists.
        comments &= set(
            re.findall(r"# above \d+|# behind \d+\.", yamlfile.dump(yamlfile.load_editable(root / "x.dvc")).decode())
        )
        dvcfile.write(root, DvcFile(path="x.dvc", outs=(Out(path="x", content=after),)))
        written = (root / "x.dvc").read_text()
    found = yamlfile.parse_plain(written, "it")
    entry = found["outs"][0]
    assert {key: entry[key] for key in entry if key in dvcfile.CONTENT_KEYS} == dvcfile.content_fields(after)
    assert {key: entry[key] for key in entry if key not in dvcfile.CONTENT_KEYS} == {"path": "x", **options}
    assert [key for key in entry if key in options] == [key for key, _ in fields if key in options]
    assert {**found, "outs": data["outs"]} == data
    assert list(found) == list(data)
    assert {comment for comment in comments if comment not in written} == set()
