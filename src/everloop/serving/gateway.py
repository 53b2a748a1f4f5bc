"""The gateway: the Open Inference Protocol over HTTP, feedback, health and metrics.

Translates between HTTP and the pipeline and decides nothing itself. Leaves the loopback guard and the server to
`everloop.web`, decoding to `codec.py`, and the life of the process to the command line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from everloop import web
from everloop.errors import FAMILIES, EverloopError, InvalidError, NotFoundError, TooLargeError, UnavailableError
from everloop.serving import codec, metrics
from everloop.serving.batching import Job, Pipeline, Results
from everloop.serving.codec import Inference
from everloop.serving.fleet import FetchPackage, Fleet, Served, Watch
from everloop.serving.prediction import Feedback, Outcome
from everloop.serving.store import PredictionLog, ServingStore

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 << 20
_WORTH_A_THREAD_BYTES = 128 << 10

Handler = Callable[[Request], Awaitable[Response]]


class Gateway:
    """One inference server: an ASGI application and the threads behind it. Close it after the last request.

    Args:
        store: deployments and labels.
        log: where answered requests go.
        fetch_package: (model, version) → the folder of its package on this machine.
        max_body_bytes: larger bodies are refused, by their Content-Length before they are read.
        max_rows: rows of one request.
        watch_s: seconds between looks for new deployments. An answer never comes from an outdated one, however long
            this is: it only says how early models are loaded.
    """

    def __init__(
        self,
        store: ServingStore,
        log: PredictionLog,
        fetch_package: FetchPackage,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_rows: int = codec.MAX_ROWS,
        watch_s: float = 0.25,
    ) -> None:
        self._store = store
        self._max_body_bytes = max_body_bytes
        self._max_rows = max_rows
        self.fleet = Fleet(store, fetch_package)
        self.pipeline = Pipeline(self.fleet, log, deliver)
        self._watch = Watch(self.fleet, interval_s=watch_s)
        self._requests = metrics.Counter("everloop_gateway_requests_total", "Requests by endpoint, verb and status.")
        self._rows = metrics.Counter("everloop_gateway_rows_total", "Rows answered.")
        self._durations = metrics.Histogram("everloop_gateway_request_seconds", "Time to answer, by endpoint and verb.")
        self._depth = metrics.Gauge(
            "everloop_gateway_waiting_requests", "Requests on their way.", lambda: self.pipeline.depth
        )
        self.app = Starlette(routes=self._routes())

    def close(self) -> None:
        """Finish what was taken, then end the threads."""
        self._watch.close()
        self.pipeline.close()

    def _routes(self) -> list[Route]:
        model = "/v2/models/{endpoint}"
        version = model + "/versions/{version}"
        get: list[tuple[str, Handler]] = [
            ("/health", self._health),
            ("/metrics", self._metrics),
            ("/v2", self._server),
            ("/v2/health/live", self._live),
            ("/v2/health/ready", self._ready),
            (model, self._model),
            (model + "/ready", self._model_ready),
            (version, self._model),
            (version + "/ready", self._model_ready),
        ]
        post: list[tuple[str, Handler]] = [
            (model + "/infer", self._counted("infer", self._infer)),
            (version + "/infer", self._counted("infer", self._infer)),
            (model + "/feedback", self._counted("feedback", self._feedback)),
        ]
        routes = [Route(path, _answered(handler), methods=["GET"]) for path, handler in get]
        return routes + [Route(path, _answered(handler), methods=["POST"]) for path, handler in post]

    async def _infer(self, request: Request) -> Response:
        received_at = datetime.now(UTC)
        endpoint = request.path_params["endpoint"]
        served = self.fleet.served(endpoint)
        asked = _version(request, served)
        body = await self._body(request)
        inference = await self._decoded(body, served)
        codec.check_outputs(inference, served.champion.output)
        outcome = await self._submitted(endpoint, inference, received_at)
        version = outcome.version if asked is None else asked
        scores = outcome.scores.get(version)
        if scores is None:
            raise NotFoundError(f"request {inference.request_id!r} has no scores of version {version} of {endpoint!r}")
        self._rows.add(inference.n_rows, endpoint=endpoint)
        content = codec.encode_response(
            inference, endpoint=endpoint, version=version, output=served.champion.output, scores=scores
        )
        return Response(content, media_type="application/json")

    async def _decoded(self, body: bytes, served: Served) -> Inference:
        if len(body) < _WORTH_A_THREAD_BYTES:
            return codec.decode_request(body, served.columns, max_rows=self._max_rows)
        return await asyncio.to_thread(codec.decode_request, body, served.columns, max_rows=self._max_rows)

    async def _submitted(self, endpoint: str, inference: Inference, received_at: datetime) -> Outcome:
        answer: asyncio.Future[Outcome | EverloopError] = asyncio.get_running_loop().create_future()
        self.pipeline.submit(Job(endpoint=endpoint, inference=inference, received_at=received_at, answer=answer))
        result = await answer
        if isinstance(result, EverloopError):
            raise result
        return result

    async def _feedback(self, request: Request) -> Response:
        body = await self._body(request)
        labels, arrived_at = codec.decode_feedback(body)
        endpoint = request.path_params["endpoint"]
        feedback = await asyncio.to_thread(self._store.add_labels, endpoint, labels, arrived_at)
        return _json(feedback, status=_feedback_status(feedback))

    async def _body(self, request: Request) -> bytes:
        """Read a body within the limit; one that says it is larger is refused before it is read."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise InvalidError("compressed bodies are not supported; send plain JSON")
        if "inference-header-content-length" in request.headers:
            raise InvalidError("tensors in binary form are not supported; send their data as JSON")
        length = request.headers.get("content-length", "0")
        if not length.isdigit():
            raise InvalidError(f"Content-Length should be a number, found {length!r}")
        if int(length) > self._max_body_bytes:
            raise TooLargeError(f"the body has {int(length):,} bytes; the limit is {self._max_body_bytes:,}")
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self._max_body_bytes:
                raise TooLargeError(f"the body has more than {self._max_body_bytes:,} bytes, which is the limit")
            parts.append(part)
        return b"".join(parts)

    async def _model(self, request: Request) -> Response:
        served = self.fleet.served(request.path_params["endpoint"])
        asked = _version(request, served)
        model = served.champion if asked is None else _models(served)[asked]
        versions = sorted(_models(served))
        return _json(codec.model_metadata(served.deployment.endpoint, versions, model.inputs, model.output))

    async def _model_ready(self, request: Request) -> Response:
        endpoint = request.path_params["endpoint"]
        _version(request, self.fleet.served(endpoint))
        trouble = self.fleet.troubles().get(endpoint)
        if trouble is not None:
            raise UnavailableError(f"endpoint {endpoint!r} is not ready: {trouble}")
        return _json({"name": endpoint, "ready": True})

    async def _server(self, _request: Request) -> Response:
        from everloop.version import __version__

        return _json({"name": "everloop", "version": __version__, "extensions": []})

    async def _live(self, _request: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, _request: Request) -> Response:
        troubles = self.fleet.troubles()
        if troubles:
            raise UnavailableError("; ".join(f"{name}: {trouble}" for name, trouble in sorted(troubles.items())))
        return _json({"ready": True})

    async def _health(self, _request: Request) -> Response:
        if not self.pipeline.is_alive:
            raise UnavailableError("a thread of the pipeline has ended")
        return _json({"status": "ok", "endpoints": self.fleet.endpoints(), "troubles": self.fleet.troubles()})

    async def _metrics(self, _request: Request) -> Response:
        pipeline = self.pipeline
        counters = [self._requests, self._rows, pipeline.captured_rows, pipeline.batches, pipeline.shadow_failures]
        return Response(metrics.render([*counters, self._durations, self._depth]), media_type=metrics.CONTENT_TYPE)

    def _counted(self, verb: str, handler: Handler) -> Handler:
        async def counted(request: Request) -> Response:
            started = time.perf_counter()
            response = await _answered(handler)(request)
            # A name that is no endpoint must not become a label: anyone could fill the memory with them.
            name = request.path_params["endpoint"]
            endpoint = name if name in self.fleet.endpoints() else ""
            self._requests.add(endpoint=endpoint, verb=verb, status=str(response.status_code))
            self._durations.observe(time.perf_counter() - started, endpoint=endpoint, verb=verb)
            return response

        return counted


def _models(served: Served) -> dict[int, Any]:
    loaded = {version: model for version, model in served.shadows.items() if not isinstance(model, str)}
    return {served.deployment.champion: served.champion, **loaded}


def _version(request: Request, served: Served) -> int | None:
    """Return the version that the path names, None when it names none."""
    text = request.path_params.get("version")
    if text is None:
        return None
    known = sorted(_models(served))
    if not text.isdecimal() or int(text) not in known:
        names = ", ".join(map(str, known))
        raise NotFoundError(f"endpoint {served.deployment.endpoint!r} does not run version {text!r}; it runs {names}")
    return int(text)


def deliver(results: Results) -> None:
    """Give results to the requests that wait for them, from any thread: one wake-up for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, Results] = defaultdict(list)
    for job, result in results:
        by_loop[job.answer.get_loop()].append((job, result))
    for loop, some in by_loop.items():
        loop.call_soon_threadsafe(_settle, some)


def _settle(results: Results) -> None:
    for job, result in results:
        if not job.answer.done():  # the client may have gone away meanwhile
            job.answer.set_result(result)


def _feedback_status(feedback: Feedback) -> int:
    """200 when all labels are known now, 207 when some, else the status of the first failure."""
    if not feedback.failed:
        return 200
    if feedback.done + feedback.repeated:
        return 207
    return web.STATUS_BY_FAMILY[FAMILIES[feedback.failed[0].family].family]


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _answered(handler: Handler) -> Handler:
    """Turn errors into answers; the edge of the process."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except EverloopError as error:
            return _json({"error": str(error), "family": error.family}, status=web.status_of(error))
        # The edge of the process: logged with its trace, and the client learns that it is not at fault.
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            return _json({"error": "the gateway failed; its log says why", "family": "error"}, status=500)

    return answered
