"""Which models are in memory, and when they are loaded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.access.sql import SqlLedger
from everloop.errors import NotFoundError, UnavailableError
from everloop.serving.fleet import Fleet, Watch
from everloop.serving.sql import SqlServing
from everloop.storage.database import Database
from tests.serving import models


class Packages:
    """Fetches packages and counts how often; versions without a package are not found."""

    def __init__(self, folder: Path, *versions: int) -> None:
        self.paths = {version: models.save(folder / f"v{version}", version) for version in versions}
        self.fetched: Counter[int] = Counter()

    def __call__(self, model: str, version: int) -> Path:
        self.fetched[version] += 1
        if version not in self.paths:
            raise NotFoundError(f"there is no version {version} of {model}")
        return self.paths[version]


@pytest.fixture
def store(sqlite_home: Path) -> Iterator[SqlServing]:
    database = Database(f"sqlite:///{sqlite_home / 'everloop.db'}")
    yield SqlServing(database, SqlLedger(database))
    database.close()


def test_an_endpoint_is_known_only_after_its_deployment_was_read(store: SqlServing, tmp_path: Path) -> None:
    fleet = Fleet(store, Packages(tmp_path, 1))
    with pytest.raises(UnavailableError, match="has not read its deployments yet"):
        fleet.served("delay")
    assert fleet.troubles()
    fleet.refresh()
    with pytest.raises(NotFoundError, match="no endpoint 'delay'"):
        fleet.served("delay")
    store.deploy("delay", 0, "late", 1)
    fleet.refresh()
    assert fleet.served("delay").deployment == store.deployment("delay")
    assert fleet.troubles() == {}


def test_each_version_is_loaded_once_and_kept_while_it_may_be_needed(store: SqlServing, tmp_path: Path) -> None:
    packages = Packages(tmp_path, 1, 2, 3)
    fleet = Fleet(store, packages)
    store.deploy("delay", 0, "late", 1, (2,))
    fleet.refresh()
    champion = fleet.served("delay").champion
    store.deploy("delay", 1, "late", 2, (3,))
    fleet.refresh()
    store.deploy("delay", 2, "late", 1)
    fleet.refresh()
    assert fleet.served("delay").champion is champion
    assert packages.fetched == {1: 1, 2: 1, 3: 1}
    store.deploy("delay", 3, "late", 3)
    fleet.refresh()
    assert packages.fetched[3] == 2


def test_a_first_champion_that_cannot_be_loaded_makes_the_endpoint_unavailable(
    store: SqlServing, tmp_path: Path
) -> None:
    packages = Packages(tmp_path)
    fleet = Fleet(store, packages)
    store.deploy("delay", 0, "late", 1)
    fleet.refresh()
    with pytest.raises(UnavailableError, match="revision 1: version 1 of 'late' cannot be loaded"):
        fleet.served("delay")
    fleet.refresh()
    assert packages.fetched[1] == 1


def test_what_could_not_be_loaded_is_tried_again_after_a_while(store: SqlServing, tmp_path: Path) -> None:
    packages = Packages(tmp_path, 1)
    fleet = Fleet(store, packages, retry_s=0.0)
    store.deploy("delay", 0, "late", 1, (2,))
    fleet.refresh()
    assert isinstance(fleet.served("delay").shadows[2], str)
    packages.paths[2] = models.save(tmp_path / "v2", 2)
    fleet.refresh()
    assert not isinstance(fleet.served("delay").shadows[2], str)


def test_a_watch_goes_on_when_the_store_is_away_for_a_while(store: SqlServing, tmp_path: Path) -> None:
    class Fickle(Fleet):
        calls = 0
        was_called_again = threading.Event()

        def refresh(self) -> None:
            self.calls += 1
            if self.calls == 1:
                raise OSError("the store is away")
            super().refresh()
            self.was_called_again.set()

    store.deploy("delay", 0, "late", 1)
    fleet = Fickle(store, Packages(tmp_path, 1))
    watch = Watch(fleet, interval_s=0.001)
    fleet.was_called_again.wait()
    watch.close()
    assert fleet.endpoints() == ["delay"]
