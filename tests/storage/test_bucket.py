"""The promises of `Bucket`, over every kind that can be written; and reading from a plain web server."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import urllib3

from everloop.errors import (
    DeniedError,
    FailedError,
    InvalidError,
    NotFoundError,
    NotInstalledError,
    UnavailableError,
)
from everloop.storage.bucket import Bucket, VersionedBucket, open_bucket
from everloop.storage.cloud import Cloud
from tests.fileservers import FileServer, file_server
from tests.s3 import KEYS, S3Server


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    with file_server("ssh", tmp_path_factory.mktemp("ssh") / "shown") as server:
        yield server


@pytest.fixture(scope="session")
def webdav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    with file_server("webdav", tmp_path_factory.mktemp("webdav") / "shown") as server:
        yield server


@pytest.fixture(params=["folder", "s3", "ssh", "webdav"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "folder":
        return open_bucket(str(tmp_path / "bucket"), {})
    name = hashlib.md5(str(tmp_path).encode()).hexdigest()
    server: S3Server | FileServer = request.getfixturevalue(request.param)
    if isinstance(server, FileServer):
        return open_bucket(f"{server.url}/{name}/some/f%20older", server.options)
    return open_bucket(server.make_bucket(name) + "/some/folder", server.options)


def read(bucket: Bucket, key: str) -> bytes:
    chunks: list[bytes] = []
    bucket.get(key, chunks.append)
    return b"".join(chunks)


def test_what_was_put_is_there(bucket: Bucket) -> None:
    assert not bucket.exists("a/ü b")
    bucket.put("a/ü b", b"one")
    bucket.put("empty", b"")
    bucket.put("a/chunks", iter([b"x" * 1000, b"", b"y" * 1000]))
    bucket.flush()
    assert bucket.exists("a/ü b")
    assert not bucket.exists("a")
    assert read(bucket, "a/ü b") == b"one"
    assert read(bucket, "empty") == b""
    assert read(bucket, "a/chunks") == b"x" * 1000 + b"y" * 1000


def test_older_version_is_got_by_its_id(s3: S3Server) -> None:
    url = s3.make_bucket("older")
    s3.keep_versions("older")
    bucket = open_bucket(f"{url}/f", s3.options)
    bucket.put("a", b"1")
    bucket.put("a", b"2")
    listed = urllib3.request("GET", f"{s3.url}/older?versions").data.decode()
    new, old = re.findall("<VersionId>(.*?)</VersionId>", listed)
    assert isinstance(bucket, VersionedBucket)
    got: list[bytes] = []
    told = [bucket.get_version("a", version_id, got.append) for version_id in (old, new, None)]
    assert got == [b"1", b"2", b"2"]
    assert [each.version_id for each in told] == [old, new, new]
    assert [bucket.head_version("a", version_id) for version_id in (old, new, None)] == told
    assert (told[0].size_bytes, told[0].etag) == (1, hashlib.md5(b"1").hexdigest())
    with pytest.raises(NotFoundError, match="in version 0000"):
        bucket.get_version("a", "00000000-0000-0000-0000-000000000000", got.append)
    with pytest.raises(NotFoundError, match="in version 0000"):
        bucket.head_version("a", "00000000-0000-0000-0000-000000000000")


def test_a_large_object_goes_in_parts_and_comes_back(bucket: Bucket) -> None:
    part = bytes(range(256)) * 4096
    bucket.put("large", (part for _ in range(20)))
    bucket.flush()
    digest = hashlib.md5()
    bucket.get("large", digest.update)
    assert digest.hexdigest() == hashlib.md5(part * 20).hexdigest()


def test_keys_are_listed_by_folder(bucket: Bucket) -> None:
    for key in ("a/1", "a/b/2", "ab/3", "4"):
        bucket.put(key, b"x")
    bucket.flush()
    assert set(bucket.keys("a/")) == {"a/1", "a/b/2"}
    assert list(bucket.keys("none/")) == []


def test_an_object_or_a_folder_is_found_with_its_size(bucket: Bucket) -> None:
    for key in ("a/1", "a/b/2", "ab/3"):
        bucket.put(key, b"xyz")
    bucket.flush()
    for key, expected in {
        "a": {"a/1", "a/b/2"},
        "a/b/2": {"a/b/2"},
        "none": set(),
        "": {"a/1", "a/b/2", "ab/3"},
    }.items():
        found = list(bucket.find(key))
        assert {stored.key for stored in found} == expected
        assert {stored.size_bytes for stored in found} <= {3}


def test_put_again_replaces(bucket: Bucket) -> None:
    for data in (b"one", b"two"):
        bucket.put("a", data)
        bucket.flush()
    assert read(bucket, "a") == b"two"


def test_data_that_break_off_leave_the_key_as_it_was(bucket: Bucket) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * (12 << 20)
        raise FailedError("the source is damaged")

    bucket.put("a", b"before")
    with pytest.raises(FailedError, match="the source is damaged"):
        bucket.put("a", broken())
    bucket.flush()
    assert read(bucket, "a") == b"before"
    assert [key for key in bucket.keys("") if not key.startswith(".")] == ["a"]


def test_deleted_keys_are_gone_and_missing_ones_passed_over(bucket: Bucket) -> None:
    bucket.put("a", b"x")
    bucket.flush()
    bucket.delete(["a", "none"])
    assert not bucket.exists("a")
    with pytest.raises(NotFoundError, match="a is not in"):
        read(bucket, "a")


@pytest.mark.parametrize("key", ["", "/a", "a/../b", "..", "a//b", "a/\0"])
def test_a_key_that_leaves_the_bucket_is_refused(bucket: Bucket, key: str) -> None:
    for verb in (lambda: bucket.exists(key), lambda: bucket.put(key, b""), lambda: read(bucket, key)):
        with pytest.raises(InvalidError, match="is no key"):
            verb()


def test_threads_put_together(bucket: Bucket) -> None:
    def put(part: int) -> None:
        for number in range(20):
            bucket.put(f"{part}/{number}", b"x")

    threads = [threading.Thread(target=put, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bucket.flush()
    assert len({key for part in range(4) for key in bucket.keys(f"{part}/")}) == 80


def test_objects_of_a_folder_are_read_only_and_leave_nothing_beside(tmp_path: Path) -> None:
    bucket = open_bucket(tmp_path.as_uri(), {})
    bucket.put("a/b", b"x")
    bucket.flush()
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o444
    assert list((tmp_path / ".everloop-incoming").iterdir()) == []


def test_a_missing_cloud_bucket_is_told(s3: S3Server) -> None:
    missing = open_bucket("s3://nobody-made-this", s3.options)
    assert not missing.exists("a")
    with pytest.raises(FailedError, match="the bucket does not exist"):
        missing.put("a", b"x")


def test_a_cloud_that_does_not_answer_is_told() -> None:
    gone = open_bucket("s3://b", {"endpointurl": "http://127.0.0.1:1", "access_key_id": "a", "secret_access_key": "b"})
    with pytest.raises(UnavailableError, match="s3://b"):
        gone.exists("a")


def test_keys_come_from_the_profile_that_is_named(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = a\naws_secret_access_key = b\n")
    (tmp_path / "config").write_text("[profile team]\nregion = us-east-1\n[profile far]\nrole_arn = x\n")
    files = {"credentialpath": str(tmp_path / "credentials"), "configpath": str(tmp_path / "config")}
    url = s3.make_bucket("profiled")
    bucket = open_bucket(url, {"endpointurl": s3.url, "profile": "team", **files})
    bucket.put("a", b"x")
    assert bucket.exists("a")
    with pytest.raises(InvalidError, match="signs in elsewhere"):
        open_bucket(url, {"profile": "far", **files})
    with pytest.raises(NotFoundError, match="no AWS profile 'none'"):
        open_bucket(url, {"profile": "none", **files})


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("oss://host/path", {}, "oss:// are not supported"),
        ("s3://b", {"acl": "public-read"}, "option acl"),
        ("http://h/x", {"auth": "digest"}, "auth = digest"),
    ],
)
def test_what_is_not_supported_is_named(url: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        open_bucket(url, options)


class _Site(BaseHTTPRequestHandler):
    """One object for who knows the password; an overloaded one; one that breaks off."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(b"me:word").decode()
        status, body = {"/data/a/%C3%BC": (200, b"hello"), "/data/busy": (503, b""), "/data/cut": (200, b"hel")}.get(
            self.path, (404, b"")
        )
        if self.headers.get("authorization") != wanted:
            status, body = 401, b""
        self.send_response(status)
        self.send_header("content-length", str(len(body) + 2 * (self.path == "/data/cut")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        self.close_connection = self.path == "/data/cut"

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Tests are silent."""


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}/data"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_web_server_is_read_from(site: str) -> None:
    bucket = open_bucket(f"http://me:word@{site}", {})
    assert "word" not in bucket.url
    assert bucket.exists("a/ü")
    assert not bucket.exists("b")
    assert read(bucket, "a/ü") == b"hello"
    with pytest.raises(NotFoundError):
        read(bucket, "b")
    with pytest.raises(UnavailableError, match="503"):
        read(bucket, "busy")
    with pytest.raises(UnavailableError):
        read(bucket, "cut")
    for verb in (lambda: bucket.put("a", b""), lambda: bucket.delete(["a"]), lambda: bucket.keys("a/")):
        with pytest.raises(InvalidError, match="web server"):
            verb()


def test_a_web_server_that_refuses_names_the_password(site: str) -> None:
    bucket = open_bucket(f"http://{site}", {"user": "me", "password": "wrong"})
    with pytest.raises(DeniedError, match="password"):
        bucket.exists("a/ü")
    assert open_bucket(
        f"http://{site}",
        {"auth": "custom", "custom_auth_header": "authorization", "password": "Basic bWU6d29yZA=="},
    ).exists("a/ü")


def test_a_web_server_that_is_gone_is_told() -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        open_bucket("http://127.0.0.1:1/x", {}).exists("a")


@pytest.fixture(params=["ssh", "webdav"])
def server(request: pytest.FixtureRequest) -> FileServer:
    found: FileServer = request.getfixturevalue(request.param)
    return found


def test_a_file_server_that_refuses_is_told(server: FileServer) -> None:
    with pytest.raises(DeniedError, match="refuses a"):
        open_bucket(f"{server.url}/x", {"user": "ada", "password": "wrong"}).exists("a")
    shown = open_bucket(f"{server.kind}://ada:secret@127.0.0.1:{server.port}/x", {})
    assert not shown.exists("a")
    assert "secret" not in shown.url
    with pytest.raises(DeniedError, match="nobody is there to answer"):
        open_bucket(f"{server.url}/x", {"user": "ada", "ask_password": "true"}).exists("a")


@pytest.mark.parametrize("kind", ["ssh", "webdav"])
def test_a_file_server_that_comes_back_is_reached_anew(tmp_path: Path, kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with file_server(kind, tmp_path / "shown", port) as server:
        bucket = open_bucket(f"{server.url}/x", server.options)
        bucket.put("a", b"one")
    with pytest.raises(UnavailableError, match=r"webdav:|ssh:"):
        read(bucket, "a")
    with file_server(kind, tmp_path / "shown", port):
        assert read(bucket, "a") == b"one"
        assert [path.name for path in (tmp_path / "shown/x").iterdir() if path.is_file()] == ["a"]


def test_what_killed_clients_left_on_a_file_server_goes_after_a_day(server: FileServer) -> None:
    aside = server.folder / "swept/.everloop-incoming"
    aside.mkdir(parents=True)
    for name, age_days in (("old", 2), ("new", 0)):
        (aside / name).write_text("half")
        os.utime(aside / name, (time.time() - age_days * 86400,) * 2)
    open_bucket(f"{server.url}/swept", server.options).put("a", b"x")
    assert [path.name for path in aside.iterdir()] == ["new"]


def test_ssh_takes_a_key_and_refuses_a_host_with_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(tmp_path / "id"), passphrase="open", rounds=50)
    key.write_public_key(str(tmp_path / "authorized_keys"))
    with file_server("ssh", tmp_path / "shown") as server:
        options = {"user": "ada", "keyfile": str(tmp_path / "id"), "passphrase": "open"}
        assert not open_bucket(f"{server.url}/x", options).exists("a")
        with pytest.raises(DeniedError):
            open_bucket(f"{server.url}/x", {**options, "passphrase": "wrong"}).exists("a")
        (tmp_path / ".ssh").mkdir()
        known = f"[127.0.0.1]:{server.port} {key.export_public_key().decode()}"
        (tmp_path / ".ssh/known_hosts").write_text(known)
        with pytest.raises(DeniedError, match="another key than"):
            open_bucket(f"{server.url}/x", options).exists("a")


@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [("ssh", "sshfs", "ssh"), ("webdavs", "webdav4.fsspec", "webdav"), ("hdfs", "pyarrow", "hdfs")],
)
def test_the_extra_that_is_missing_is_named(
    kind: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotInstalledError, match=re.escape(f"everloop[{extra}]")):
        open_bucket(f"{kind}://host/x", {})


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("kind", ["http", "s3", "ssh", "webdav"])
def test_a_server_that_never_answers_is_given_up(silent_port: int, kind: str) -> None:
    there = f"{'http' if kind == 's3' else kind}://127.0.0.1:{silent_port}"
    short = {"timeout": "0.1"} if kind in ("ssh", "webdav") else {"read_timeout": "0.1"}
    bucket = (
        open_bucket("s3://b", {**short, "endpointurl": there, **KEYS}) if kind == "s3" else open_bucket(there, short)
    )
    with pytest.raises(UnavailableError):
        bucket.exists("a")


KEY = base64.b64encode(b"not a real key").decode()


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        (f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY};EndpointSuffix=core.windows.net", "blob.core"),
        (f"AccountName=a;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/a;", "127.0.0.1:1"),
        ("BlobEndpoint=http://127.0.0.1:1/a;AccountName=a;SharedAccessSignature=sv=2020&sig=x%3D", "127.0.0.1:1"),
    ],
)
def test_a_connection_string_names_account_secret_and_address(text: str, endpoint: str) -> None:
    store: Any = Cloud("azure://box/x", {"connection_string": text})._store
    config = dict(store.config)
    assert config["account_name"] == "a"
    assert endpoint in config["endpoint"]
    assert ("account_key" in config) != ("sas_key" in config)


@pytest.mark.parametrize("text", ["", "AccountKey=secret", "secret", "=;;="])
def test_a_connection_string_of_no_account_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(InvalidError, match="names no account") as caught:
        Cloud("azure://box/x", {"connection_string": text})
    assert "secret" not in str(caught.value)
