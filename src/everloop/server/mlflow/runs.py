"""MLflow's calls about runs, but for what they log (`logs.py`)."""

from __future__ import annotations

from typing import Literal, cast

from everloop import refs
from everloop.errors import InvalidError
from everloop.server.mlflow.asking import missing
from everloop.server.mlflow.limits import TAG_CHARACTERS, check_key, cut
from everloop.server.mlflow.names import random_run_name
from everloop.server.mlflow.views import PageSize, ViewType, to_view
from everloop.server.mlflow.wire import RUN_NAME, Message, Nothing, Pair, Run, RunInfo, from_ms, to_run, to_run_info
from everloop.tracking import Status, TrackingStore

StatusName = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED", 1, 2, 3, 4, 5]
_STATUS_BY_NUMBER = {1: "running", 2: "scheduled", 3: "finished", 4: "failed", 5: "killed"}


class OfRun(Message, frozen=True, kw_only=True):
    """A request about a run, which goes by two names."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def run(self) -> str:
        """The run's id.

        Raises:
            InvalidError: it is under neither name.
        """
        if not (found := self.run_id or self.run_uuid):
            raise missing("run_id")
        return found


class CreateRun(Message, frozen=True, kw_only=True):
    experiment_id: str = "0"
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: tuple[Pair, ...] = ()


class UpdateRun(OfRun, frozen=True, kw_only=True):
    status: StatusName | None = None
    end_time: int | None = None
    run_name: str = ""


class SearchRuns(Message, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    run_view_type: ViewType = "ACTIVE_ONLY"
    max_results: PageSize = 1000
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class OneRun(Message, frozen=True, kw_only=True):
    run: Run


class OneRunInfo(Message, frozen=True, kw_only=True):
    run_info: RunInfo


class Runs(Message, frozen=True, kw_only=True):
    runs: tuple[Run, ...] = ()
    next_page_token: str = ""


def create_run(tracking: TrackingStore, asked: CreateRun) -> OneRun:
    tags = {check_key(tag.key, "tags.key"): cut(tag.value, TAG_CHARACTERS, f"tag {tag.key!r}") for tag in asked.tags}
    tagged = tags.pop(RUN_NAME, "")
    if asked.run_name and tagged and asked.run_name != tagged:
        raise InvalidError(
            f"Both 'run_name' argument and '{RUN_NAME}' tag are specified, but with different values"
            f" (run_name={asked.run_name!r}, {RUN_NAME}={tagged!r})."
        )
    if asked.user_id and asked.user_id != "unknown":  # what Python's client sends for nobody
        tags.setdefault("mlflow.user", asked.user_id)
    name = asked.run_name or tagged or random_run_name()
    started_at = None if asked.start_time is None else from_ms(asked.start_time, "start_time")
    return OneRun(run=to_run(tracking.start_run(refs.new_run_id(), asked.experiment_id or "0", name, started_at, tags)))


def get_run(tracking: TrackingStore, asked: OfRun) -> OneRun:
    return OneRun(run=to_run(tracking.get_run(asked.run)))


def update_run(tracking: TrackingStore, asked: UpdateRun) -> OneRunInfo:
    ended_at = None if asked.end_time is None else from_ms(asked.end_time, "end_time")
    status = None if asked.status is None else _to_status(asked.status)
    return OneRunInfo(run_info=to_run_info(tracking.update_run(asked.run, status, ended_at, asked.run_name or None)))


def delete_run(tracking: TrackingStore, asked: OfRun) -> Nothing:
    tracking.delete_run(asked.run)
    return Nothing()


def restore_run(tracking: TrackingStore, asked: OfRun) -> Nothing:
    tracking.restore_run(asked.run)
    return Nothing()


def search_runs(tracking: TrackingStore, asked: SearchRuns) -> Runs:
    page = tracking.search_runs(
        list(asked.experiment_ids),
        asked.filter,
        list(asked.order_by),
        to_view(asked.run_view_type),
        asked.max_results,
        asked.page_token,
    )
    return Runs(runs=tuple(map(to_run, page.runs)), next_page_token=page.next)


def _to_status(asked: StatusName) -> Status:
    name = _STATUS_BY_NUMBER[asked] if isinstance(asked, int) else asked.lower()
    return cast("Status", name)
