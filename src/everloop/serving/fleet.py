"""Which models a gateway has in memory for which endpoints, and keeping that up with the deployments.

Champion, shadows and the previous champion are loaded ahead, so that a promotion or a rollback needs no load. Leaves
scoring to `batching.py` and the fetching of packages to whoever gives `fetch_package`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from everloop.errors import EverloopError, NotFoundError, UnavailableError
from everloop.registry.package import Column
from everloop.serving.deployment import Deployment
from everloop.serving.model import LoadedModel
from everloop.serving.store import ServingStore

logger = logging.getLogger(__name__)

FetchPackage = Callable[[str, int], Path]
"""(model, version) → the folder of its package on this machine, complete."""


class Served(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An endpoint as this process serves it."""

    deployment: Deployment
    """The deployment that answers."""
    seen_revision: int
    """The newest revision that is known: above `deployment.revision` while that one's champion cannot be loaded."""
    champion: LoadedModel
    shadows: dict[int, LoadedModel | str]
    """Version → its model, or why it could not be loaded."""
    columns: tuple[Column, ...]
    """What a request may hold: the champion's inputs (required) and what only shadows know."""
    trouble: str = ""
    """Why the newest revision is not served completely; empty when it is."""


class Fleet:
    """The endpoints that this process serves. Thread-safe: `served` never waits for a load.

    Args:
        store: where deployments are read.
        fetch_package: brings a version's package to this machine.
        retry_s: how long to leave a version alone that could not be loaded.
    """

    def __init__(self, store: ServingStore, fetch_package: FetchPackage, *, retry_s: float = 5.0) -> None:
        self._store = store
        self._fetch_package = fetch_package
        self._retry_s = retry_s
        self._served: dict[str, Served] = {}
        self._troubles: dict[str, str] = {}
        self._models: dict[tuple[str, int], LoadedModel] = {}
        self._failures: dict[tuple[str, int], tuple[float, str]] = {}
        self._loading = threading.Lock()
        self._is_fresh = False

    def served(self, endpoint: str) -> Served:
        """Return how an endpoint is served.

        Raises:
            NotFoundError: there is no such endpoint.
            UnavailableError: none of its champions could be loaded so far.
        """
        found = self._served.get(endpoint)
        if found is not None:
            return found
        if endpoint in self._troubles:
            raise UnavailableError(f"endpoint {endpoint!r} is not ready: {self._troubles[endpoint]}")
        if not self._is_fresh:
            raise UnavailableError("the gateway has not read its deployments yet", hint="Try again in a moment.")
        names = ", ".join(sorted(self._served)) or "none yet"
        raise NotFoundError(f"there is no endpoint {endpoint!r}", hint=f"Endpoints: {names}.")

    def endpoints(self) -> list[str]:
        """Return the names of the endpoints that are served."""
        return sorted(self._served)

    def troubles(self) -> dict[str, str]:
        """Return endpoint → why it is not served as deployed; empty when all is well. Shadows do not count."""
        if not self._is_fresh:
            return {"*": "the gateway has not read its deployments yet"}
        return dict(self._troubles)

    def refresh(self) -> None:
        """Read the deployments and load what is new; what cannot be loaded is kept as trouble, and served as before."""
        with self._loading:
            deployments = self._store.list_deployments()
            for deployment in deployments:
                known = self._served.get(deployment.endpoint)
                is_settled = known is not None and known.seen_revision == deployment.revision and not known.trouble
                if not is_settled:
                    self._adopt(deployment, known)
            self._forget_unused(deployments)
            self._is_fresh = True

    def _adopt(self, deployment: Deployment, known: Served | None) -> None:
        endpoint = deployment.endpoint
        champion = self._load(deployment.model, deployment.champion)
        if isinstance(champion, str):
            self._troubles[endpoint] = f"revision {deployment.revision}: {champion}"
            if known is not None:
                trouble = self._troubles[endpoint]
                self._served[endpoint] = msgspec.structs.replace(
                    known, seen_revision=deployment.revision, trouble=trouble
                )
            return
        shadows = {version: self._load(deployment.model, version) for version in deployment.shadows}
        if deployment.previous is not None:
            self._load(deployment.model, deployment.previous)
        self._served[endpoint] = Served(
            deployment=deployment,
            seen_revision=deployment.revision,
            champion=champion,
            shadows=shadows,
            columns=_columns(champion, shadows),
            trouble="; ".join(shadow for shadow in shadows.values() if isinstance(shadow, str)),
        )
        self._troubles.pop(endpoint, None)

    def _load(self, model: str, version: int) -> LoadedModel | str:
        key = (model, version)
        if key in self._models:
            return self._models[key]
        failed_at, reason = self._failures.get(key, (-self._retry_s, ""))
        if time.monotonic() - failed_at < self._retry_s:
            return reason
        try:
            loaded = LoadedModel.load(self._fetch_package(model, version))
        except (EverloopError, OSError) as error:
            reason = f"version {version} of {model!r} cannot be loaded: {error}"
            logger.error("%s", reason)
            self._failures[key] = (time.monotonic(), reason)
            return reason
        self._failures.pop(key, None)
        self._models[key] = loaded
        return loaded

    def _forget_unused(self, deployments: list[Deployment]) -> None:
        wanted = {(each.model, version) for each in deployments for version in each.versions}
        answering = [served.deployment for served in self._served.values()]
        wanted |= {(each.model, version) for each in answering for version in each.versions}
        self._models = {key: model for key, model in self._models.items() if key in wanted}


def _columns(champion: LoadedModel, shadows: dict[int, LoadedModel | str]) -> tuple[Column, ...]:
    columns = {each.name: each for each in champion.inputs}
    for shadow in shadows.values():
        for each in () if isinstance(shadow, str) else shadow.inputs:
            columns.setdefault(each.name, Column(name=each.name, type=each.type, required=False))
    return tuple(columns.values())


class Watch:
    """A thread that refreshes a fleet every `interval_s` seconds until it is closed.

    What goes wrong is logged (once, until it goes well again) and tried again: a database that is away for a while must
    not end the watch.
    """

    def __init__(self, fleet: Fleet, *, interval_s: float = 0.25) -> None:
        self._fleet = fleet
        self._interval_s = interval_s
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closed.set()
        self._thread.join()

    def _run(self) -> None:
        is_well = True
        while not self._is_closed.is_set():
            try:
                self._fleet.refresh()
                is_well = True
            except Exception:
                if is_well:
                    logger.exception("the deployments could not be read; trying again every %g s", self._interval_s)
                is_well = False
            self._is_closed.wait(self._interval_s)
