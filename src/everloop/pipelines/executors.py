"""The executors that commands name: `local` is this machine, `ray...` a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from everloop.errors import InvalidError
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.compute.job import Executor


@contextmanager
def open_executor(name: str, workspace: Workspace) -> Iterator[Executor | None]:
    """The executor of a name, closed at the end; None is this machine, as `repro` takes it.

    What was run elsewhere is shared at the end: its runs are pushed to the run cache of the remote.

    Args:
        name: `local`, `ray`, `ray:HOST:PORT` or `ray://HOST:PORT`.
        workspace: Whose stages are run.

    Raises:
        InvalidError: There is no such executor.
        NotFoundError: It needs a remote, and there is none.
    """
    if name == "local":
        yield None
        return
    if name != "ray" and not name.startswith("ray:"):
        raise InvalidError(f"there is no executor {name!r}; known are local, ray, ray:HOST:PORT, ray://HOST:PORT")
    from everloop.compute.ray import RayExecutor
    from everloop.pipelines.farjob import FarJobs

    jobs = FarJobs(workspace.root)
    executor = RayExecutor(name, jobs)
    try:
        yield executor
    finally:
        executor.close()
        jobs.share_runs()
