"""Every call of MLflow's protocol that the hub answers, and how a call becomes an HTTP route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from everloop.errors import EverloopError
from everloop.server.errors import json_response
from everloop.server.mlflow import artifacts, experiments, loggedmodels, logs, metrics, registry, runs
from everloop.server.mlflow.artifacts import ArtifactProxy
from everloop.server.mlflow.asking import Asking
from everloop.server.mlflow.errors import answer_known, answer_unknown, refuse
from everloop.server.mlflow.limits import BATCH_BYTES
from everloop.server.mlflow.sources import Rooms
from everloop.server.mlflow.wire import Message
from everloop.storage import ObjectStore

PROTOCOL = "3.17.2"
"""The release of MLflow whose protocol this is; clients ask for it to know what they may call."""

PREFIXES = ("/api", "/ajax-api")  # clients use the one, MLflow's pages the other
BODY_LIMIT_BYTES = 8 << 20
INPUTS_LIMIT_BYTES = 64 << 20  # a dataset's profile may have 16 MB

Asked = TypeVar("Asked", bound=Message)
Handler = Callable[[Request], Awaitable[Response]]


class Call(NamedTuple, Generic[Asked]):
    """One call: how it is reached, what it asks, and the function that does it on the store or the rooms it is about.

    `conflict` is the code that it answers when something is there already.
    """

    method: str
    path: str
    kind: type[Asked]
    function: Callable[[Any, Asked], Message]
    conflict: str = "INVALID_PARAMETER_VALUE"
    limit_bytes: int = BODY_LIMIT_BYTES


_EXISTS = "RESOURCE_ALREADY_EXISTS"

CALLS: tuple[Call[Any], ...] = (
    Call("POST", "experiments/create", experiments.CreateExperiment, experiments.create_experiment, _EXISTS),
    Call("GET", "experiments/get", experiments.ExperimentId, experiments.get_experiment),
    Call("GET", "experiments/get-by-name", experiments.ExperimentName, experiments.get_experiment_by_name),
    Call("GET", "experiments/search", experiments.SearchExperiments, experiments.search_experiments),
    Call("POST", "experiments/search", experiments.SearchExperiments, experiments.search_experiments),
    Call("POST", "experiments/update", experiments.UpdateExperiment, experiments.update_experiment, _EXISTS),
    Call("POST", "experiments/delete", experiments.ExperimentId, experiments.delete_experiment),
    Call("POST", "experiments/restore", experiments.ExperimentId, experiments.restore_experiment),
    Call("POST", "experiments/set-experiment-tag", experiments.ExperimentTag, experiments.set_experiment_tag),
    Call("POST", "experiments/delete-experiment-tag", experiments.ExperimentTag, experiments.delete_experiment_tag),
    Call("POST", "runs/create", runs.CreateRun, runs.create_run),
    Call("GET", "runs/get", runs.OfRun, runs.get_run),
    Call("POST", "runs/update", runs.UpdateRun, runs.update_run),
    Call("POST", "runs/delete", runs.OfRun, runs.delete_run),
    Call("POST", "runs/restore", runs.OfRun, runs.restore_run),
    Call("POST", "runs/search", runs.SearchRuns, runs.search_runs),
    Call("POST", "runs/log-metric", logs.LogMetric, logs.log_metric),
    Call("POST", "runs/log-parameter", logs.LogPair, logs.log_param),
    Call("POST", "runs/set-tag", logs.LogPair, logs.set_tag),
    Call("POST", "runs/delete-tag", logs.LogPair, logs.delete_tag),
    Call("POST", "runs/log-batch", logs.LogBatch, logs.log_batch, limit_bytes=BATCH_BYTES),
    Call("POST", "runs/outputs", logs.LogOutputs, logs.log_outputs),
    Call("POST", "runs/log-inputs", logs.LogInputs, logs.log_inputs, limit_bytes=INPUTS_LIMIT_BYTES),
    Call("GET", "metrics/get-history", metrics.GetHistory, metrics.get_history),
    Call("GET", "metrics/get-history-bulk", metrics.GetHistoryBulk, metrics.get_history_bulk),
    Call("GET", "metrics/get-history-bulk-interval", metrics.GetHistoryInterval, metrics.get_history_interval),
    Call("POST", "logged-models", loggedmodels.CreateLoggedModel, loggedmodels.create_logged_model),
    Call("GET", "logged-models/{model_id}", loggedmodels.GetLoggedModel, loggedmodels.get_logged_model),
    Call("PATCH", "logged-models/{model_id}", loggedmodels.FinalizeLoggedModel, loggedmodels.finalize_logged_model),
    Call("DELETE", "logged-models/{model_id}", loggedmodels.OfModel, loggedmodels.delete_logged_model),
    Call("POST", "logged-models/{model_id}/params", loggedmodels.ModelParams, loggedmodels.log_params),
    Call("PATCH", "logged-models/{model_id}/tags", loggedmodels.ModelTags, loggedmodels.set_tags),
    Call("DELETE", "logged-models/{model_id}/tags/{tag_key:path}", loggedmodels.ModelTag, loggedmodels.delete_tag),
    Call("POST", "logged-models/search", loggedmodels.SearchLoggedModels, loggedmodels.search_logged_models),
    Call("GET", "artifacts/list", artifacts.ListArtifacts, artifacts.list_artifacts),
)
LIST_PROXIED: Call[Any] = Call(
    "GET",
    "",
    artifacts.ListProxied,
    lambda rooms, asked: artifacts.list_proxied(rooms.tracking, rooms.registry, asked),
)
REGISTRY_CALLS: tuple[Call[Any], ...] = (
    Call("POST", "registered-models/create", registry.CreateModel, registry.create_model, _EXISTS),
    Call("GET", "registered-models/get", registry.OfModel, registry.get_model),
    Call("GET", "registered-models/search", registry.SearchModels, registry.search_models),
    Call("POST", "registered-models/rename", registry.RenameModel, registry.rename_model, _EXISTS),
    Call("PATCH", "registered-models/update", registry.UpdateModel, registry.update_model),
    Call("DELETE", "registered-models/delete", registry.OfModel, registry.delete_model),
    Call("POST", "registered-models/set-tag", registry.ModelTag, registry.set_model_tag),
    Call("DELETE", "registered-models/delete-tag", registry.ModelTag, registry.delete_model_tag),
    Call("GET", "registered-models/get-latest-versions", registry.LatestVersions, registry.get_latest_versions),
    Call("POST", "registered-models/get-latest-versions", registry.LatestVersions, registry.get_latest_versions),
    Call("GET", "registered-models/alias", registry.OfAlias, registry.get_alias),
    Call("POST", "registered-models/alias", registry.SetAlias, registry.set_alias),
    Call("DELETE", "registered-models/alias", registry.OfAlias, registry.delete_alias),
    Call("POST", "model-versions/create", registry.CreateVersion, registry.create_version),
    Call("GET", "model-versions/get", registry.OfVersion, registry.get_version),
    Call("GET", "model-versions/search", registry.SearchVersions, registry.search_versions),
    Call("GET", "model-versions/get-download-uri", registry.OfVersion, registry.get_download_uri),
    Call("PATCH", "model-versions/update", registry.UpdateVersion, registry.update_version),
    Call("DELETE", "model-versions/delete", registry.OfVersion, registry.delete_version),
    Call("POST", "model-versions/set-tag", registry.VersionTag, registry.set_version_tag),
    Call("DELETE", "model-versions/delete-tag", registry.VersionTag, registry.delete_version_tag),
    Call("POST", "model-versions/transition-stage", registry.TransitionStage, registry.transition_stage),
)

SERVER_INFO = {
    "store_type": "SqlStore",  # clients take any other for a server without pages of results
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": False,
    "multipart_downloads_enabled": False,
    "presigned_upload_run_id_supported": False,
    "presigned_upload_model_id_supported": False,
    "features_enabled": {"gateway": False},
}


def mlflow_routes(rooms: Rooms, objects: ObjectStore) -> list[Route]:
    """Return the routes of MLflow's protocol over these stores."""
    proxy = ArtifactProxy(rooms.tracking, rooms.registry, objects)
    found = [Route("/version", _version)]
    for prefix in PREFIXES:
        home = f"{prefix}/2.0/mlflow-artifacts/artifacts"
        found += [_route(f"{prefix}/2.0/mlflow/{call.path}", call, rooms.tracking) for call in CALLS]
        found += [_route(f"{prefix}/2.0/mlflow/{call.path}", call, rooms) for call in REGISTRY_CALLS]
        found += [
            _route(home, LIST_PROXIED, rooms),
            Route(f"{home}/{{path:path}}", _guarded(proxy.download), methods=["GET"]),
            Route(f"{home}/{{path:path}}", _guarded(proxy.upload), methods=["PUT"]),
            Route(f"{home}/{{path:path}}", _guarded(proxy.delete), methods=["DELETE"]),
            Route(f"{prefix}/2.0/mlflow-artifacts/{{path:path}}", _no_multipart, methods=["POST"]),
            Route(f"{prefix}/3.0/mlflow/server-info", _server_info),
            *(Route(f"{prefix}/{part}/{{path:path}}", _no_endpoint, methods=_METHODS) for part in _OURS),
        ]
    return [*found, Route("/get-artifact", _guarded(proxy.download_of_run))]


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_OURS = ("2.0/mlflow", "2.0/mlflow-artifacts", "3.0/mlflow")


def _route(path: str, call: Call[Asked], store: object) -> Route:
    asking = Asking(call.kind, call.limit_bytes)

    async def handle(request: Request) -> Response:
        asked = await asking.read(request)
        # The stores are synchronous and wait for the disk: off the event loop with them.
        return json_response(await run_in_threadpool(call.function, store, asked))

    return Route(path, _guarded(handle, call.conflict), methods=[call.method])


def _guarded(handle: Handler, conflict: str = "INVALID_PARAMETER_VALUE") -> Handler:
    """Have whatever goes wrong answered in MLflow's form."""

    async def guarded(request: Request) -> Response:
        try:
            return await handle(request)
        except EverloopError as error:
            return answer_known(error, conflict)
        except Exception as error:  # noqa: BLE001 - the process's edge: logged whole, and answered
            return answer_unknown(request, error)

    return guarded


async def _version(_request: Request) -> Response:
    return PlainTextResponse(PROTOCOL)


async def _server_info(_request: Request) -> Response:
    return json_response(SERVER_INFO)


async def _no_multipart(_request: Request) -> Response:
    return refuse("NOT_IMPLEMENTED", "The hub takes an artifact in one request, streamed; it has no multipart uploads")


async def _no_endpoint(request: Request) -> Response:
    return refuse("ENDPOINT_NOT_FOUND", f"{request.method} {request.url.path} is not kept by this hub")
