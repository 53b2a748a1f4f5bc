"""What the loop promises to those who ask it for something.

Promises:
- What was asked for (a tick, a retraining) is durable when the call returns, is done once, and is finished after any
  crash of any process. Asking for the same again returns what is known of it.
- Traffic, alias, challenge and ledger entry of one decision change in one transaction.
- Every automatic decision names the digest of the everloop.yaml it was taken under.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from everloop.datasets.store import Batch
from everloop.serving import Deployment
from everloop.storage.operation import operation

ChallengeState = Literal["shadow", "promoted", "rejected", "withdrawn"]
RetrainingState = Literal["requested", "failed", "gates_failed", "shadow", "champion", "skipped"]


class AppliedProject(msgspec.Struct, frozen=True, kw_only=True):
    """A project as the hub knows it: `text` is its everloop.yaml, `policy` its digest, `workspace` its folder."""

    name: str
    endpoint: str
    model: str
    workspace: str
    text: str
    policy: str
    applied_at: datetime


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """The life of one challenger in shadow. `paired` is the state of its sequential test, which
    has seen the labelled predictions up to event time `judged_until`; `verdict` is the last look."""

    challenge_id: str
    endpoint: str
    champion: int
    challenger: int
    state: ChallengeState
    started_at: datetime
    decided_at: datetime | None
    policy: str
    paired: dict[str, Any]
    judged_until: datetime
    verdict: dict[str, Any]


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """One retraining: what asked for it, and how far it came. `at` is event time.

    `data_up_to` is the number of the last batch that was known when it was asked for: what it trains on, for ever.
    """

    retraining_id: str
    endpoint: str
    at: datetime
    trigger: str
    overrides: dict[str, Any]
    data_up_to: int
    actor: str
    state: RetrainingState
    run_id: str
    version: int | None
    gates: dict[str, Any]
    message: str


class TickOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one tick found and did.

    `decision` is that of the running challenge, empty when none ran; `retraining` names the one that it asked for;
    `error` is why it failed, empty when it did not.
    """

    endpoint: str
    at: datetime
    alerts: list[str] = []
    decision: str = ""
    retraining: str = ""
    champion: int | None = None
    challenger: int | None = None
    error: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole lineage of one prediction, from what was asked back to code, data, gates and decision."""

    prediction_id: str
    endpoint: str
    occurred_at: datetime
    inputs: dict[str, Any]
    score: float | None
    label: float | None
    labelled_at: datetime | None
    model: str
    shadows: dict[str, float | None]
    run_id: str
    commit: str
    datasets: list[str]
    gates: dict[str, Any]
    decision: dict[str, Any]


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint's answers turned out in one month of event time, beside the version of an alias on the same rows.

    `versions` answered, in order; `auc` and `log_loss` are of what was answered, None without labels of both classes;
    the `reference_…` are of the alias's version wherever it scored a row that was answered and labelled.
    """

    month: str
    versions: list[int]
    n_predictions: int
    n_labelled: int
    auc: float | None
    log_loss: float | None
    reference_version: int | None
    reference_auc: float | None
    reference_log_loss: float | None


class LoopStore(Protocol):
    """The loop, asked from outside."""

    @operation("write")
    def apply(self, text: str, contracts: dict[str, str], workspace: str, actor: str) -> AppliedProject:
        """Take over a project's everloop.yaml and its contracts (dataset name to YAML text).

        Raises:
            InvalidError: the file or a contract is malformed.
        """
        ...

    @operation("read")
    def project_of(self, endpoint: str) -> AppliedProject:
        """Return the project that declares an endpoint.

        Raises:
            NotFoundError: no applied project declares it.
        """
        ...

    @operation("write")
    def ingest(self, dataset: str, batch: str, digest: str, actor: str, happened_at: datetime | None = None) -> Batch:
        """Judge a batch by its contract; a quarantined one raises an alert. See `DatasetStore.ingest`."""
        ...

    @operation("write")
    def request_tick(self, endpoint: str, at: datetime) -> None:
        """Ask the loop to look at everything up to event time `at`; ticks of an endpoint are done one by one."""
        ...

    @operation("read")
    def tick_outcome(self, endpoint: str, at: datetime, wait_s: float = 0.0) -> TickOutcome | None:
        """Return what a tick did, waiting up to `wait_s` (at most 20) seconds; None when it is not done yet."""
        ...

    @operation("read")
    def last_tick(self, endpoint: str) -> TickOutcome | None:
        """Return the newest finished tick of an endpoint by event time."""
        ...

    @operation("write")
    def request_retraining(
        self,
        endpoint: str,
        retraining_id: str,
        at: datetime,
        actor: str,
        trigger: str = "manual",
        overrides: dict[str, Any] | None = None,
    ) -> Retraining:
        """Ask for a challenger trained on the data known now; `overrides` change params of this training only."""
        ...

    @operation("read")
    def get_retraining(self, retraining_id: str, wait_s: float = 0.0) -> Retraining:
        """Return a retraining, waiting up to `wait_s` (at most 20) seconds for its end.

        Raises:
            NotFoundError: there is none of that id.
        """
        ...

    @operation("read")
    def list_retrainings(self, endpoint: str) -> list[Retraining]:
        """Return an endpoint's retrainings by event time."""
        ...

    @operation("read")
    def list_challenges(self, endpoint: str) -> list[Challenge]:
        """Return an endpoint's challenges, oldest first."""
        ...

    @operation("write")
    def promote(self, endpoint: str, version: int, actor: str, reason: str) -> Deployment:
        """Make a version the champion now; a running challenge is withdrawn.

        Raises:
            NotFoundError: no such endpoint or version.
        """
        ...

    @operation("write")
    def rollback(self, endpoint: str, actor: str, reason: str, revision: int | None = None) -> Deployment:
        """Put the previous champion back.

        Args:
            revision: the endpoint's revision that is rolled back from, which makes it safe to ask again when the
                answer was lost; None takes the newest, so asking twice goes back and forth.

        Raises:
            ConflictError: there is no previous champion, or the endpoint is at another revision.
        """
        ...

    @operation("read")
    def performance(self, endpoint: str, start: datetime, end: datetime, alias: str = "baseline") -> list[Performance]:
        """Return how the answers from `start` to before `end` turned out, by month, from what was captured.

        Args:
            alias: the version to compare with; an alias that does not exist leaves the reference empty.
        """
        ...

    @operation("read")
    def explain(self, prediction_id: str) -> Explanation:
        """Trace one prediction back to model version, run, commit, data, gates and decision.

        Raises:
            NotFoundError: no prediction of that id was captured.
        """
        ...
