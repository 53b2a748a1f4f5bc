"""Run jobs on a Ray cluster. The only file that imports Ray (extra `ray`).

A job runs as one Ray task, on whatever machine has the resources that it asks for; that machine needs Everloop, and no
disk that it shares with this one. When the machine is lost, the job runs again on another one. What a job reads and
makes travels through a `Carrier`, of which this file knows nothing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from everloop.compute.job import Ended, Job, Output, Resources
from everloop.errors import FailedError, InvalidError, NotInstalledError, UnavailableError

_POLL_S = 0.2
_GRACE_S = 20.0
_ATTEMPTS = 4

# On the other machine: runs what was sent, tells what is printed, asks whether to stop, gives what is to be received.
Work = Callable[[bytes, bytes, Callable[[bytes], None], Callable[[], bool]], bytes]


class Carrier(Protocol):
    """Brings a job to another machine and what it has made back.

    Thread-safe: `send` and `receive` are called by one thread for each job.
    """

    @property
    def work(self) -> Work:
        """A function of a module, which the other machine imports by its name."""
        ...

    def send(self, job: Job) -> tuple[bytes, bytes]:
        """Make everything available that the job needs, and describe it.

        Returns:
            The description, and files that many jobs have in common, which travel once for equal bytes.

        Raises:
            EverloopError: Something that it needs is nowhere.
        """
        ...

    def receive(self, job: Job, made: bytes) -> Ended:
        """Put what `work` has returned in place.

        Raises:
            EverloopError: It did not arrive.
        """
        ...


class RayExecutor:
    """Tasks of a Ray cluster. An `Executor`; connects with the first job.

    Args:
        address: `ray` is the cluster that `RAY_ADDRESS` or this machine has, or else one that is started here for as
            long as this process lives; `ray:HOST:PORT` and `ray://HOST:PORT` (through Ray's client server) are others.
        carrier: Brings jobs there and back.
    """

    def __init__(self, address: str, carrier: Carrier) -> None:
        self._address = address
        self._carrier = carrier
        self._connecting = threading.Lock()
        self._cluster: _Cluster | None = None

    def run(self, job: Job, output: Output, should_stop: Callable[[], bool]) -> Ended:
        cluster = self._connected()
        cluster.require_possible(job)
        payload, common = self._carrier.send(job)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                made = cluster.run(self._carrier.work, payload, common, job, output, should_stop)
            except _LostError as error:
                if attempt == _ATTEMPTS:
                    raise FailedError(
                        f"{job.name}: the machines that ran it were lost {attempt} times: {error}",
                        hint="look at the cluster: ray status",
                    ) from error
                output.append(f"everloop: the machine that ran {job.name} was lost; it runs again\n".encode())
                continue
            output.finish()
            return Ended(was_stopped=True) if made is None else self._carrier.receive(job, made)
        raise AssertionError("the last attempt ends the loop")

    def close(self) -> None:
        with self._connecting:
            if self._cluster is not None:
                self._cluster.close()
                self._cluster = None

    def _connected(self) -> _Cluster:
        with self._connecting:
            if self._cluster is None:
                self._cluster = _Cluster(self._address)
            return self._cluster


class _LostError(Exception):
    """The machine or the process that ran a task is gone."""


class _Cluster:
    """A connection to a cluster; thread-safe, as Ray is."""

    def __init__(self, address: str) -> None:
        self._ray = _import()
        self._was_connected = self._ray.is_initialized()
        if not self._was_connected:
            self._connect(address)
        self._outbox = self._ray.remote(num_cpus=0, max_restarts=-1)(_Outbox).remote()
        self._common: dict[str, Any] = {}
        self._putting = threading.Lock()

    def require_possible(self, job: Job) -> None:
        """Refuse what no machine of the cluster can ever give.

        Raises:
            InvalidError: It is so; says what there is.
        """
        wanted = {"CPU": job.resources.cpus, "GPU": job.resources.gpus, "memory": job.resources.memory_bytes or 0}
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(machine.get(name, 0) >= amount for name, amount in wanted.items()) for machine in machines):
            return
        said = "; ".join(
            f"{machine.get('CPU', 0):g} cpus, {machine.get('GPU', 0):g} gpus, {machine.get('memory', 0) / 1e9:.1f} GB"
            for machine in machines
        )
        asked = f"{wanted['CPU']:g} cpus, {wanted['GPU']:g} gpus, {wanted['memory'] / 1e9:.1f} GB"
        raise InvalidError(
            f"{job.name} asks for {asked} of memory, which no machine of the cluster has: {said or 'it has none'}",
            hint="ask for less in meta.everloop.resources, or add a machine",
        )

    def run(
        self,
        work: Work,
        payload: bytes,
        common: bytes,
        job: Job,
        output: Output,
        should_stop: Callable[[], bool],
    ) -> bytes | None:
        """Run the work as a task; None when it was stopped.

        Raises:
            _LostError: The machine is gone.
            FailedError: The task itself failed.
        """
        token = uuid.uuid4().hex
        task = self._ray.remote(_run).options(max_retries=0, name=job.name, **_options(job.resources))
        done = task.remote(work, payload, self._shared(common), self._outbox, token)
        asked_to_stop = False
        try:
            while not self._ray.wait([done], timeout=_POLL_S)[0]:
                self._follow(token, output)
                if should_stop():
                    asked_to_stop = True
                    return None
            made = self._result(done, job)
            self._follow(token, output)
            return made
        except BaseException:
            asked_to_stop = True
            raise
        finally:
            if asked_to_stop:
                self._cancel(done)
                self._follow(token, output)

    def close(self) -> None:
        self._ray.kill(self._outbox)
        if not self._was_connected:
            self._ray.shutdown()

    def _connect(self, address: str) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        try:
            if address.startswith("ray://"):
                self._ray.init(address, **quiet)
            elif address.startswith("ray:"):
                self._ray.init(address.removeprefix("ray:"), **quiet)
            elif os.environ.get("RAY_ADDRESS"):
                self._ray.init(**quiet)
            else:
                self._join_or_start(quiet)
        except (ConnectionError, TimeoutError, ValueError) as error:
            raise UnavailableError(
                f"the Ray cluster at {address} does not answer: {error}", hint="ray status; or --executor local"
            ) from error

    def _join_or_start(self, quiet: dict[str, Any]) -> None:
        try:
            self._ray.init("auto", **quiet)
        except ConnectionError:
            # There is none on this machine yet.
            self._ray.init("local", include_dashboard=False, **quiet)

    def _shared(self, common: bytes) -> Any:
        """The bytes in the cluster's own store, where equal ones are kept once."""
        key = hashlib.sha256(common).hexdigest()
        with self._putting:
            if key not in self._common:
                self._common = {key: self._ray.put(common)}
            return self._common[key]

    def _result(self, done: Any, job: Job) -> bytes:
        errors = self._ray.exceptions
        try:
            return bytes(self._ray.get(done))
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.RaySystemError,
            errors.OutOfMemoryError,
        ) as error:
            raise _LostError(str(error).splitlines()[0]) from error
        except errors.RayTaskError as error:
            raise FailedError(f"{job.name} could not be run on the cluster: {error.cause!r}") from error
        except errors.RayError as error:
            raise FailedError(f"{job.name} could not be run on the cluster: {error}") from error

    def _follow(self, token: str, output: Output) -> None:
        try:
            data = self._ray.get(self._outbox.take.remote(token), timeout=_GRACE_S)
        except self._ray.exceptions.RayError:
            # Its machine was lost, and with it some lines; it is started again.
            return
        if data:
            output.append(data)

    def _cancel(self, done: Any) -> None:
        """Ask the task to end, and end it when it does not."""
        self._ray.cancel(done, force=False)
        if not self._ray.wait([done], timeout=_GRACE_S)[0]:
            self._ray.cancel(done, force=True)
            self._ray.wait([done], timeout=_GRACE_S)


class _Outbox:
    """An actor that keeps what tasks have printed until somebody takes it."""

    def __init__(self) -> None:
        self._printed: dict[str, list[bytes]] = {}

    def append(self, token: str, data: bytes) -> None:
        self._printed.setdefault(token, []).append(data)

    def take(self, token: str) -> bytes:
        return b"".join(self._printed.pop(token, []))


def _run(work: Work, payload: bytes, common: bytes, outbox: Any, token: str) -> bytes:
    """The task: does the work in a thread, so that this one hears when it is to stop."""
    ray = _import()
    stopping = threading.Event()
    made: list[bytes] = []
    failed: list[BaseException] = []
    last: list[Any] = []

    def emit(data: bytes) -> None:
        last[:] = [outbox.append.remote(token, data)]

    def go() -> None:
        try:
            made.append(work(payload, common, emit, stopping.is_set))
        except BaseException as error:  # noqa: BLE001  it is raised below, in the thread that Ray listens to
            failed.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL_S)
    finally:
        # Also on cancellation, which Ray raises here: nothing of the job may run when the task has ended.
        stopping.set()
        thread.join()
        if last:
            ray.wait(last, timeout=_GRACE_S)
    if failed:
        raise failed[0]
    return made[0]


def _options(resources: Resources) -> dict[str, Any]:
    wanted: dict[str, Any] = {"num_cpus": resources.cpus, "num_gpus": resources.gpus}
    return wanted | ({} if resources.memory_bytes is None else {"memory": resources.memory_bytes})


@functools.cache
def _import() -> Any:
    try:
        import ray
    except ImportError as error:
        raise NotInstalledError("running on Ray needs the package ray", hint="pip install 'everloop[ray]'") from error
    return ray
