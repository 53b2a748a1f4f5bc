"""MLflow's calls about experiments."""

from __future__ import annotations

from everloop.errors import InvalidError
from everloop.server.mlflow.limits import EXPERIMENT_TAG_CHARACTERS, check_key, check_length
from everloop.server.mlflow.views import PageSize, ViewType, to_view
from everloop.server.mlflow.wire import Experiment, Message, Nothing, Pair, Text, to_experiment
from everloop.tracking import TrackingStore


class CreateExperiment(Message, frozen=True, kw_only=True):
    name: Text
    artifact_location: str = ""
    tags: tuple[Pair, ...] = ()


class ExperimentId(Message, frozen=True, kw_only=True):
    experiment_id: Text


class ExperimentName(Message, frozen=True, kw_only=True):
    experiment_name: Text


class UpdateExperiment(Message, frozen=True, kw_only=True):
    experiment_id: Text
    new_name: Text


class ExperimentTag(Message, frozen=True, kw_only=True):
    experiment_id: Text
    key: Text
    value: str = ""


class SearchExperiments(Message, frozen=True, kw_only=True):
    max_results: PageSize = 1000
    page_token: str = ""
    filter: str = ""
    order_by: tuple[str, ...] = ()
    view_type: ViewType = "ACTIVE_ONLY"


class OneExperiment(Message, frozen=True, kw_only=True):
    experiment: Experiment


class Experiments(Message, frozen=True, kw_only=True):
    experiments: tuple[Experiment, ...] = ()
    next_page_token: str = ""


def create_experiment(tracking: TrackingStore, asked: CreateExperiment) -> ExperimentId:
    if asked.artifact_location and not asked.artifact_location.startswith("mlflow-artifacts:"):
        raise InvalidError(
            f"Invalid value {asked.artifact_location!r} for parameter 'artifact_location' supplied:"
            " the hub keeps the artifacts itself, and no client chooses where",
            hint="Leave artifact_location out.",
        )
    tags = {pair.key: _check_tag(pair.key, pair.value) for pair in asked.tags}
    return ExperimentId(experiment_id=tracking.add_experiment(asked.name, tags).experiment_id)


def get_experiment(tracking: TrackingStore, asked: ExperimentId) -> OneExperiment:
    return OneExperiment(experiment=to_experiment(tracking.get_experiment(asked.experiment_id)))


def get_experiment_by_name(tracking: TrackingStore, asked: ExperimentName) -> OneExperiment:
    return OneExperiment(experiment=to_experiment(tracking.find_experiment(asked.experiment_name)))


def search_experiments(tracking: TrackingStore, asked: SearchExperiments) -> Experiments:
    view = to_view(asked.view_type)
    page = tracking.search_experiments(asked.filter, list(asked.order_by), view, asked.max_results, asked.page_token)
    return Experiments(experiments=tuple(map(to_experiment, page.experiments)), next_page_token=page.next)


def update_experiment(tracking: TrackingStore, asked: UpdateExperiment) -> Nothing:
    tracking.rename_experiment(asked.experiment_id, asked.new_name)
    return Nothing()


def delete_experiment(tracking: TrackingStore, asked: ExperimentId) -> Nothing:
    tracking.delete_experiment(asked.experiment_id)
    return Nothing()


def restore_experiment(tracking: TrackingStore, asked: ExperimentId) -> Nothing:
    tracking.restore_experiment(asked.experiment_id)
    return Nothing()


def set_experiment_tag(tracking: TrackingStore, asked: ExperimentTag) -> Nothing:
    tracking.tag_experiment(asked.experiment_id, {asked.key: _check_tag(asked.key, asked.value)})
    return Nothing()


def delete_experiment_tag(tracking: TrackingStore, asked: ExperimentTag) -> Nothing:
    tracking.untag_experiment(asked.experiment_id, asked.key)
    return Nothing()


def _check_tag(key: str, value: str) -> str:
    check_key(key, "key")
    return check_length(value, EXPERIMENT_TAG_CHARACTERS, "value")
