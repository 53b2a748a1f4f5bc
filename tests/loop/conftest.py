"""What the loop's tests share: the rooms of one process over an empty database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.config import Settings
from everloop.loop.rooms import Rooms
from everloop.server.platform import Platform
from tests.loop.worlds import World


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the user's Git nor DVC settings may decide a test."""
    home = str(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
            patch.setenv(name, home)
        for name in ("XDG_CONFIG_HOME", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("SHELL", "/bin/sh")
        yield


@pytest.fixture
def rooms(sqlite_home: Path) -> Iterator[Rooms]:
    local = Platform(Settings(home=str(sqlite_home)))
    yield local.rooms
    local.close()


@pytest.fixture
def world(rooms: Rooms) -> World:
    return World(rooms)
