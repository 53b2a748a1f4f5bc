from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml.comments import CommentedMap

from everloop.errors import (
    ConflictError,
    DeniedError,
    FailedError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from everloop.workspace import Workspace, clones, hashing, importrecord, recordhash
from everloop.workspace.get import get, get_address
from everloop.workspace.gitobjects import GitObjects
from everloop.workspace.listing import list_entries, list_tree, usage
from everloop.workspace.origin import name_of
from everloop.workspace.source import open_source
from everloop.workspace.yamlfile import load_editable_mapping
from tests.workspace.test_revisions import commit, git
from tests.workspace.test_workspace import write


@pytest.fixture
def registry(tmp_path: Path) -> Workspace:
    """Two versions of a directory, beside code."""
    made = Workspace.init(tmp_path / "registry")
    for path in ("d/a", "d/s/new\nline", "d/ü", "one"):
        write(made, path, f"first {path}")
    write(made, "code/run.sh", "#!/bin/sh\n").chmod(0o755)
    made.add(["d", "one"])
    commit(made)
    git(made, "tag", "v1")
    write(made, "d/a", "second")
    made.add(["d"])
    commit(made)
    return made


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_any_file_of_any_revision_opens_without_a_checkout(registry: Workspace) -> None:
    def read(path: str, rev: str | None = None) -> bytes:
        with registry.open_file(path, rev) as stream:
            return stream.read()

    assert read("d/a", "v1") == b"first d/a"
    assert read("d/a", "HEAD") == read("d/a") == b"second"
    assert read("one", "v1") == b"first one"
    assert read("code/run.sh", "v1") == b"#!/bin/sh\n"
    (registry.root / "one").unlink()
    assert read("one") == b"first one"
    for path in ("d/none", "none", "d/a/b"):
        with pytest.raises(NotFoundError, match="does not exist"):
            registry.open_file(path, "v1")
    with pytest.raises(InvalidError, match="is a folder"):
        registry.open_file("d", "v1")


def test_link_in_git_is_followed_inside_of_the_repository_only(registry: Workspace) -> None:
    (registry.root / "code/link").symlink_to("run.sh")
    (registry.root / "code/out").symlink_to("../../../etc/passwd")
    (registry.root / "code/round").symlink_to("round")
    commit(registry)
    with registry.open_file("code/link", "HEAD") as stream:
        assert stream.read() == b"#!/bin/sh\n"
    with pytest.raises(InvalidError, match="leads out of"):
        registry.open_file("code/out", "HEAD")
    with pytest.raises(InvalidError, match="circle"):
        registry.open_file("code/round", "HEAD")


def test_list_and_usage_of_the_disk_and_of_a_commit_agree(registry: Workspace) -> None:
    here: list[Any] = []
    there: list[Any] = []
    for rev, found in ((None, here), ("HEAD", there)):
        with open_source(str(registry.root), rev) as source:
            found.append([(entry.path, entry.md5) for entry in list_entries(source, recursive=True)])
            found.append([(entry.path, entry.is_out) for entry in list_entries(source, "d")])
            found.append([(depth, entry.path) for depth, _, entry in list_tree(source, max_depth=2)])
            found.append(dict(usage(source)))
            found.append(usage(source, "d", summarise=True))
    assert here == there
    assert [path for path, _ in here[1]] == ["a", "s", "ü"]
    assert here[3]["d"] == here[4][0][1] == len("second") + len("first d/s/new\nline") + len("first d/ü".encode())


def test_get_brings_a_folder_whole_with_its_bits(registry: Workspace, tmp_path: Path) -> None:
    with open_source(str(registry.root), "v1") as source:
        assert get(source, "d", tmp_path / "data") == 3
        assert get(source, "code", tmp_path / "code") == 1
        assert get(source, "d/s/new\nline", tmp_path / "sub/line") == 1
        with pytest.raises(ConflictError, match="exists already"):
            get(source, "d", tmp_path / "data")
        get(source, "one", tmp_path / "data", force=True)
        with pytest.raises(NotFoundError, match="ever list"):
            get(source, "nowhere", tmp_path / "x")
    assert (tmp_path / "data").read_text() == "first one"
    assert (tmp_path / "sub/line").read_text() == "first d/s/new\nline"
    assert (tmp_path / "code/run.sh").stat().st_mode & 0o111
    assert not list(tmp_path.glob(".*.tmp"))


def test_damaged_object_does_not_come(registry: Workspace, tmp_path: Path) -> None:
    damaged = registry.cache.path(hashing.md5_of_file(registry.root / "one"))
    damaged.chmod(0o644)
    damaged.write_text("wrong")
    with open_source(str(registry.root), "v1") as source, pytest.raises(FailedError, match="damaged"):
        get(source, "one", tmp_path / "one")
    assert not (tmp_path / "one").exists()
    assert not list(tmp_path.glob(".*.tmp"))


def test_directory_object_that_leads_outside_is_refused(registry: Workspace, tmp_path: Path) -> None:
    encoded = b'[{"md5": "%s", "relpath": "../../evil"}]' % (b"0" * 32)
    md5 = hashing.directory_md5(encoded)
    target = registry.cache.path(md5)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encoded)
    (registry.root / "e.dvc").write_text(f"outs: [{{md5: {md5}, size: 1, nfiles: 1, hash: md5, path: e}}]\n")
    with open_source(str(registry.root)) as source, pytest.raises(InvalidError, match="leaves the directory"):
        get(source, "e", tmp_path / "e")


def test_git_tree_that_leads_outside_is_refused(registry: Workspace) -> None:
    blob = git(registry, "hash-object", "-w", "code/run.sh")
    raw = b"100644 ..\0" + bytes.fromhex(blob)
    done = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        cwd=registry.root,
        input=raw,
        capture_output=True,
        check=True,
    )
    with GitObjects(registry.root) as objects, pytest.raises(InvalidError, match="refused"):
        objects.tree(done.stdout.decode().strip())


@pytest.fixture
def address(registry: Workspace) -> str:
    """The registry where only Git and a remote are, its own folder is gone."""
    bare = registry.root.parent / "bare.git"
    remote = registry.root.parent / "remote"
    shutil.copytree(registry.cache.root / "files", remote / "files")
    (registry.root / ".dvc/config").write_text(f"[core]\n    remote = r\n['remote \"r\"']\n    url = {remote}\n")
    commit(registry)
    git(registry, "clone", "--quiet", "--bare", ".", str(bare))
    shutil.rmtree(registry.root)
    return f"file://{bare}"


def test_data_of_an_address_come_from_its_remote(address: str, tmp_path: Path) -> None:
    with open_source(address, "main") as source:
        get(source, "d", tmp_path / "data")
        with source.open("one") as stream:
            assert stream.read() == b"first one"
    assert tree(tmp_path / "data")["a"] == "second"
    shutil.rmtree(tmp_path / "remote")
    with open_source(address) as source, pytest.raises(NotFoundError):
        get(source, "one", tmp_path / "one")
    # The older revision knew of no remote.
    with open_source(address, "v1") as source, pytest.raises(NotFoundError, match="names no remote"):
        get(source, "one", tmp_path / "one")


def test_repository_is_cloned_once_and_a_pinned_commit_needs_no_network(address: str) -> None:
    folder, main = clones.fetch(address)
    assert clones.fetch(address, "v1")[0] == folder
    shutil.rmtree(address.removeprefix("file://"))
    assert clones.fetch(address, main) == (folder, main)
    with pytest.raises(UnavailableError, match="cannot be fetched"):
        clones.fetch(address)


def test_new_commits_of_an_address_are_seen(registry: Workspace) -> None:
    url = f"file://{registry.root}"
    before = clones.fetch(url)[1]
    after = commit(registry)
    assert (before, clones.fetch(url)[1]) == (git(registry, "rev-parse", "HEAD~1"), after)
    git(registry, "branch", "side", before)
    assert clones.fetch(url, "side")[1] == before
    git(registry, "branch", "-D", "side")
    with pytest.raises(NotFoundError, match="is no commit"):
        clones.fetch(url, "side")


@pytest.mark.parametrize("url", ["ext::sh -c 'touch evil'", "-u/bin/sh", "fd::17"])
def test_addresses_that_run_commands_are_refused(url: str) -> None:
    with pytest.raises(InvalidError, match="no address"):
        clones.fetch(url)


def test_import_is_recorded_checked_out_and_kept_out_of_git(registry: Workspace, workspace: Workspace) -> None:
    file = workspace.imports.repository(str(registry.root), "d", "data", rev="v1")
    assert file.is_import
    assert tree(workspace.root / "data")["a"] == "first d/a"
    assert (workspace.root / ".gitignore").read_text() == "/data\n"
    assert workspace.status() == {}
    with pytest.raises(ConflictError, match="exists already"):
        workspace.imports.repository(str(registry.root), "d", "data")
    with pytest.raises(InvalidError, match="overlaps"):
        workspace.imports.repository(str(registry.root), "one", "data/inner")


def test_import_over_what_git_or_a_record_has_is_refused(registry: Workspace, workspace: Workspace) -> None:
    write(workspace, "code.py")
    commit(workspace)
    for out, message in (("code.py", "tracked by Git"), ("x.dvc", "describes data"), (".", "describes data")):
        with pytest.raises((ConflictError, InvalidError), match=message):
            workspace.imports.repository(str(registry.root), "one", out, force=True)


def test_fetch_that_was_killed_does_not_stop_the_next(registry: Workspace) -> None:
    url = f"file://{registry.root}"
    folder, _ = clones.fetch(url)
    for path in ("packed-refs.lock", "refs/heads/main.lock"):
        (folder / path).write_text("")
    after = commit(registry)
    assert clones.fetch(url)[1] == after


def test_update_follows_the_source_and_keeps_what_a_person_wrote(registry: Workspace, workspace: Workspace) -> None:
    workspace.imports.repository(str(registry.root), "d", "data", rev="v1")
    record = workspace.root / "data.dvc"
    record.write_text("# mine\n" + record.read_text() + "desc: words\n")
    assert workspace.imports.update().unchanged == ("data.dvc",)
    assert workspace.imports.update(["data"], rev="main").updated == ("data.dvc",)
    assert (workspace.root / "data/a").read_text() == "second"
    assert record.read_text().startswith("# mine\n")
    assert "desc: words" in record.read_text()
    data = load_editable_mapping(record)
    assert data["deps"][0]["repo"]["rev"] == "main"
    assert data["md5"] == recordhash.digest(data)
    write(registry, "d/a", "third")
    registry.add(["d"])
    commit(registry)
    assert workspace.imports.update().updated == ("data.dvc",)
    assert (workspace.root / "data/a").read_text() == "third"


def test_update_does_not_lose_changes(registry: Workspace, workspace: Workspace) -> None:
    workspace.imports.repository(str(registry.root), "one", "one", rev="v1")
    write(workspace, "one", "precious")
    with pytest.raises(ConflictError, match="was changed here"):
        workspace.imports.update(["one"])
    assert (workspace.root / "one").read_text() == "precious"
    workspace.imports.update(["one"], force=True)
    assert (workspace.root / "one").read_text() == "first one"


def test_update_brings_back_what_is_missing(registry: Workspace, workspace: Workspace) -> None:
    workspace.imports.repository(str(registry.root), "one", "one")
    (workspace.root / "one").unlink()
    assert workspace.imports.update().updated == ("one.dvc",)
    assert (workspace.root / "one").exists()


def test_update_of_other_data_is_refused(registry: Workspace, workspace: Workspace) -> None:
    write(workspace, "own")
    workspace.add(["own"])
    with pytest.raises(InvalidError, match="was not imported"):
        workspace.imports.update(["own"])
    with pytest.raises(NotFoundError, match="no import"):
        workspace.imports.update(["none"])


def test_crash_before_the_record_leaves_the_old_state(
    registry: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.imports.repository(str(registry.root), "d", "data", rev="v1")
    before = (workspace.root / "data.dvc").read_text()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importrecord, "fill", killed)
    with pytest.raises(KeyboardInterrupt):
        workspace.imports.update(rev="main")
    monkeypatch.undo()
    assert (workspace.root / "data.dvc").read_text() == before
    workspace.checkout()
    assert workspace.status() == {}
    assert workspace.imports.update(rev="main").updated == ("data.dvc",)


def test_source_with_unknown_settings_is_left_alone(registry: Workspace, workspace: Workspace) -> None:
    workspace.imports.repository(str(registry.root), "one", "one")
    record = workspace.root / "one.dvc"
    record.write_text(record.read_text().replace("    rev_lock", "    db: other\n    rev_lock"))
    with pytest.raises(InvalidError, match="'db' of its source is not supported"):
        workspace.imports.update()


@pytest.mark.parametrize(
    ("text", "md5"),
    [
        # Written by dvc 3.67.1.
        (
            {
                "frozen": True,
                "deps": [
                    {"path": "f", "repo": {"url": "../src", "rev_lock": "9b348d8de7829aca4ee1264067be596f4c1c4e8b"}}
                ],
                "outs": [{"hash": "md5", "path": "f"}],
            },
            "61b73d22be04d878640c0a5c6b929eb4",
        ),
        (
            {
                "frozen": True,
                "deps": [{"md5": "35e8fdf1750ca9b739c2e29aa323a386", "size": 4, "hash": "md5", "path": "../local.txt"}],
                "outs": [{"md5": "35e8fdf1750ca9b739c2e29aa323a386", "size": 4, "hash": "md5", "path": "local.txt"}],
                "desc": "not hashed",
                "wdir": ".",
            },
            "6a654e17fd0d27e5499dbb12922b4497",
        ),
    ],
)
def test_hash_of_a_record_is_that_of_dvc(text: dict[str, Any], md5: str) -> None:
    assert recordhash.digest(CommentedMap(text)) == md5


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the path says: a status, or `short` for a body that ends early."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        word = self.path.rpartition("/")[2]
        body = b"bytes"
        self.send_response(int(word) if word.isdecimal() else 200)
        self.send_header("Content-Length", str(len(body) + 3 * (word == "short")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def website() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("404", NotFoundError),
        ("403", DeniedError),
        ("500", UnavailableError),
        ("204", FailedError),
        ("short", UnavailableError),
    ],
)
def test_what_a_server_does_not_give_is_told(website: str, tmp_path: Path, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        get_address(f"{website}/{path}", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_server_without_a_checksum_is_asked_for_the_whole_file(website: str, workspace: Workspace) -> None:
    workspace.imports.address(f"{website}/file", "file")
    assert "checksum" not in (workspace.root / "file.dvc").read_text()
    assert workspace.imports.update().unchanged == ("file.dvc",)


def test_address_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        get_address(str(tmp_path / "none"), tmp_path / "x")
    with pytest.raises(InvalidError, match="ftp://"):
        get_address("ftp://example.org/x", tmp_path / "x")


@pytest.mark.parametrize(
    ("address", "name"),
    [("http://e.org/a/b%20c.csv?x=1", "b c.csv"), ("../x/", "x"), ("file:///a/%C3%BC", "ü"), ("data/d", "d")],
)
def test_name_of_an_address(address: str, name: str) -> None:
    assert name_of(address) == name


@pytest.mark.parametrize("address", ["http://e.org/", "..", "/"])
def test_address_without_a_name_asks_for_one(address: str) -> None:
    with pytest.raises(InvalidError, match="-o NAME"):
        name_of(address)
