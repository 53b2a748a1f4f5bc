"""Playing the year: data, requests and labels in the order in which the world knew them, with the loop's looks between.

Every call may be repeated, so a stopped demo goes on with the period it was in. Nothing here decides anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from everloop.demo.progress import Counts, Progress, ProgressFile
from everloop.demo.stage import ENDPOINT
from everloop.demo.world import INCIDENT_DAY, Request, World, periods
from everloop.errors import EverloopError, FailedError, NotFoundError
from everloop.loop.store import Retraining, TickOutcome
from everloop.server.client import Hub, actor
from everloop.storage import HttpClient

Say = Callable[[str], None]

BAD_CHALLENGER = f"{ENDPOINT}-shuffled-labels"
WAIT_S = 2.0
ROLLBACK_REASON = "demo: roll back, then forward again"


class Player:
    """Plays the world against a platform.

    Args:
        hub, gateway: clients with patience: a process that is starting again is waited for.
        say: tells what happened, a line each.
        advance: told after each period with the number of days it had.
        look: called before each request and while waiting; raises when the demo has to stop.
    """

    def __init__(
        self,
        hub: Hub,
        gateway: HttpClient,
        world: World,
        file: ProgressFile,
        progress: Progress,
        *,
        say: Say,
        advance: Callable[[int], None],
        look: Callable[[], None],
    ) -> None:
        self.hub = hub
        self.gateway = gateway
        self.world = world
        self.file = file
        self.progress = progress
        self.say = say
        self.advance = advance
        self.look = look

    def play(self) -> None:
        """Play every period that is not complete yet, and the last labels."""
        before: tuple[date, date] | None = None
        for first, last in periods(self.world.script):
            if self.progress.played is None or self.progress.played < last:
                counts = msgspec.structs.replace(self.progress.counts)
                self._period(first, last, before, counts)
                self.progress.counts = counts
                self.progress.played = last
                self.file.save(self.progress)
            self.advance((last - first).days + 1)
            before = (first, last)
        if before is not None:
            counts = msgspec.structs.replace(self.progress.counts)
            self._close(*before, counts)
            self._tick(self.world.script.last_day + timedelta(days=1))
            if not self.progress.is_over:
                self.progress.counts, self.progress.is_over = counts, True
            self.file.save(self.progress)

    def _close(self, first: date, last: date, counts: Counts) -> None:
        """Deliver what became known of the flights of a period: labels to the gateway, rows to the dataset."""
        with self.phase("labels"):
            counts.labels += self._feedback(first, last)
        with self.phase("ingest"):
            counts.flight_rows += self._ingest("flights", first, last, self.world.flights_csv(first, last))

    def _period(self, first: date, last: date, before: tuple[date, date] | None, counts: Counts) -> None:
        if before is not None:
            self._close(*before, counts)
        self._tick(first)
        self._events(first)
        with self.phase("ingest"):
            if first <= INCIDENT_DAY <= last:
                self._incident(first, last)
            counts.weather_rows += self._ingest("weather", first, last, self.world.weather_csv(first, last))
        with self.phase("predictions"):
            day = first
            while day <= last:
                for request in self.world.requests(day):
                    self._predict(request, counts)
                day += timedelta(days=1)

    def _predict(self, request: Request, counts: Counts) -> None:
        self.look()
        counts.sent += len(request.labels)
        path = f"/v2/models/{ENDPOINT}/infer"
        try:
            answer = self.gateway.json("POST", path, inference(request, self.world.datatypes))
        except EverloopError as error:
            counts.failed_requests += 1
            self.say(f"request {request.request_id} failed: {error}")
            return
        scores = next(output["data"] for output in answer["outputs"] if output["name"] == "probability")
        counts.acknowledged += len(scores)

    def _feedback(self, first: date, last: date) -> int:
        """Send the labels of these days; return how many the log holds now that it did not refuse."""
        taken = 0
        day = first
        while day <= last:
            labels = [
                {"prediction_id": f"{request.request_id}-{row}", "label": label}
                for request in self.world.requests(day)
                for row, label in enumerate(request.labels)
                if label is not None
            ]
            if labels:
                known = {"labels": labels, "arrived_at": _midnight(day + timedelta(days=1)).isoformat()}
                found = self.gateway.json("POST", f"/v2/models/{ENDPOINT}/feedback", known)
                taken += int(found["done"]) + int(found["repeated"])
                if found["failed"]:
                    raise FailedError(f"labels of {day} were refused: {found['failed'][0]['error']}")
            day += timedelta(days=1)
        return taken

    def _ingest(self, dataset: str, first: date, last: date, data: bytes) -> int:
        if data.count(b"\n") == 1:
            return 0  # the source has no weather on the last day of the year: a feed that is silent sends no batch
        name = f"{first}" if first == last else f"{first}.{last}"
        batch = self.hub.hand_in(dataset, name, data, _midnight(first))
        if batch.state != "accepted":
            raise FailedError(f"batch {name} of {dataset} was quarantined: {batch.violations[0].message}")
        return batch.n_rows

    def _incident(self, first: date, last: date) -> None:
        """The weather feed changes units and renames a column; the batch must not get in."""
        name = f"{first}" if first == last else f"{first}.{last}"
        batch = self.hub.hand_in("weather", name, self.world.broken_weather_csv(first, last), _midnight(first))
        if batch.state == "accepted":
            raise FailedError(f"the weather batch {name} in °C was accepted")
        self.say(f"{first}: weather in °C with a renamed column: {batch.n_rows} rows quarantined")
        for violation in batch.violations[:3]:
            self.say(f"    {violation.message}")

    def _tick(self, day: date) -> None:
        at = _midnight(day)
        started = time.perf_counter()
        self.hub.loop.request_tick(ENDPOINT, at)
        while (outcome := self.hub.loop.tick_outcome(ENDPOINT, at, WAIT_S)) is None:
            self.look()
        if outcome.error:
            raise FailedError(
                f"the tick of {day} failed: {outcome.error}", hint="The worker's log has the whole story."
            )
        self._spent("monitoring", time.perf_counter() - started)
        if outcome.retraining:
            # Life would go on meanwhile; the demo waits, so that the same seed takes the same decisions.
            with self.phase("retraining"):
                self._await(outcome.retraining)
        self._tell(day, outcome)

    def _await(self, retraining_id: str) -> Retraining:
        while (found := self.hub.loop.get_retraining(retraining_id, WAIT_S)).state == "requested":
            self.look()
        return found

    def _tell(self, day: date, outcome: TickOutcome) -> None:
        for alert in outcome.alerts:
            self.say(f"{day}: alert {alert}")
        if outcome.decision in ("promote", "reject"):
            decided = [each for each in self.hub.loop.list_challenges(ENDPOINT) if each.decided_at == outcome.at]
            for each in decided:
                self.say(f"{day}: {each.state} version {each.challenger}: {each.verdict['reason']}")
        if outcome.retraining:
            done = self.hub.loop.get_retraining(outcome.retraining)
            what = f"version {done.version} into shadow" if done.state == "shadow" else f"{done.state}: {done.message}"
            self.say(f"{day}: retrained ({done.trigger}): {what}")

    def _events(self, day: date) -> None:
        """What the demo's people do: try a bad challenger, and later roll back and forward."""
        if day >= self.world.script.bad_challenger and not self._exists(BAD_CHALLENGER):
            if self._has_challenger():
                return
            with self.phase("retraining"):
                self._bad_challenger(day)
        elif day >= self.world.script.rollback and not self.progress.rolled_back and not self._has_challenger():
            self._roll_back_and_forward(day)

    def _has_challenger(self) -> bool:
        return any(each.state == "shadow" for each in self.hub.loop.list_challenges(ENDPOINT))

    def _exists(self, retraining_id: str) -> bool:
        try:
            return self.hub.loop.get_retraining(retraining_id).state != "requested"
        except NotFoundError:
            return False

    def _bad_challenger(self, day: date) -> None:
        overrides: dict[str, Any] = {"train.shuffle_labels": True}
        self.hub.loop.request_retraining(
            ENDPOINT, BAD_CHALLENGER, _midnight(day), actor(), "shuffled labels", overrides
        )
        done = self._await(BAD_CHALLENGER)
        self.say(f"{day}: a challenger trained on shuffled labels: {done.state}: {done.message}")

    def _roll_back_and_forward(self, day: date) -> None:
        """Put the previous champion back, ask it, and put the present one in charge again."""
        deployment = self.hub.serving.deployment(ENDPOINT)
        if deployment.previous is None:
            return
        if deployment.reason != ROLLBACK_REASON:
            started = time.perf_counter()
            deployment = self.hub.loop.rollback(ENDPOINT, actor(), ROLLBACK_REASON, deployment.revision)
            self.progress.rollback_s = time.perf_counter() - started
        request = next(iter(self.world.requests(day)))
        answer = self.gateway.json("POST", f"/v2/models/{ENDPOINT}/infer", inference(request, self.world.datatypes))
        back, forward = deployment.champion, deployment.previous
        assert forward is not None
        if answer["model_version"] != str(back):
            raise FailedError(f"after the rollback version {answer['model_version']} answered, not {back}")
        self.hub.loop.promote(ENDPOINT, forward, actor(), "demo: roll forward again")
        self.progress.rolled_back = True
        took = self.progress.rollback_s or 0.0
        self.say(f"{day}: rolled back to version {back} in {took * 1000:.0f} ms, then forward to {forward} again")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._spent(name, time.perf_counter() - started)

    def _spent(self, name: str, seconds: float) -> None:
        self.progress.seconds[name] = self.progress.seconds.get(name, 0.0) + seconds


def inference(request: Request, datatypes: dict[str, str]) -> dict[str, Any]:
    """Return a request as the Open Inference Protocol writes it: one tensor per feature column."""
    return {
        "id": request.request_id,
        "parameters": {"occurred_at": request.occurred_at.isoformat()},
        "inputs": [
            {"name": name, "shape": [len(values)], "datatype": datatypes[name], "data": values}
            for name, values in request.columns.items()
        ],
    }


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
