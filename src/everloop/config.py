"""The settings of one Everloop process: defaults < file < environment (`EVERLOOP_*`) < argument, read once at the edge.

Nothing here is read at import. `Settings.load` is called by the command line and the value is passed down.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.plaintext import nearest

PREFIX = "EVERLOOP_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, with its default. An environment variable is `EVERLOOP_` and the name in capitals."""

    home: str = "~/.everloop"
    """Folder of the hub: database, artifacts, logs."""
    database_url: str = ""
    """`postgresql://…`, or empty for SQLite under `home`."""
    store_url: str = ""
    """Folder of the object store, or empty for `home/objects`."""
    hub_host: str = "127.0.0.1"
    hub_port: int = 7300
    hub_url: str = ""
    """Where clients find the hub; empty for `http://hub_host:hub_port`."""
    offline: bool = False
    """Runs are kept in the spool for `ever sync`, also when a hub is set."""
    run_id: str = ""
    """The tracked run that this process is part of; `ever repro` sets it for its stages."""
    gateway_host: str = "127.0.0.1"
    gateway_port: int = 7301
    gateway_url: str = ""
    """Where clients find the gateway; empty for `http://gateway_host:gateway_port`."""
    worker_id: str = "worker-1"
    """Name of a worker process; a restarted worker of the same name takes up its unfinished work."""
    schedule_s: float = 60.0
    """Seconds between the loop's own ticks; 0 when ticks are asked for from outside, as the demo does."""
    log_level: str = "info"
    trash_days: float = 7.0
    """Days for which `ever undo` can bring back what a command replaced or removed."""
    trash_operations: int = 10
    """Number of such commands that are remembered."""
    work_dir: str = ""
    """Where a machine of a cluster keeps the cache and the workspaces of stages that are run there; empty for a folder
    for temporary files."""
    table_memory: str = "512MB"
    """How much memory `ever diff --rows` may take; what does not fit goes to the disk."""

    @property
    def home_path(self) -> Path:
        return Path(self.home).expanduser().absolute()

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the platform's database."""
        url = self.database_url or f"sqlite:///{self.home_path / 'everloop.db'}"
        return url.replace("postgresql://", "postgresql+psycopg://", 1).replace(
            "postgres://", "postgresql+psycopg://", 1
        )

    @property
    def workflow_database(self) -> str:
        """The URL of the durable runner's own database: a file beside ours on SQLite, the same server on PostgreSQL."""
        return self.database if self.database_url else f"sqlite:///{self.home_path / 'workflows.db'}"

    @property
    def objects_path(self) -> Path:
        return Path(self.store_url).expanduser().absolute() if self.store_url else self.home_path / "objects"

    @property
    def spool_path(self) -> Path:
        """Folder of what waits to be told to a hub."""
        return self.home_path / "spool"

    @property
    def is_tracking(self) -> bool:
        """Whether runs are told to a hub, now or later."""
        return bool(self.hub_url or self.offline or self.run_id)

    @property
    def hub(self) -> str:
        return (self.hub_url or f"http://{self.hub_host}:{self.hub_port}").rstrip("/")

    @property
    def gateway(self) -> str:
        return (self.gateway_url or f"http://{self.gateway_host}:{self.gateway_port}").rstrip("/")

    def environment(self) -> dict[str, str]:
        """Return the `EVERLOOP_*` variables that give a child process these settings."""
        defaults = Settings()
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {PREFIX + k.upper(): str(v) for k, v in values.items() if v != getattr(defaults, k)}

    @staticmethod
    def load(environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
        """Read the settings of this process.

        Args:
            environ: the environment to read; None for the process's own.
            arguments: values given on the command line; None means not given.

        Raises:
            InvalidError: an unknown key, with the nearest known one, or a value of the wrong type, with its place.
        """
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in arguments.items() if value is not None}
        variables = {k[len(PREFIX) :].lower(): v for k, v in environ.items() if k.startswith(PREFIX)}
        home = Path(str(given.get("home") or variables.get("home") or Settings().home)).expanduser()
        merged: dict[str, Any] = {}
        for source, values in (
            (str(home / "settings.yaml"), _read_file(home / "settings.yaml")),
            ("the environment", variables),
            ("the arguments", given),
        ):
            _check_names(values, source)
            merged.update(values)
        try:
            return msgspec.convert(merged, Settings, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidError(f"a setting has a value that does not fit: {error}") from error


def _check_names(values: Mapping[str, Any], source: str) -> None:
    for name in values:
        if name not in Settings.__struct_fields__:
            near = nearest(name, Settings.__struct_fields__)
            known = f"Did you mean {near!r}?" if near else f"Known settings: {', '.join(Settings.__struct_fields__)}."
            raise InvalidError(f"unknown setting {name!r} in {source}", hint=known)


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    from ruamel.yaml import YAML  # 80 ms, so only when there is a file to read
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe", pure=True).load(path)
    except YAMLError as error:
        raise InvalidError(f"{path} is not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InvalidError(f"{path} should hold `name: value` lines, found {type(values).__name__}")
    return {str(name): value for name, value in values.items()}
