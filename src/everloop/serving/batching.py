"""From many small requests to few large calls: scoring and committing, one thread each.

The scoring thread takes every request that waits and scores the rows of one endpoint in one call per model, champion
first. The committing thread takes every scored request that waits and stores them in one transaction; only then are
they answered. So both costs (2 ms of scikit-learn, an fsync) are shared by all who wait. Leaves models to `fleet.py`,
storage to the log, and HTTP to `gateway.py`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from everloop.errors import ConflictError, EverloopError, FailedError, UnavailableError
from everloop.serving.codec import Inference
from everloop.serving.fleet import Fleet, Served
from everloop.serving.metrics import Counter
from everloop.serving.model import LoadedModel
from everloop.serving.prediction import Capture, Outcome
from everloop.serving.store import PredictionLog

logger = logging.getLogger(__name__)

MAX_BATCH_ROWS = 10_000
MAX_MOVES = 100
LINGER_S = 0.001
"""How long scoring waits for the rest of a batch while more requests are on their way; one alone never waits.

Clients that were answered together ask again together, but one after the other: without the wait the first of them is
scored alone and the others sit out that call. With 8 and with 32 clients it brought a quarter more requests per second.
"""


class Job(msgspec.Struct, kw_only=True, eq=False):
    """One request on its way."""

    endpoint: str
    inference: Inference
    received_at: datetime
    answer: Any = None
    """Whatever the one who waits needs to recognise the result by."""
    moves: int = 0
    """How often its deployment changed under it."""
    capture: Capture | None = None
    is_finished: bool = False


Jobs: TypeAlias = queue.SimpleQueue[list[Job] | None]
Results: TypeAlias = list[tuple[Job, Outcome | EverloopError]]


class Pipeline:
    """The two threads between a request and its answer. `submit` may be called from any thread.

    Args:
        fleet: the models.
        log: where answered requests go.
        deliver: called with finished requests, each once, many at a time, from the pipeline's threads.
        max_waiting: requests that may be on their way at once; more are refused.
        max_waiting_rows: rows that may be on their way at once; more are refused, unless nothing else is.
    """

    def __init__(
        self,
        fleet: Fleet,
        log: PredictionLog,
        deliver: Callable[[Results], None],
        *,
        max_waiting: int = 4096,
        max_waiting_rows: int = 400_000,
    ) -> None:
        self._fleet = fleet
        self._log = log
        self._deliver = deliver
        self._max_waiting = max_waiting
        self._max_waiting_rows = max_waiting_rows
        self._waiting = self._waiting_rows = 0
        self._counting = threading.Lock()
        self._to_score: Jobs = queue.SimpleQueue()
        self._to_commit: Jobs = queue.SimpleQueue()
        self.captured_rows = Counter("everloop_gateway_captured_rows_total", "Rows stored in the prediction log.")
        self.batches = Counter("everloop_gateway_batches_total", "Calls of scoring and of committing.")
        self.shadow_failures = Counter("everloop_gateway_shadow_failures_total", "Requests that a shadow failed on.")
        self._threads = [
            threading.Thread(target=self._run_scoring, name="scoring", daemon=True),
            threading.Thread(target=self._run_committing, name="committing", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """How many requests are on their way."""
        return self._waiting

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def submit(self, job: Job) -> None:
        """Take a request.

        Raises:
            UnavailableError: too many are on their way.
        """
        n_rows = job.inference.n_rows
        with self._counting:
            is_full = self._waiting >= self._max_waiting
            is_full |= self._waiting > 0 and self._waiting_rows + n_rows > self._max_waiting_rows
            if is_full:
                raise UnavailableError(
                    f"the gateway is overloaded: {self._waiting} requests with {self._waiting_rows:,} rows are waiting",
                    hint="Try again in a moment; the same id makes that safe.",
                )
            self._waiting += 1
            self._waiting_rows += n_rows
        self._to_score.put([job])

    def close(self) -> None:
        """Finish what was taken, then end the threads."""
        for jobs, thread in zip((self._to_score, self._to_commit), self._threads, strict=True):
            jobs.put(None)
            thread.join()

    def _run_scoring(self) -> None:
        is_open = True
        while is_open:
            batch: list[Job] = []
            is_open = _take(self._to_score, batch)
            if is_open and self._waiting > len(batch):
                time.sleep(LINGER_S)
                is_open = _take_more(self._to_score, batch)
            self._work(self._score, batch)

    def _run_committing(self) -> None:
        is_open = True
        while is_open or not self._to_commit.empty():  # it may put a request back while it ends
            batch: list[Job] = []
            is_open = _take(self._to_commit, batch) and is_open
            self._work(self._commit, batch)

    def _work(self, work: Callable[[list[Job]], Results], batch: list[Job]) -> None:
        try:
            results = work(batch)
        # The edge of the thread: whatever happened, everyone who waits gets an answer and the next batch is served.
        except Exception:
            logger.exception("a batch of %d requests failed", len(batch))
            results = [(job, UnavailableError("the request could not be stored; it was not answered")) for job in batch]
        self._finish(results)

    def _finish(self, results: Results) -> None:
        """Hand results over, all at once: waking the one who waits is a system call."""
        fresh = []
        with self._counting:
            for job, result in results:
                if not job.is_finished:
                    job.is_finished = True
                    self._waiting -= 1
                    self._waiting_rows -= job.inference.n_rows
                    fresh.append((job, result))
        if fresh:
            self._deliver(fresh)

    def _score(self, batch: list[Job]) -> Results:
        """Score requests and pass them on to be committed; return those that ended here, with their errors."""
        ended: Results = []
        by_endpoint: dict[str, list[Job]] = defaultdict(list)
        for job in batch:
            by_endpoint[job.endpoint].append(job)
        self.batches.add(step="score")
        for endpoint, jobs in by_endpoint.items():
            try:
                served = self._fleet.served(endpoint)
            except EverloopError as error:
                ended += [(job, error) for job in jobs]
            else:
                ended += self._score_endpoint(served, jobs)
        return ended

    def _score_endpoint(self, served: Served, jobs: list[Job]) -> Results:
        answers = score_each(served.champion, [job.inference for job in jobs])
        ended: Results = []
        good: list[tuple[Job, list[float]]] = []
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, EverloopError):
                ended.append((job, answer))
            else:
                good.append((job, answer))
        inferences = [job.inference for job, _ in good]
        shadows = {version: _shadow_scores(model, inferences) for version, model in served.shadows.items()}
        for place, (job, answer) in enumerate(good):
            of_shadows = {version: answers[place] for version, answers in shadows.items()}
            job.capture = self._captured(served, job, answer, of_shadows)
        if good:
            self._to_commit.put([job for job, _ in good])
        return ended

    def _captured(
        self, served: Served, job: Job, answer: list[float], shadows: dict[int, list[float] | EverloopError]
    ) -> Capture:
        deployment = served.deployment
        scores: dict[int, list[float] | None] = {deployment.champion: answer}
        errors: dict[int, str] = {}
        for version, found in shadows.items():
            if isinstance(found, EverloopError):
                scores[version] = None
                errors[version] = str(found)
                self.shadow_failures.add(endpoint=job.endpoint, version=str(version))
            else:
                scores[version] = found
        return Capture(
            endpoint=job.endpoint,
            request_id=job.inference.request_id,
            digest=job.inference.digest,
            occurred_at=job.inference.occurred_at,
            received_at=job.received_at,
            n_rows=job.inference.n_rows,
            seen_revision=served.seen_revision,
            revision=deployment.revision,
            version=deployment.champion,
            inputs=job.inference.packed,
            scores=scores,
            shadow_errors=errors,
        )

    def _commit(self, batch: list[Job]) -> Results:
        """Store scored requests; return all but those whose deployment changed, which are scored again."""
        outcomes = self._log.capture([job.capture for job in batch if job.capture is not None])
        self.batches.add(step="commit")
        ended: Results = []
        moved: list[Job] = []
        for job, outcome in zip(batch, outcomes, strict=True):
            if outcome.kind == "moved":
                moved.append(job)
            elif outcome.kind == "conflict":
                ended.append((job, _conflict(job)))
            else:
                if outcome.kind == "stored":
                    self.captured_rows.add(job.inference.n_rows, endpoint=job.endpoint)
                ended.append((job, outcome))
        self._finish(ended)
        return self._follow(moved) if moved else []

    def _follow(self, moved: list[Job]) -> Results:
        """Score requests again whose endpoint was deployed anew since they were scored."""
        self._fleet.refresh()
        ended: Results = []
        for job in moved:
            job.moves += 1
            if job.moves > MAX_MOVES:
                restless = UnavailableError(f"endpoint {job.endpoint!r} changes faster than it can answer")
                ended.append((job, restless))
        return ended + self._score([job for job in moved if job.moves <= MAX_MOVES])


def _conflict(job: Job) -> ConflictError:
    return ConflictError(
        f"request id {job.inference.request_id!r} was used before at {job.endpoint!r} with other inputs",
        hint="Send a new id with new inputs; the same id only repeats the same request.",
    )


def score_each(model: LoadedModel, inferences: Sequence[Inference]) -> list[list[float] | EverloopError]:
    """Score requests in one call; return each one's scores, or its own error.

    When the call fails, each half is tried by itself, down to the requests at fault, so that they fail no other.
    """
    try:
        return _score_together(model, inferences)
    except EverloopError as error:
        if len(inferences) == 1:
            return [error]
    half = len(inferences) // 2
    return score_each(model, inferences[:half]) + score_each(model, inferences[half:])


def _score_together(model: LoadedModel, inferences: Sequence[Inference]) -> list[list[float] | EverloopError]:
    if not inferences:
        return []
    names = [column.name for column in model.inputs if all(column.name in each.columns for each in inferences)]
    joined: dict[str, list[Any]] = {}
    for name in names:
        joined[name] = [value for each in inferences for value in each.columns[name]]
    scores = model.score(joined).tolist()
    parts: list[list[float] | EverloopError] = []
    start = 0
    for each in inferences:
        parts.append(scores[start : start + each.n_rows])
        start += each.n_rows
    return parts


def _shadow_scores(model: LoadedModel | str, inferences: Sequence[Inference]) -> list[list[float] | EverloopError]:
    if isinstance(model, str):
        return [FailedError(model) for _ in inferences]
    return score_each(model, inferences)


def _take(jobs: Jobs, batch: list[Job]) -> bool:
    """Wait for requests, then put all that wait into `batch`; False when the end was among them."""
    first = jobs.get()
    if first is None:
        return False
    batch += first
    return _take_more(jobs, batch)


def _take_more(jobs: Jobs, batch: list[Job]) -> bool:
    """Put all that wait into `batch`, until it has `MAX_BATCH_ROWS` rows; False when the end was among them."""
    n_rows = sum(job.inference.n_rows for job in batch)
    while n_rows < MAX_BATCH_ROWS:
        try:
            more = jobs.get_nowait()
        except queue.Empty:
            return True
        if more is None:
            return False
        batch += more
        n_rows += sum(job.inference.n_rows for job in more)
    return True
