"""Remotes on a bad day: what may pass is tried again, what does not is named, nothing wrong is taken for right."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.errors import DeniedError
from everloop.storage.bucket import open_bucket
from everloop.workspace import Workspace, hashing, remotes
from everloop.workspace.configuration import Configuration
from everloop.workspace.parallel import Patience
from everloop.workspace.transfers import Transfers
from tests.faultyproxy import FaultyProxy, Seen, every, faulty_proxy, never
from tests.s3 import S3Server

PATIENT = Patience(attempts=8, first_pause_s=0.0)
N_FILES = 40
ROUNDS = int(os.environ.get("KILL_ROUNDS", "3"))


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path) -> str:
    return s3.make_bucket(hashlib.md5(str(tmp_path).encode()).hexdigest())


@pytest.fixture
def project(workspace: Workspace, proxy: FaultyProxy, bucket: str, s3: S3Server) -> Workspace:
    return prepared(workspace, proxy, bucket, s3)


def prepared(workspace: Workspace, proxy: FaultyProxy, bucket: str, s3: S3Server) -> Workspace:
    """Data, and a remote behind the proxy."""
    for number in range(N_FILES):
        path = workspace.root / f"data/{number % 5}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{number} of {bucket}".encode())
    workspace.add(["data"])
    configuration = Configuration(workspace.layout.dvc_dir)
    remotes.add(configuration, "shared", bucket, default=True)
    for option, value in {**s3.options, "endpointurl": proxy.url, "read_timeout": "0.5"}.items():
        remotes.modify(configuration, "shared", option, value)
    return workspace


def contents(workspace: Workspace) -> dict[str, bytes]:
    top = workspace.root / "data"
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def colleague_of(project: Workspace) -> Workspace:
    root = project.root.parent / "colleague"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns("cache", "data", "tmp"))
    return Workspace.open(root)


def check_cache(workspace: Workspace) -> None:
    """No object lies, no listing is there without its files."""
    found = {path.parent.name + path.name: path for path in (workspace.cache.root / "files/md5").glob("*/*")}
    check({md5: path.read_bytes() for md5, path in found.items()})


def check_bucket(bucket: str, s3: S3Server) -> None:
    there = open_bucket(bucket, s3.options)
    objects: dict[str, bytes] = {}
    for key in there.keys("files/md5/"):
        chunks: list[bytes] = []
        there.get(key, chunks.append)
        objects[key.removeprefix("files/md5/").replace("/", "")] = b"".join(chunks)
    check(objects)


def check(objects: dict[str, bytes]) -> None:
    for md5, data in objects.items():
        assert hashlib.md5(data).hexdigest() == md5.removesuffix(".dir"), f"{md5} lies"
        if md5.endswith(".dir"):
            assert set(hashing.decode_directory(data, md5).values()) <= objects.keys(), f"{md5} came before its files"


def patient(workspace: Workspace) -> Transfers:
    return Transfers(workspace, patience=PATIENT)


@pytest.mark.parametrize("way", ["500", "503", "429", "reset", "cut", "lie", "hang"])
def test_each_third_request_fails_and_all_arrives(
    project: Workspace, proxy: FaultyProxy, bucket: str, s3: S3Server, way: str
) -> None:
    proxy.way = "status" if way.isdecimal() else way
    proxy.status = int(way) if way.isdecimal() else 503
    # What is put cannot be cut by the answer, and lies are told about bytes only.
    proxy.is_bad = every(7 if way == "hang" else 3)
    if way in ("cut", "lie"):
        proxy.is_bad = lambda seen: "/files/" in seen.path and seen.number % 3 == 0
    assert patient(project).push(jobs=4).failed == ()
    check_bucket(bucket, s3)
    colleague = colleague_of(project)
    pulled = patient(colleague).pull(jobs=4)
    assert pulled.fetched.failed == ()
    assert contents(colleague) == contents(project)
    check_cache(colleague)


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_key_that_is_refused_is_named_and_the_rest_arrives(
    project: Workspace, proxy: FaultyProxy, bucket: str, s3: S3Server, verb: str
) -> None:
    if verb == "pull":
        patient(project).push()
    refused = hashing.md5_of_file(project.root / "data/0/0")
    proxy.status = 403
    proxy.is_bad = lambda seen: refused[2:] in seen.path and seen.method in ("PUT", "GET")
    here = project if verb == "push" else colleague_of(project)
    report = patient(here).push() if verb == "push" else patient(here).pull().fetched
    named = {failure.path: failure.reason for failure in report.failed}
    assert named.pop("data/0/0").startswith(bucket)
    assert set(named) <= {"data"}
    assert len(report.done) == N_FILES - 1
    check_bucket(bucket, s3)
    check_cache(here)
    proxy.is_bad = never
    report = patient(here).push() if verb == "push" else patient(here).pull().fetched
    assert report.failed == ()
    assert len(report.done) == 2


def test_a_server_that_refuses_everything_is_told_at_once(project: Workspace, proxy: FaultyProxy) -> None:
    proxy.status = 403
    proxy.is_bad = every(1)
    with pytest.raises(DeniedError, match="s3://") as refused:
        patient(project).push()
    assert "look at the credentials" in str(refused.value)
    # Credentials do not get better by trying again.
    assert len(proxy.requests) <= N_FILES + 1


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_server_that_goes_away_in_the_middle_is_told_and_a_rerun_finishes(
    workspace: Workspace, bucket: str, s3: S3Server, verb: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with faulty_proxy(s3.url, port) as proxy:
        project = prepared(workspace, proxy, bucket, s3)
        if verb == "pull":
            patient(project).push()
        here = project if verb == "push" else colleague_of(project)
        proxy.way = "reset"
        proxy.counted()
        moving = "PUT" if verb == "push" else "GET"
        proxy.is_bad = lambda seen: seen.method == moving and proxy.counts()[moving] > 15
        report = Transfers(here, patience=Patience(attempts=2, first_pause_s=0.0))
        moved = report.push(jobs=4) if verb == "push" else report.pull(jobs=4).fetched
        assert moved.failed
        assert {failure.remote for failure in moved.failed} == {"shared"}
    check_bucket(bucket, s3)
    check_cache(here)
    with faulty_proxy(s3.url, port):
        again = patient(here).push() if verb == "push" else patient(here).pull(force=True).fetched
        assert again.failed == ()
        assert len(moved.done) + len(again.done) == N_FILES + 1
    check_bucket(bucket, s3)
    check_cache(here)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of one megabyte."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None or not mount(folder, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        pytest.skip("this machine lets nobody mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def mount(folder: Path, *words: str) -> bool:
    return subprocess.run(["mount", *words, str(folder)], check=False).returncode == 0


def ever(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "everloop", *words], cwd=root, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def large_project(workspace: Workspace, remote: Path) -> dict[str, bytes]:
    data = {f"data/{number}": os.urandom(200_000) for number in range(8)}
    (workspace.root / "data").mkdir()
    for path, content in data.items():
        (workspace.root / path).write_bytes(content)
    workspace.add(["data"])
    remotes.add(Configuration(workspace.layout.dvc_dir), "shared", str(remote), default=True)
    return data


def test_a_full_remote_is_told_and_finished_when_there_is_room(workspace: Workspace, tiny: Path) -> None:
    large_project(workspace, tiny / "shared")
    done = ever(workspace.root, "push")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "not pushed" in done.stderr
    check_folder(tiny / "shared")
    assert mount(tiny, "-o", "remount,size=8m")
    assert ever(workspace.root, "push").returncode == 0
    check_folder(tiny / "shared")
    assert len(list((tiny / "shared/files/md5").glob("*/*"))) == 9
    assert Workspace.open(workspace.root).transfers.status() == {}


@pytest.mark.parametrize("way", ["full", "read-only"])
def test_a_cache_that_cannot_be_written_is_told_and_finished_later(
    workspace: Workspace, tiny: Path, tmp_path: Path, way: str
) -> None:
    data = large_project(workspace, tmp_path / "shared")
    assert ever(workspace.root, "push").returncode == 0
    colleague = tmp_path / "colleague"
    shutil.copytree(workspace.root, colleague, ignore=shutil.ignore_patterns("cache", "data", "tmp"))
    Configuration(colleague / ".dvc").set("cache.dir", str(tiny / "cache"))
    if way == "read-only":
        assert mount(tiny, "-o", "remount,ro")
    done = ever(colleague, "pull")
    assert done.returncode == 1
    assert ("No space left on device" if way == "full" else "Read-only file system") in done.stderr
    check_folder(tiny / "cache")
    assert mount(tiny, "-o", "remount,rw,size=8m")
    assert ever(colleague, "pull").returncode == 0
    assert {path: (colleague / path).read_bytes() for path in data} == data
    assert mount(tiny, "-o", "remount,ro")
    # What is only read needs no writing.
    assert ever(colleague, "push").returncode == 0
    shutil.rmtree(colleague / "data")
    assert ever(colleague, "pull").returncode == 0


def check_folder(root: Path) -> None:
    found = {path.parent.name + path.name: path for path in (root / "files/md5").glob("*/*")}
    check({md5: path.read_bytes() for md5, path in found.items()})


class Assassin:
    """Kills a process when the proxy sees its n-th request, before or after the server has got it."""

    def __init__(self, proxy: FaultyProxy, at: int, *, is_early: bool) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.at = at
        self.is_early = is_early
        self.is_armed = threading.Event()
        proxy.way = "reset"
        proxy.counted()
        proxy.is_bad = self

    def __call__(self, seen: Seen) -> bool:
        self.is_armed.wait()
        if seen.number != self.at or self.process is None:
            return False
        self.process.kill()
        self.process.wait()
        return self.is_early

    def run(self, root: Path, verb: str) -> int:
        """Run the command; how it ended."""
        command = [sys.executable, "-m", "everloop", verb, "-j", "4"]
        with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as self.process:
            self.is_armed.set()
            said = self.process.communicate()[1]
        assert "Traceback" not in said, said
        return self.process.returncode


@pytest.mark.parametrize("verb", ["push", "pull", "fetch"])
def test_killed_at_any_request_a_rerun_finishes(
    project: Workspace, proxy: FaultyProxy, bucket: str, s3: S3Server, verb: str
) -> None:
    generator = random.Random(f"kill {verb}")
    configuration = Configuration(project.layout.dvc_dir)
    here = project
    if verb != "push":
        patient(project).push()
    n_requests = 2 * N_FILES if verb == "push" else N_FILES + 1
    for number in range(ROUNDS):
        if verb == "push":
            bucket = s3.make_bucket(f"killed-{number}-{hashlib.md5(bucket.encode()).hexdigest()[:20]}")
            remotes.modify(configuration, "shared", "url", bucket)
        else:
            here = colleague_of(project)
        assassin = Assassin(proxy, generator.randint(1, n_requests), is_early=generator.random() < 0.5)
        ended = assassin.run(here.root, verb)
        assert ended == -9, f"{verb} ended by itself before request {assassin.at}, with {ended}"
        proxy.is_bad = never
        check_bucket(bucket, s3)
        check_cache(here)
        left = Workspace.open(here.root)
        again = patient(left).push() if verb == "push" else patient(left).pull(force=True).fetched
        assert again.failed == ()
        check_bucket(bucket, s3)
        check_cache(here)
        assert left.status() == {}
        assert left.transfers.status() == {}
        assert contents(left) == contents(project)
        incoming = left.cache.root / "everloop-incoming"
        assert not incoming.exists() or not list(incoming.iterdir())
