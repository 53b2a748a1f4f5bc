"""The durable runner: ticks and retrainings as DBOS workflows, which survive a crash of the worker at any line.

The only file that knows DBOS. Each step changes our database in its own idempotent transaction, so a step that had
finished but was not yet marked so may run again. Ticks run one by one, and so do retrainings, but side by side: a
training that takes hours does not stop the watching.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer

from everloop import refs
from everloop.config import Settings
from everloop.errors import EverloopError
from everloop.loop import candidate, retraining, traffic
from everloop.loop.candidate import Judged
from everloop.loop.controller import LoopController, Requests
from everloop.loop.retraining import Trained
from everloop.loop.rooms import Rooms
from everloop.loop.tick import failed_tick, tick

log = logging.getLogger(__name__)

QUEUES = {"tick": "everloop-ticks", "retrain": "everloop-retrainings"}
# Recovery is bound to the version of the workflows' code: raise it only when steps are added, removed or reordered.
WORKFLOW_VERSION = "1"
POLL_S = 0.05
SERIALIZER = DBOSPortableJSONSerializer()
"""JSON, so that what DBOS keeps can be read by people and other versions; the default is pickle."""


class QueuedRequests:
    """`Requests` that enqueues workflows from any process. The client is made at the first use. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.workflow_database
        self._client: DBOSClient | None = None
        self._lock = threading.Lock()

    def tick(self, endpoint: str, at: datetime) -> None:
        self._enqueue("tick", f"tick/{endpoint}/{at.isoformat()}", endpoint, at.isoformat())

    def retraining(self, retraining_id: str) -> None:
        self._enqueue("retrain", f"retrain/{retraining_id}", retraining_id)

    def close(self) -> None:
        """Close the client's connections; the next request opens them again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.destroy()

    def _enqueue(self, workflow: str, workflow_id: str, *arguments: str) -> None:
        with self._lock:
            if self._client is None:
                # Its tables, too, are made by whoever comes first: no worker may have run here yet.
                DBOS.migrate(self._url)
                self._client = DBOSClient(system_database_url=self._url, serializer=SERIALIZER)
            client = self._client
        client.enqueue(
            {
                "queue_name": QUEUES[workflow],
                "workflow_name": workflow,
                "workflow_id": workflow_id,
                "app_version": WORKFLOW_VERSION,
            },
            *arguments,
        )


def _config(settings: Settings) -> DBOSConfig:
    return {
        "name": "everloop",
        "system_database_url": settings.workflow_database,
        "application_version": WORKFLOW_VERSION,
        "executor_id": settings.worker_id,
        "log_level": "WARNING",
        "serializer": SERIALIZER,
    }


def run_worker(rooms: Rooms, settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. What was under way is taken up again by the next worker of the same name.

    Raises:
        ConflictError: a worker of that name runs already; both would take up the same unfinished work.
    """
    refs.check_name(settings.worker_id, "worker")
    with rooms.database.claimed(f"worker-{settings.worker_id}"):
        _work(rooms, settings)


def _work(rooms: Rooms, settings: Settings) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    DBOS(config=_config(settings))
    requests = QueuedRequests(settings)
    _register(rooms, requests)
    DBOS.launch()
    for queue in QUEUES.values():
        DBOS.register_queue(queue, global_concurrency=1, polling_interval_sec=POLL_S)
    log.info("worker %s is ready", settings.worker_id)
    controller = LoopController(rooms, requests)
    while not stop.wait(settings.schedule_s or None):
        _tick_all(controller, rooms)
    DBOS.destroy()
    rooms.database.close()
    # A training under way waits for its subprocess in a thread that cannot be interrupted; its stage ends with us.
    os._exit(0)


def _tick_all(controller: LoopController, rooms: Rooms) -> None:
    """Ask for a tick of every endpoint, as of this minute."""
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    for project in rooms.loop.list_projects():
        controller.request_tick(project.endpoint, at)


def _register(rooms: Rooms, requests: Requests) -> None:
    """Tell DBOS the workflows and their steps, over this process's rooms."""
    observe = _step("observe", lambda endpoint, at: _tick(rooms, requests, endpoint, datetime.fromisoformat(at)))
    retrain_steps = _retraining_steps(rooms)

    def run_tick(endpoint: str, at: str) -> None:
        observe(endpoint, at)

    def run_retraining(retraining_id: str) -> None:
        retrain_steps(retraining_id)

    DBOS.workflow(name="tick")(run_tick)
    DBOS.workflow(name="retrain")(run_retraining)


def _tick(rooms: Rooms, requests: Requests, endpoint: str, at: datetime) -> None:
    """Do a tick and hand on the retraining that it asks for; put a failure on record for whoever waits."""
    try:
        outcome = tick(rooms, endpoint, at)
        if outcome.retraining:
            requests.retraining(outcome.retraining)
    except Exception as error:  # the worker's edge: whoever waits for this tick must see its end
        log.exception("tick of %s at %s failed", endpoint, at)
        outcome = failed_tick(endpoint, at, f"{type(error).__name__}: {error}")
    rooms.loop.finish_tick(outcome)


def _step(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Make a step that takes and gives plain JSON values, so that what DBOS keeps can be read, not unpickled."""

    def run(*arguments: Any) -> Any:
        return msgspec.to_builtins(work(*arguments))

    run.__name__ = run.__qualname__ = name
    step: Callable[..., Any] = DBOS.step(name=name)(run)
    return step


def _retraining_steps(rooms: Rooms) -> Callable[[str], None]:
    """Return what runs a retraining through its steps: train, judge, enter."""

    def train(retraining_id: str) -> Any:
        asked = rooms.loop.retraining(retraining_id)
        rooms.scorer.warm()
        return _or_failure(
            rooms, retraining_id, lambda: retraining.train(rooms, rooms.loop.project_of(asked.endpoint), asked)
        )

    def judge(retraining_id: str, trained: Any) -> Any:
        asked = rooms.loop.retraining(retraining_id)
        applied = rooms.loop.project_of(asked.endpoint)
        return _or_failure(
            rooms, retraining_id, lambda: candidate.judge(rooms, applied, asked, msgspec.convert(trained, Trained))
        )

    def enter(retraining_id: str, trained: Any, judged: Any) -> Any:
        asked = rooms.loop.retraining(retraining_id)
        applied = rooms.loop.project_of(asked.endpoint)

        def work() -> str:
            version = candidate.register(
                rooms, applied, asked, msgspec.convert(trained, Trained), msgspec.convert(judged, Judged)
            )
            return traffic.enter(rooms, applied, retraining_id, version.version, asked.at)

        return _or_failure(rooms, retraining_id, work)

    do_train, do_judge, do_enter = _step("train", train), _step("judge", judge), _step("enter", enter)

    def run(retraining_id: str) -> None:
        trained = do_train(retraining_id)
        if trained is None:
            return
        judged = do_judge(retraining_id, trained)
        if judged is not None and judged["report"]["passed"]:
            do_enter(retraining_id, trained, judged)

    return run


def _or_failure(rooms: Rooms, retraining_id: str, work: Callable[[], Any]) -> Any:
    """Do the work; when it fails, put the failure on record and return None."""
    try:
        return work()
    except EverloopError as error:
        log.warning("retraining %s failed: %s", retraining_id, error)
        message = str(error)
    except Exception as error:
        log.exception("retraining %s failed for a reason that nobody foresaw", retraining_id)
        message = f"{type(error).__name__}: {error}"
    with rooms.database.write() as connection:
        rooms.loop.change_retraining_in(connection, retraining_id, state="failed", message=message[:2000])
    return None
