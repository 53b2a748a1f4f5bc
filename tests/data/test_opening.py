"""Any file is opened by its address: of a workspace, of another repository, of a store, of the hub."""

from __future__ import annotations

import hashlib
import http.server
import shutil
import threading
from pathlib import Path

import pytest

import everloop
from everloop.errors import FailedError, InvalidError, NotFoundError, UnavailableError
from everloop.registry import PackageFile
from everloop.workspace import Workspace
from tests.s3 import S3Server
from tests.stores import Stores

OLD, NEW = b"id,v\n1,a\n", b"id,v\n1,b\n2,c\n"


def read(address: str, **words: str) -> bytes:
    with everloop.open(address, **words) as stream:
        data = stream.read()
    assert isinstance(data, bytes)
    return data


def test_of_the_workspace_now_and_at_a_revision(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("d/a.csv") == read("ever://d/a.csv") == read(str(workspace.root / "d/a.csv")) == NEW
    assert read("ever://@v1//d/a.csv") == read("d/a.csv", rev="v1") == read("d/a.csv", repo=".", rev="v1") == OLD
    assert read("ever://@v1//code.py") == b"print()\n"
    monkeypatch.chdir(workspace.root / "d")
    assert read("a.csv", rev="v1") == read("ever://@v1//d/a.csv") == OLD
    shutil.rmtree(workspace.root / "d/sub")
    assert read("sub/b.csv") == b"id\n007\n", "what is not checked out comes from the cache"


def test_of_a_repository_far_away_without_its_cache(
    bare: str, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(workspace.root)
    monkeypatch.chdir(tmp_path)
    assert read(f"ever://{bare}//d/a.csv") == NEW
    assert read(f"ever://{bare}@v1//d/a.csv") == read("d/a.csv", repo=bare, rev="v1") == OLD
    with everloop.open(f"ever://{bare}//d/a.csv", "r") as text:
        assert text.readline() == "id,v\n"
    with pytest.raises(NotFoundError, match=r"d/b\.csv does not exist"):
        read(f"ever://{bare}//d/b.csv")


def test_damaged_bytes_are_never_read_to_their_end(bare: str, workspace: Workspace, tmp_path: Path) -> None:
    md5 = hashlib.md5(OLD).hexdigest()
    for place in (workspace.cache.path(md5), tmp_path / f"store/files/md5/{md5[:2]}/{md5[2:]}"):
        place.chmod(0o644)
        place.write_bytes(b"id,v\n1,X\n")
    with pytest.raises(FailedError, match="is damaged"):
        read("ever://@v1//d/a.csv")
    with everloop.open("ever://@v1//d/a.csv") as stream:
        stream.seek(5)
        assert stream.read() == b"1,X\n", "what is not read from the beginning is not known to be damaged"
        stream.seek(0)
        with pytest.raises(FailedError, match="is damaged"):
            stream.read()
    workspace.cache.path(md5).unlink()
    with pytest.raises(UnavailableError, match="other bytes than its name promises"):
        read("ever://@v1//d/a.csv")


def test_what_cannot_be_opened_says_why(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        read("d/nowhere.csv")
    with pytest.raises(NotFoundError, match="'v9'"):
        read("ever://@v9//d/a.csv")
    with pytest.raises(InvalidError, match="is a folder"):
        read("ever://@v1//d")
    with pytest.raises(InvalidError, match="for reading"):
        everloop.open("d/a.csv", "w")
    with pytest.raises(InvalidError, match="whole by itself"):
        read("ever://@v1//d/a.csv", rev="v1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="under version nowhere"):
        read("nothing.csv")
    with pytest.raises(NotFoundError, match="not inside a workspace"):
        read("ever://@v1//d/a.csv")


def test_of_a_bucket_and_below_a_remote(workspace: Workspace, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3.make_bucket("opened")
    settings = "".join(f"    {name} = {value}\n" for name, value in s3.options.items())
    (workspace.root / ".dvc/config").write_text(f"['remote \"far\"']\n    url = {url}/folder\n{settings}")
    workspace.transfers.push(["d"], remote="far")
    md5 = hashlib.md5(NEW).hexdigest()
    assert read(f"remote://far/files/md5/{md5[:2]}/{md5[2:]}") == NEW
    for name, value in (
        ("AWS_ENDPOINT_URL", s3.url), ("AWS_ACCESS_KEY_ID", "someone"), ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    assert read(f"{url}/folder/files/md5/{md5[:2]}/{md5[2:]}") == NEW
    with pytest.raises(NotFoundError):
        read(f"{url}/folder/nothing")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/a%20b.csv?key=1"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", "4" if found else "0")
        self.end_headers()
        self.wfile.write(b"id\n7"[: 4 if found else 0])

    def log_message(self, *_: object) -> None:
        pass


def test_of_a_web_server() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        assert read(f"{base}/a%20b.csv?key=1") == b"id\n7"
        with pytest.raises(NotFoundError):
            read(f"{base}/other.csv")
        server.shutdown()
        thread.join()


@pytest.fixture
def registered(hub: Stores, monkeypatch: pytest.MonkeyPatch) -> Stores:
    assert hub.client is not None
    monkeypatch.setenv("EVERLOOP_HUB_URL", hub.client.url)
    digest = hashlib.sha256(b"model bytes").hexdigest()
    hub.client.call("PUT", f"/api/objects/{digest}", body=b"model bytes", content_type="application/octet-stream")
    files = [PackageFile(path="data/model.bin", digest=digest, size_bytes=11)]
    hub.registry.register("delay", "0" * 32, "1" * 64, files, {}, "person/ada")
    hub.registry.set_alias("delay", "champion", 1, "person/ada", "first")
    return hub


def test_of_a_registered_model(registered: Stores) -> None:
    assert read("models/delay@champion/data/model.bin") == read("models/delay@1/data/model.bin") == b"model bytes"
    with pytest.raises(NotFoundError, match=r"has no file 'x'; it has: data/model\.bin"):
        read("models/delay@1/x")
    with pytest.raises(NotFoundError):
        read("models/delay@nobody/data/model.bin")


def test_of_a_batch_of_the_hub(registered: Stores) -> None:
    assert registered.client is not None
    digest = hashlib.sha256(b"temp\n20\n").hexdigest()
    registered.client.call("PUT", f"/api/objects/{digest}", body=b"temp\n20\n", content_type="application/octet-stream")
    datasets = registered.datasets
    datasets.define("weather", "columns:\n  temp: {type: number}\n", "person/ada")
    batch = datasets.ingest("weather", "2013-03", digest, "person/ada")
    assert read("datasets/weather@latest/2013-03") == read("datasets/weather@latest/2013-03.csv") == b"temp\n20\n"
    assert read(f"datasets/weather@{batch.seq}/2013-03") == b"temp\n20\n"
    assert everloop.read_table("datasets/weather@latest/2013-03").fetchall() == [(20,)]
    with pytest.raises(NotFoundError, match="has accepted no batch '2013-04' up to latest"):
        read("datasets/weather@latest/2013-04")
    with pytest.raises(InvalidError, match="a batch's number, or 'latest'"):
        read("datasets/weather@newest/2013-03")
