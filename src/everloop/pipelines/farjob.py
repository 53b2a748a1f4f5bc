"""One job on a machine that has nothing of the workspace, and how it gets there and back.

Here: what it reads is pushed to the cache's remote, as far as that lacks it; code and settings go along in a bundle.
There: a workspace of its own, inputs fetched by their hash, the scripts run, outputs pushed. Here again: outputs
fetched and put in place. So both machines share the remote and nothing else. Leaves which machine to the executor.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from everloop.compute.environmentspec import EnvironmentSpec
from everloop.compute.job import Ended, Job, Output
from everloop.compute.local import LocalExecutor
from everloop.compute.ray import Work
from everloop.config import Settings
from everloop.errors import FAMILIES, DeniedError, EverloopError, FailedError, NotFoundError
from everloop.pipelines import bundle
from everloop.version import __version__
from everloop.workspace import Content, Out, Workspace, remotes, runcache
from everloop.workspace.checkout import restore
from everloop.workspace.configuration import Level
from everloop.workspace.fetch import fetch
from everloop.workspace.push import push
from everloop.workspace.routes import Transfer, open_store


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it travels. `inputs` have what is in the remote, `remote` are the options of that."""

    version: str
    name: str
    scripts: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    inputs: dict[str, Content]
    outputs: tuple[str, ...]
    remote: dict[str, str]
    python: EnvironmentSpec | None = None


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    """What comes back: how the scripts ended, the outputs that are in the remote now, or an error of ours."""

    code: int = 0
    script: str = ""
    was_stopped: bool = False
    outputs: dict[str, Content] = {}
    error: tuple[str, str, str | None] | None = None


def work(payload: bytes, files: bytes, emit: Callable[[bytes], None], should_stop: Callable[[], bool]) -> bytes:
    """Run a job here, on the machine that it was sent to."""
    try:
        sent = msgspec.msgpack.decode(payload, type=_Sent)
        if sent.version != __version__:
            raise FailedError(
                f"this machine has Everloop {__version__}, the one that sent {sent.name} has {sent.version}",
                hint="install the same on both",
            )
        with _own_workspace(sent) as workspace:
            bundle.unpack(files, workspace.root)
            made = _run(workspace, sent, emit, should_stop)
    except EverloopError as error:
        made = _Made(error=(error.family, error.message, error.hint))
    return msgspec.msgpack.encode(made)


class FarJobs:
    """Sends jobs of one workspace to other machines. A `Carrier`.

    Args:
        root: The workspace.
        remote: The name of the remote through which data travel; None means the default one.

    Raises:
        NotFoundError: There is no such remote.
    """

    def __init__(self, root: Path, remote: str | None = None) -> None:
        self._root = root
        self._remote = remote
        # So that a workspace without one is told at once.
        remotes.find(Workspace.open(root).configuration, remote)
        self._has_sent = False
        self._bundling = threading.Lock()
        self._bundles: bundle.Bundles | None = None

    @property
    def work(self) -> Work:
        return work

    def send(self, job: Job) -> tuple[bytes, bytes]:
        # A workspace of its own for each job: they are sent by several threads. None of them takes the lock, which
        # belongs to the process as a whole.
        workspace = Workspace.open(self._root)
        remote = remotes.find(workspace.configuration, self._remote)
        self._has_sent = True
        inputs: dict[str, Content] = {}
        loose: list[str] = []
        for path in job.inputs:
            content = workspace.measure(path)
            if content is None or path.startswith("/"):
                raise NotFoundError(f"{job.name} reads {path}, which cannot be sent: it is not in the workspace")
            if workspace.cache.missing(content.md5):
                loose.append(path)
            else:
                inputs[path] = content
        kept = [path for path in job.outputs if os.path.lexists(self._root / path)]
        # Outputs that are there when a stage starts are kept between its runs, so it reads them.
        with workspace.cache.incoming() as incoming:
            inputs |= {path: workspace.contents.keep(path, incoming) for path in kept}
        _require(push(workspace, _outs(inputs), remote=self._remote), f"what {job.name} reads")
        sent = _Sent(
            version=__version__,
            name=job.name,
            scripts=job.scripts,
            folder=job.folder,
            environment=job.environment,
            inputs=inputs,
            outputs=job.outputs,
            remote=remote.options,
            python=_moved(job.python, lambda lock: Path(lock).relative_to(self._root)),
        )
        with self._bundling:
            if self._bundles is None:
                self._bundles = bundle.Bundles(workspace)
            return msgspec.msgpack.encode(sent), self._bundles.bundle(loose)

    def receive(self, job: Job, made: bytes) -> Ended:
        found = msgspec.msgpack.decode(made, type=_Made)
        if found.error is not None:
            family, message, hint = found.error
            raise FAMILIES.get(family, FailedError)(message, hint=hint)
        workspace = Workspace.open(self._root)
        outs = _outs(found.outputs)
        _require(fetch(workspace, outs, remote=self._remote), f"what {job.name} made")
        # The stage's paths are claimed, and its lock is lent, by who runs it.
        restore(workspace, outs, force=True)
        return Ended(code=found.code, script=found.script, was_stopped=found.was_stopped)

    def share_runs(self) -> None:
        """Push the run cache, when anything was sent, so that nobody has to compute it again."""
        if self._has_sent:
            workspace = Workspace.open(self._root)
            runcache.push(workspace, open_store(workspace, self._remote))


def _run(workspace: Workspace, sent: _Sent, emit: Callable[[bytes], None], should_stop: Callable[[], bool]) -> _Made:
    inputs = _outs(sent.inputs)
    _require(fetch(workspace, inputs), f"what {sent.name} reads")
    workspace.restore(inputs, force=True)
    for path in (*sent.outputs, f"{sent.folder}/x"):
        (workspace.root / path).parent.mkdir(parents=True, exist_ok=True)
    for path in sent.outputs:
        if path in sent.inputs:
            workspace.unprotect(path)
    job = Job(
        name=sent.name,
        scripts=sent.scripts,
        root=workspace.root,
        folder=sent.folder,
        environment={**sent.environment, "DVC_ROOT": str(workspace.root)},
        python=_moved(sent.python, workspace.root.joinpath),
    )
    executor = LocalExecutor()
    output = Output(workspace.root.parent / "output.log", lambda line: emit(f"{line}\n".encode()))
    try:
        ended = executor.run(job, output, should_stop)
    finally:
        executor.close()
        output.close()
    if ended.was_stopped or ended.code != 0:
        return _Made(code=ended.code, script=ended.script, was_stopped=ended.was_stopped)
    present = [path for path in sent.outputs if (workspace.root / path).exists()]
    outputs = workspace.commit(present)
    _require(push(workspace, _outs(outputs)), f"what {sent.name} made")
    return _Made(outputs=outputs)


@contextmanager
def _own_workspace(sent: _Sent) -> Iterator[Workspace]:
    """An empty workspace with the sender's remote, gone afterwards; the cache is that of earlier jobs here."""
    given = Settings.load().work_dir
    place = Path(given).expanduser() if given else Path(tempfile.gettempdir(), f"everloop-work-{os.getuid()}")
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    if place.stat().st_uid != os.getuid():
        raise DeniedError(f"the folder {place} belongs to another user", hint="name another one in EVERLOOP_WORK_DIR")
    (place / "jobs").mkdir(exist_ok=True)
    _remove_left(place / "jobs")
    folder = Path(tempfile.mkdtemp(dir=place / "jobs"))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            workspace = Workspace.init(folder / "workspace", scm=False)
            with workspace.configuration.edit(Level.LOCAL) as file:
                for option, value in sent.remote.items():
                    file.set("remote.shared", option, value)
                file.set("core", "remote", "shared")
                file.set("cache", "dir", str(place / "cache"))
            yield Workspace.open(folder / "workspace")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left(jobs: Path) -> None:
    """What killed jobs have left: nobody holds their lock any more."""
    for folder in jobs.iterdir():
        try:
            with (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # It is at work, or has only just begun.
            continue
        shutil.rmtree(folder, ignore_errors=True)


def _moved(spec: EnvironmentSpec | None, place: Callable[[str], Path]) -> EnvironmentSpec | None:
    """A Python environment with its lock at another place."""
    if spec is None or spec.lock is None:
        return spec
    return msgspec.structs.replace(spec, lock=str(place(spec.lock)))


def _outs(contents: dict[str, Any]) -> list[Out]:
    return [Out(path=path, content=content) for path, content in contents.items()]


def _require(moved: Transfer, what: str) -> None:
    for failure in moved.failed:
        raise FailedError(f"{what} did not travel: {failure.path}: {failure.reason}", hint="ever doctor")
