from __future__ import annotations

import hashlib
import subprocess

import pytest

from everloop import pipelines
from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines.certificate import Verdict
from everloop.pipelines.recorded import Recorded, is_address, recorded
from everloop.pipelines.reproduction import reproduce
from everloop.registry import PackageFile
from everloop.workspace import Workspace
from tests.stores import Stores

RUN = "a" * 32
PIPELINE = """\
stages:
  train:
    cmd: cp rate.txt model && echo '{"auc":0.7}' > m.json
    deps: [rate.txt]
    outs: [model]
    metrics: [m.json: {cache: false}]
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    (workspace.root / "rate.txt").write_text("1\n")
    (workspace.root / "dvc.yaml").write_text(PIPELINE)
    pipelines.repro(workspace)
    subprocess.run(["git", "add", "-A"], cwd=workspace.root, check=True)
    workspace.git.commit(["."], "first")
    return workspace


class Kept:
    """Objects by their digest."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.objects[digest] = data
        return digest


def track(platform: Stores, kept: Kept, tags: dict[str, str], **files: bytes) -> None:
    platform.tracking.create_experiment("e")
    platform.tracking.create_run(RUN, "e")
    platform.tracking.log(RUN, [], {}, tags)
    for name, data in files.items():
        path = name.replace("_", ".")
        platform.tracking.log_artifact(RUN, path, kept.put(data), len(data))


def test_a_run_is_run_again_with_what_was_not_committed(project: Workspace, platform: Stores) -> None:
    commit = project.git.head()
    (project.root / "rate.txt").write_text("2\n")
    patch = project.git.patch().encode()
    pipelines.repro(project)
    lock = (project.root / "dvc.lock").read_bytes()
    kept = Kept()
    track(platform, kept, {"commit": commit, "dirty": "true"}, git_patch=patch, dvc_lock=lock)
    # The workspace has gone on since.
    (project.root / "rate.txt").write_text("3\n")
    found = recorded(f"runs/{RUN}", platform.tracking, platform.registry, kept.objects.__getitem__)
    assert found == Recorded(address=f"runs/{RUN}", commit=commit, patch=patch, lock=lock)
    certificate = reproduce(project, found)
    assert (certificate.verdict, certificate.inputs) == (Verdict.IDENTICAL, ())
    assert certificate.revision == f"runs/{RUN}"
    # What the commit alone makes is something else.
    assert reproduce(project, Recorded(address="runs/x", commit=commit, lock=lock)).verdict is Verdict.DIFFERENT
    assert (project.root / "rate.txt").read_text() == "3\n"


def test_a_model_version_leads_to_its_run(project: Workspace, platform: Stores) -> None:
    kept = Kept()
    commit = project.git.head()
    track(platform, kept, {"commit": commit})
    file = PackageFile(path="MLmodel", digest="0" * 64, size_bytes=1)
    version = platform.registry.register("delay", RUN, "0" * 64, [file], {}, "person/ada")
    platform.registry.set_alias("delay", "champion", version.version, "person/ada", "first")
    for address in ("models/delay@1", "models/delay@champion"):
        found = recorded(address, platform.tracking, platform.registry, kept.objects.__getitem__)
        assert found == Recorded(address=address, commit=commit)


def test_what_cannot_be_run_again_is_told(platform: Stores, project: Workspace) -> None:
    kept = Kept()
    look = (platform.tracking, platform.registry, kept.objects.__getitem__)
    with pytest.raises(NotFoundError):
        recorded(f"runs/{RUN}", *look)
    track(platform, kept, {})
    with pytest.raises(InvalidError, match="has no commit on record"):
        recorded(f"runs/{RUN}", *look)
    platform.tracking.log(RUN, [], {}, {"commit": project.git.head(), "dirty": "true"})
    with pytest.raises(NotFoundError, match="its patch was not kept"):
        recorded(f"runs/{RUN}", *look)
    with pytest.raises(InvalidError, match="no address of a model version"):
        recorded("models/delay", *look)
    with pytest.raises(InvalidError, match="32 hex digits"):
        recorded("runs/x", *look)


def test_words() -> None:
    assert [is_address(word) for word in ("runs/x", "models/x@1", "HEAD", "feature/runs/x")] == [
        True,
        True,
        False,
        False,
    ]
