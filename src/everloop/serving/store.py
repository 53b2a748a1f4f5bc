"""What serving promises about traffic and about the log of predictions.

Promises:
- An endpoint's deployments are numbered from 1 without gaps and never change; the newest one is in force. A deployment
  is made by compare-and-set on that number, and is an entry of the ledger in the same transaction.
- A capture or a label that was acknowledged is durable and never changes.
- A request id is captured once per endpoint; a prediction has one label.
- Once a deployment is committed, no capture that an older one scored is stored any more.
- Safe to call from several threads and processes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from everloop.serving.deployment import Deployment
from everloop.serving.prediction import Capture, Counts, Explanation, Feedback, Label, Outcome, Predictions
from everloop.storage.operation import operation


class ServingStore(Protocol):
    """Endpoints, what they serve, and what is known of each prediction."""

    @operation("write")
    def deploy(
        self,
        endpoint: str,
        expected_revision: int,
        model: str,
        champion: int,
        shadows: tuple[int, ...] = (),
        reason: str = "",
        actor: str = "",
    ) -> Deployment:
        """Set what an endpoint serves; its former champion, when it is another version, becomes `previous`.

        The same call again (a workflow that was resumed) returns the deployment that it made.

        Args:
            expected_revision: the endpoint's revision now; 0 for an endpoint that does not exist yet.

        Raises:
            ConflictError: the endpoint has another revision; the message names both.
            InvalidError: a name is malformed, or the champion is also a shadow.
        """
        ...

    @operation("read")
    def deployment(self, endpoint: str) -> Deployment:
        """Return what an endpoint serves now.

        Raises:
            NotFoundError: there is no such endpoint.
        """
        ...

    @operation("read")
    def list_deployments(self) -> list[Deployment]:
        """Return what each endpoint serves now, by endpoint."""
        ...

    @operation("read")
    def history(self, endpoint: str) -> list[Deployment]:
        """Return every deployment that an endpoint ever had, oldest first; empty when there is no such endpoint."""
        ...

    @operation("write")
    def add_labels(self, endpoint: str, labels: list[Label], arrived_at: datetime | None = None) -> Feedback:
        """Attach labels to predictions, all good ones in one transaction.

        A label that is known with the same value counts as repeated; another value is a conflict; an unknown
        prediction is not found. None of these stops the others.

        Args:
            arrived_at: when they became known; None means now.

        Raises:
            NotFoundError: there is no such endpoint.
        """
        ...

    @operation("read")
    def counts(self, endpoint: str) -> Counts:
        """Return how much the log holds of an endpoint; zeros when there is none of that name."""
        ...

    @operation("read")
    def explain(self, prediction_id: str, endpoint: str | None = None) -> Explanation:
        """Return everything that is known of one prediction.

        Raises:
            NotFoundError: there is no such prediction.
            ConflictError: several endpoints have one of that id; name the endpoint.
        """
        ...


class PredictionLog(Protocol):
    """The log of predictions, as the gateway writes it and monitoring reads it, beside the database."""

    def capture(self, captures: Sequence[Capture]) -> list[Outcome]:
        """Store answered requests in one transaction; return what became of each, in order.

        When the call returns, what is `stored` is durable.
        """
        ...

    def captured(self, endpoint: str, start: datetime, end: datetime, *, with_inputs: bool = True) -> Predictions:
        """Return the predictions whose event time is from `start` to before `end`, with their labels so far."""
        ...

    def labelled(
        self,
        endpoint: str,
        start: datetime,
        end: datetime,
        *,
        arrived_before: datetime | None = None,
        with_inputs: bool = False,
    ) -> Predictions:
        """Return the labelled predictions whose event time is from `start` to before `end`.

        Args:
            arrived_before: leave out labels that arrived at this time or later; None takes all.
        """
        ...
