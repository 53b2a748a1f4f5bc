"""How many requests a transfer makes, counted before a real S3 server: speed that no machine's load can hide."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from everloop.workspace import Workspace, remotes
from everloop.workspace.configuration import Configuration
from tests.faultyproxy import FaultyProxy
from tests.s3 import S3Server

N_FILES = 150


@pytest.fixture
def project(workspace: Workspace, proxy: FaultyProxy, s3: S3Server, tmp_path: Path) -> Workspace:
    for folder in ("a", "b", "c"):
        (workspace.root / folder).mkdir()
        for number in range(N_FILES // 3):
            (workspace.root / folder / str(number)).write_text(f"{folder} {number}")
    workspace.add(["a", "b", "c"])
    configuration = Configuration(workspace.layout.dvc_dir)
    bucket = s3.make_bucket(hashlib.md5(str(tmp_path).encode()).hexdigest())
    remotes.add(configuration, "shared", bucket, default=True)
    for option, value in {**s3.options, "endpointurl": proxy.url}.items():
        remotes.modify(configuration, "shared", option, value)
    return workspace


def test_a_push_asks_once_what_is_there_and_puts_each_object_once(project: Workspace, proxy: FaultyProxy) -> None:
    assert len(project.transfers.push().done) == N_FILES + 3
    assert proxy.counted() == {"GET": 1, "PUT": N_FILES + 3}


def test_with_nothing_to_do_a_push_asks_for_each_directory_and_a_pull_for_nothing(
    project: Workspace, proxy: FaultyProxy
) -> None:
    project.transfers.push()
    proxy.counted()
    assert project.transfers.push().done == {}
    assert proxy.counted() == {"HEAD": 3}
    assert project.transfers.pull().fetched.done == {}
    assert proxy.counted() == {}


def test_a_push_from_a_machine_that_remembers_nothing_lists_once(project: Workspace, proxy: FaultyProxy) -> None:
    project.transfers.push()
    shutil.rmtree(project.layout.scratch_dir / "remotes")
    proxy.counted()
    assert Workspace.open(project.root).transfers.push().done == {}
    assert proxy.counted() == {"GET": 1}
    assert project.transfers.status() == {}
    assert proxy.counted() == {"GET": 1}


def test_a_pull_gets_each_object_once(project: Workspace, proxy: FaultyProxy) -> None:
    project.transfers.push()
    proxy.counted()
    for name in ("a", "b", "c", ".dvc/cache"):
        shutil.rmtree(project.root / name)
    assert len(Workspace.open(project.root).transfers.pull().fetched.done) == N_FILES + 3
    assert proxy.counted() == {"GET": N_FILES + 3}
