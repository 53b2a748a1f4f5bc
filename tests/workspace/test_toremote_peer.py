"""Data from addresses, and data that go straight to a remote, beside the real DVC: the same records, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.storage.bucket import open_bucket
from everloop.workspace import Workspace
from tests.fileservers import FileServer, file_server
from tests.s3 import S3Server
from tests.workspace.dvcpeer import commit, dvc, dvc_json, needs_dvc, write

pytestmark = needs_dvc
DATA = {"d/a": "1", "d/sub/ü b": "2", "f.txt": "3"}


@pytest.fixture(scope="module", autouse=True)
def origin(s3: S3Server) -> None:
    bucket = open_bucket(s3.make_bucket("origin"), s3.options)
    for key, text in DATA.items():
        bucket.put(f"in/{key}", text.encode())


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    folder = tmp_path_factory.mktemp("ssh") / "shown"
    write(folder / "in", dict(DATA))
    with file_server("ssh", folder) as server:
        yield server


@pytest.fixture
def ours(tmp_path: Path, s3: S3Server, ssh: FileServer) -> Path:
    """A workspace that knows a remote of its own, and those where the data are."""
    workspace = Workspace.init(tmp_path / "ours")
    write(tmp_path / "plain", dict(DATA))
    ever(workspace.root, "remote", "add", "-d", "store", str(tmp_path / "store"))
    for name, url, options in (("cloud", "s3://origin", s3.options), ("server", f"{ssh.url}/in", ssh.options)):
        ever(workspace.root, "remote", "add", name, url)
        for option, value in options.items():
            ever(workspace.root, "remote", "modify", name, option, value)
    commit(workspace.root)
    return workspace.root


@pytest.fixture
def theirs(ours: Path) -> Path:
    return shutil.copytree(ours, ours.parent / "theirs")


def ever(folder: Path, *words: str) -> Result:
    here = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    finally:
        os.chdir(here)
    assert done.exit_code == 0, f"{words}: {done.output}"
    return done


def records(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("?*.dvc")}


def below_the_hash(folder: Path) -> dict[str, list[str]]:
    return {name: text.splitlines()[1:] for name, text in records(folder).items()}


def objects(folder: Path) -> set[str]:
    found = {path.parent.name + path.name: path for path in folder.glob("files/md5/*/*") if path.is_file()}
    for md5, path in found.items():
        assert hashlib.md5(path.read_bytes()).hexdigest() == md5.removesuffix(".dir")
    return set(found)


def test_imports_out_of_clouds_and_file_servers_are_the_same(ours: Path, theirs: Path, s3: S3Server) -> None:
    options = ["--fs-config", *(f"{key}={value}" for key, value in s3.options.items())]
    for words in (
        ("remote://cloud/in/d",),
        ("remote://cloud/in/f.txt",),
        ("remote://server/d", "dd"),
        ("remote://server/f.txt", "ff"),
        ("s3://origin/in/f.txt", "fff", *options),
    ):
        ever(ours, "import-url", *words)
        dvc(theirs, "import-url", "-q", *words)
    assert records(ours) == records(theirs)
    assert (ours / "d/sub/ü b").read_text() == (ours / "dd/sub/ü b").read_text() == "2"
    assert dvc_json(ours, "status") == {}
    assert "nothing new" in ever(ours, "update", "d", "f.txt", "ff").stdout
    dvc(ours, "update", "-q", "d.dvc", "dd.dvc")
    assert records(ours) == records(theirs)


@pytest.mark.parametrize("flag", ["--no-exec", "--no-download", "--to-remote"])
def test_import_url_that_brings_nothing_here_records_the_same(ours: Path, theirs: Path, flag: str) -> None:
    plain = ours.parent / "plain"
    for words in (
        ("remote://cloud/in/d",),
        ("remote://cloud/in/f.txt",),
        ("remote://server/d", "dd"),
        (f"{plain}/d", "ddd"),
        (f"{plain}/f.txt", "fff"),
    ):
        ever(ours, "import-url", flag, *words)
        dvc(theirs, "import-url", "-q", flag, *words)
    assert records(ours) == records(theirs)
    assert not (ours / "d").exists()
    assert not objects(ours / ".dvc/cache")
    if flag == "--to-remote":
        assert len(objects(ours.parent / "store")) == 4
        dvc(ours, "pull", "-q")
        assert (ours / "d/sub/ü b").read_text() == (ours / "ddd/sub/ü b").read_text() == "2"
    else:
        ever(ours, "update", "-R", ".")
        dvc(theirs, "update", "-q", *records(theirs))
        assert json.loads(ever(ours, "status", "--json").stdout) == dvc_json(theirs, "status") == {}
        assert (ours / "ddd/sub/ü b").read_text() == "2"


def test_import_that_does_not_even_look_records_the_same(ours: Path, theirs: Path) -> None:
    for words in (("../nowhere", "d"), ("../nowhere", "d", "--rev", "v1", "-o", "e")):
        ever(ours, "import", "--no-exec", *words)
        dvc(theirs, "import", "-q", "--no-exec", *words)
    assert records(ours) == records(theirs)


def test_updates_that_bring_nothing_here_record_the_same(ours: Path, theirs: Path) -> None:
    plain = ours.parent / "plain"
    for folder, tool in ((ours, ever), (theirs, dvc)):
        for name in ("d", "f.txt"):
            tool(folder, "import-url", f"{plain}/{name}")
        tool(folder, "import-url", f"{plain}/d", "dd")
    write(plain, {"d/new": "new", "f.txt": "changed"})
    for folder, tool in ((ours, ever), (theirs, dvc)):
        tool(folder, "update", "--no-download", "d.dvc", "f.txt.dvc")
        tool(folder, "update", "--to-remote", "dd.dvc")
    # DVC hashes the record of before.
    assert below_the_hash(ours) == below_the_hash(theirs)
    assert hashlib.md5(b"new").hexdigest() in objects(ours.parent / "store")
    ever(ours, "update", "d", "f.txt")
    assert (ours / "d/new").read_text() == "new"


def test_add_to_a_remote_records_the_same_and_keeps_nothing(ours: Path, theirs: Path) -> None:
    plain = ours.parent / "plain"
    for folder in (ours, theirs):
        write(folder, {"in/x": "x", "in/y/z": "z"})
    for words in (
        ("in",),
        (f"{plain}/d",),
        (f"{plain}/f.txt", "-o", "o"),
        ("remote://cloud/in/d", "-o", "c"),
        ("remote://server/f.txt", "-o", "s", "--remote-jobs", "2"),
    ):
        ever(ours, "add", "--to-remote", *words)
        dvc(theirs, "add", "-q", "--to-remote", *words)
    assert records(ours) == records(theirs)
    assert (ours / "in/y/z").read_text() == "z"
    assert not (ours / "d").exists()
    assert not objects(ours / ".dvc/cache")
    dvc(ours, "pull", "-q")
    assert (ours / "c/sub/ü b").read_text() == "2"
    assert (ours / "s").read_text() == "3"


def test_get_url_takes_all_kinds(ours: Path) -> None:
    for address in ("remote://cloud/in/d", "remote://server/d"):
        ever(ours, "get-url", "-f", address)
        assert (ours / "d/sub/ü b").read_text() == "2"
    assert ever(ours, "get-url", "remote://server/f.txt", "-j", "1").exit_code == 0
    assert (ours / "f.txt").read_text() == "3"
