"""How the data of another repository are reached: `import --remote`, `--config`, `--remote-config`.

Source: dvc 3.67 (`repo/imp.py`, `dependency/repo.py`): a record keeps it, so that `update` and `pull` reach them again.
Leaves opening the repository to `take.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from everloop.errors import InvalidError
from everloop.workspace.values import Reach


def asked(
    root: Path, remote: str | None, config: str | os.PathLike[str] | None, options: Mapping[str, str] | None
) -> Reach:
    """What a command asks for.

    Args:
        root: The workspace.
        remote: The name of the repository's remote.
        config: A configuration file; a relative path is meant from the current folder.
        options: Of the remote.

    Raises:
        InvalidError: All three at once, which no record can say.
    """
    if remote and config and options:
        raise InvalidError(
            "a configuration file, a remote and options for it cannot be recorded all at once",
            hint="write the options into the file",
        )
    path = None
    if config is not None:
        path = os.fspath(config) if Path(config).is_absolute() else os.path.relpath(Path(config).absolute(), root)
    if remote and options:
        section = f"remote.{remote}"
        given = (("core", "remote", remote), *((section, name, value) for name, value in options.items()))
        return Reach(given=given)
    return Reach(remote=remote, config=path, options=tuple((options or {}).items()))


def fields(reach: Reach) -> dict[str, Any]:
    """As a record of DVC has it."""
    told: dict[str, Any] = {}
    if reach.config is not None:
        told["config"] = reach.config
    for section, option, value in reach.given:
        place = told.setdefault("config", {})
        for part in section.split(".", 1):
            place = place.setdefault(part, {})
        place[option] = value
    if reach.remote is not None or reach.options:
        told["remote"] = reach.remote or dict(reach.options)
    return told


def read(repo: Mapping[str, Any], where: str) -> Reach:
    """What a record says of its repository.

    Raises:
        InvalidError: `config` or `remote` is malformed.
    """
    remote, config = repo.get("remote"), repo.get("config")
    options: tuple[tuple[str, str], ...] = ()
    if isinstance(remote, dict):
        options, remote = tuple((str(name), str(value)) for name, value in remote.items()), None
    given: tuple[tuple[str, str, str], ...] = ()
    if isinstance(config, dict):
        given, config = tuple(_given(config, where)), None
    for key, value in (("remote", remote), ("config", config)):
        if not isinstance(value, str | None):
            raise InvalidError(f"{where}: {key} must be text or a mapping, found {value!r}")
    return Reach(remote=remote, config=config, given=given, options=options)


def _given(config: dict[str, Any], where: str) -> Iterator[tuple[str, str, str]]:
    for section, values in config.items():
        if not isinstance(values, dict):
            raise InvalidError(f"{where}: config.{section} must be a mapping, found {values!r}")
        for name, value in values.items():
            if isinstance(value, dict):
                yield from ((f"{section}.{name}", str(option), str(inner)) for option, inner in value.items())
            else:
                yield str(section), str(name), str(value)
