"""`list`, `import` and `update` beside the real DVC: the same answers, and each takes over the other's imports."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.workspace import Workspace
from everloop.workspace.yamlfile import load_plain
from tests.workspace.dvcpeer import commit, dvc, dvc_json, needs_dvc, run, write

pytestmark = needs_dvc


PIPELINE = """\
stages:
  s:
    cmd: mkdir -p out && cp code.py out/a && cp code.py m
    deps: [code.py]
    outs: [out/a, {m: {cache: false}}]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions, its data also in a remote; made once, because the tool takes a second."""
    folder = tmp_path_factory.mktemp("peer") / "registry"
    Workspace.init(folder)
    write(folder, {"d/ü b": "1", "d/sub/x\ny": "2", "d/run.sh": "3", "nest/f": "4", "code.py": "5", "code/deep/x": "6"})
    write(folder, {"dvc.yaml": PIPELINE})
    dvc(folder, "add", "-q", "d", "nest/f")
    dvc(folder, "repro", "-q")
    dvc(folder, "remote", "add", "-q", "-d", "store", str(folder.parent / "store"))
    dvc(folder, "push", "-q")
    commit(folder)
    run(folder, "git", "tag", "v1")
    write(folder, {"d/ü b": "changed", "code.py": "changed"})
    dvc(folder, "add", "-q", "d")
    dvc(folder, "repro", "-q")
    dvc(folder, "push", "-q")
    commit(folder)
    return folder


@pytest.fixture
def registry(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "registry", symlinks=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.init(tmp_path / "project")
    commit(made.root)
    return made


def ever(folder: Path, *words: str) -> Result:
    here = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    finally:
        os.chdir(here)
    assert done.exit_code == 0, done.output
    return done


def ever_json(folder: Path, *words: str) -> Any:
    return json.loads(ever(folder, *words, "--json").stdout)


def comparable(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """DVC tells the size of folders as the filesystem has it, and sizes of data only sometimes."""
    return [{key: value for key, value in entry.items() if key != "size"} for entry in entries]


@pytest.mark.parametrize(
    "words",
    [
        (".",),
        (".", "--dvc-only"),
        (".", "-R", "--dvc-only"),
        (".", "-R", "-L", "2"),
        (".", "nest/f"),
        (".", "d/sub", "--rev", "v1"),
        (".", "-R", "--rev", "v1"),
    ],
    ids=" ".join,
)
def test_list_as_dvc_does(registry: Path, words: tuple[str, ...]) -> None:
    ours, theirs = ever_json(registry, "list", *words), dvc_json(registry, "list", *words)
    assert comparable(ours) == comparable(theirs)
    files = {entry["path"]: entry["size"] for entry in theirs if not entry["isdir"] and entry["size"] is not None}
    assert {entry["path"]: entry["size"] for entry in ours if entry["path"] in files} == files


def test_list_prints_sizes_and_hashes_as_dvc_does(registry: Path) -> None:
    (registry / "many").mkdir()
    for name, size in {"s1": 0, "s2": 1023, "s3": 1024, "s4": 10_235, "s5": 1_022_975, "s6": 1_023_999}.items():
        (registry / "many" / name).write_bytes(bytes(size))
    for words in (["many", "--size"], ["nest", "-R", "--size", "--show-hash"], ["many", "--dvc-only"]):
        assert ever(registry, "list", ".", *words).stdout == dvc(registry, "list", ".", *words)


def test_list_of_a_git_address(registry: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "-q", "--bare", str(registry), "bare.git")
    url = f"file://{tmp_path}/bare.git"
    words = (url, "-R", "--rev", "v1")
    assert comparable(ever_json(tmp_path, "list", *words)) == comparable(dvc_json(tmp_path, "list", *words))


@pytest.mark.parametrize("where", ["folder", "address without its cache"])
def test_imports_are_the_same_file_for_file(registry: Path, workspace: Workspace, where: str) -> None:
    url = "../registry"
    if where != "folder":
        run(registry.parent, "git", "clone", "-q", "--bare", str(registry), "bare.git")
        url = f"file://{registry.parent}/bare.git"
        shutil.rmtree(registry)
    beside = shutil.copytree(workspace.root, workspace.root.parent / "beside")
    for words in (("d", "-o", "in/dd"), ("d/sub", "--rev", "v1"), ("code",)):
        (workspace.root / "in").mkdir(exist_ok=True)
        (beside / "in").mkdir(exist_ok=True)
        ever(workspace.root, "import", url, *words)
        dvc(beside, "import", "-q", url, *words)
    for path in ("in/dd.dvc", "sub.dvc", "code.dvc", ".gitignore", "in/.gitignore"):
        assert (workspace.root / path).read_text() == (beside / path).read_text(), path
    assert (workspace.root / "in/dd/ü b").read_text() == "changed"
    assert dvc_json(workspace.root, "status") == {}
    assert workspace.status() == {}


def test_dvc_updates_what_ever_imported_and_ever_what_dvc_imported(registry: Path, workspace: Workspace) -> None:
    ever(workspace.root, "import", "../registry", "d", "--rev", "v1", "-o", "ours")
    dvc(workspace.root, "import", "-q", "../registry", "d", "--rev", "v1", "-o", "theirs")
    assert ever_json(workspace.root, "update", "theirs") == {"updated": [], "unchanged": ["theirs.dvc"]}
    dvc(workspace.root, "update", "-q", "--rev", "main", "ours.dvc")
    ever(workspace.root, "update", "--rev", "main", "theirs.dvc")
    ours, theirs = ((workspace.root / name).read_text() for name in ("ours.dvc", "theirs.dvc"))
    assert ours.replace("ours", "theirs").splitlines()[1:] == theirs.splitlines()[1:]
    assert (workspace.root / "ours/ü b").read_text() == (workspace.root / "theirs/ü b").read_text() == "changed"
    assert dvc_json(workspace.root, "status") == {}
    assert workspace.status() == {}


def test_import_without_download_is_brought_by_an_update_of_dvc(registry: Path, workspace: Workspace) -> None:
    ever(workspace.root, "import", "../registry", "nest/f", "--no-download")
    beside = workspace.root.parent / "beside"
    shutil.copytree(workspace.root, beside)
    (beside / "f.dvc").unlink()
    dvc(beside, "import", "-q", "../registry", "nest/f", "--no-download")
    assert (workspace.root / "f.dvc").read_text() == (beside / "f.dvc").read_text()
    dvc(workspace.root, "update", "-q", "f.dvc")
    ever(beside, "update", "f.dvc")
    # DVC leaves the keys of the out in another order.
    assert load_plain(workspace.root / "f.dvc") == load_plain(beside / "f.dvc")
    assert (beside / "f").read_text() == "4"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file of the server's `body`."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        body: bytes = self.server.body  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("ETag", f'"{body.hex()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def website() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.body = b"first"  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_imports_of_addresses_are_the_same(
    workspace: Workspace, tmp_path: Path, website: http.server.ThreadingHTTPServer
) -> None:
    write(tmp_path, {"outside/x": "1", "outside/sub/ü": "2", "plain.txt": "3"})
    write(workspace.root, {"inner.txt": "4"})
    beside = shutil.copytree(workspace.root, tmp_path / "beside")
    address = f"http://127.0.0.1:{website.server_port}/a%20b.csv"
    for words in (("../outside",), (f"{tmp_path}/plain.txt", "p"), ("inner.txt", "copy"), (address, "a b.csv")):
        ever(workspace.root, "import-url", *words)
        dvc(beside, "import-url", "-q", *words)
    for path in ("outside.dvc", "p.dvc", "copy.dvc", "a b.csv.dvc"):
        assert (workspace.root / path).read_text() == (beside / path).read_text(), path
    assert dvc_json(workspace.root, "status") == {}
    assert ever_json(workspace.root, "update")["updated"] == []
    write(tmp_path, {"outside/new": "5"})
    website.body = b"second"  # type: ignore[attr-defined]
    assert set(ever_json(workspace.root, "update")["updated"]) == {"outside.dvc", "a b.csv.dvc"}
    dvc(beside, "update", "-q", "outside.dvc", "a b.csv.dvc")
    for path in ("outside.dvc", "a b.csv.dvc"):
        assert (workspace.root / path).read_text() == (beside / path).read_text(), path
    assert (workspace.root / "a b.csv").read_bytes() == b"second"
    assert dvc_json(workspace.root, "status") == {}
