"""DVC's configuration in its four levels: read it, and change it with everything else in the files kept.

Source: dvc 3.67, `config.py`. The levels from the weakest to the strongest: system, global, project (`.dvc/config`, in
Git), local (`.dvc/config.local`, this machine only, where secrets belong). Leaves remotes to `remotes.py` and what the
workspace makes of its own options to `config.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.latepattern import LatePattern
from everloop.workspace import durable, options
from everloop.workspace.inifile import IniFile
from everloop.workspace.yamlfile import read_text

_URL = LatePattern(r"\w+://")
Sections = dict[str, dict[str, str]]


class Level(StrEnum):
    """Whose configuration it is, from the weakest to the strongest."""

    SYSTEM = "system"
    GLOBAL = "global"
    PROJECT = "project"
    LOCAL = "local"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One option that is set.

    Attributes:
        name: `section.option`, or `remote.NAME.option`.
        value: As text; a path is absolute, except for one that begins with `~`.
        level: Where it is set.
        file: The file that sets it.
    """

    name: str
    value: str
    level: Level
    file: Path

    @property
    def shown(self) -> str:
        """The value as people may see it: secrets are stars."""
        return options.shown(self.name.rpartition(".")[2], self.value)


def level_files(dvc_dir: Path | None, environment: Mapping[str, str] = os.environ) -> dict[Level, Path]:
    """Where each level's file lies, or would lie, from the weakest to the strongest.

    Args:
        dvc_dir: The workspace's `.dvc` folder; None outside of a workspace, which leaves the first two levels.
        environment: `DVC_SYSTEM_CONFIG_DIR`, `DVC_GLOBAL_CONFIG_DIR`, `XDG_CONFIG_DIRS`, `XDG_CONFIG_HOME` and `HOME`
            are looked up in it.
    """
    home = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '')}/.config"
    system = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")[0]
    files = {
        Level.SYSTEM: Path(environment.get("DVC_SYSTEM_CONFIG_DIR") or f"{system}/dvc") / "config",
        Level.GLOBAL: Path(environment.get("DVC_GLOBAL_CONFIG_DIR") or f"{home}/dvc") / "config",
    }
    if dvc_dir is not None:
        files |= {Level.PROJECT: dvc_dir / "config", Level.LOCAL: dvc_dir / "config.local"}
    return files


def read_sections(path: Path) -> Sections:
    """The values of one file, by section and option, relative paths made absolute; no file is an empty one.

    Raises:
        InvalidError: It is malformed.
    """
    return {
        section: {key: _resolved(section, key, value, path.parent) for key, value in values.items()}
        for section, values in _load(path).sections().items()
    }


class Configuration:
    """All levels as one. Reads the files anew each time, so it is never out of date.

    Args:
        dvc_dir: The workspace's `.dvc` folder; None outside of a workspace.
        environment: As in `level_files`.
        given: What counts more than any file.
    """

    def __init__(
        self,
        dvc_dir: Path | None,
        environment: Mapping[str, str] = os.environ,
        *,
        given: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.files = level_files(dvc_dir, environment)
        self._given = given or {}

    def settings(self, level: Level | None = None) -> list[Setting]:
        """What is set, level by level from the weakest; None means all levels.

        Raises:
            NotFoundError: The level belongs to a workspace, and this is none.
            InvalidError: A file is malformed.
        """
        levels = list(self.files) if level is None else [level]
        return [
            Setting(name=f"{section}.{option}", value=value, level=each, file=self._file(each))
            for each in levels
            for section, values in read_sections(self._file(each)).items()
            for option, value in values.items()
        ]

    def get(self, name: str, level: Level | None = None) -> Setting:
        """The strongest setting of an option.

        Raises:
            NotFoundError: It is not set.
        """
        section, option = split_name(name)
        wanted = f"{section}.{option}"
        found = [setting for setting in self.settings(level) if setting.name == wanted]
        if not found:
            where = f"in {self._file(level)}" if level else "at any level"
            raise NotFoundError(f"{name} is not set {where}", hint="see what is: ever config --list")
        return found[-1]

    def merged(self, below: Level | None = None) -> Sections:
        """What counts when all levels are read; with `below`, only those that are weaker."""
        merged: Sections = {}
        for level, path in self.files.items():
            if level == below:
                break
            for section, values in read_sections(path).items():
                merged.setdefault(section, {}).update(values)
        for section, given in self._given.items():
            merged.setdefault(section, {}).update(given)
        return merged

    def set(self, name: str, value: str, level: Level | None = None, *, folder: Path | None = None) -> Path:
        """Set an option.

        Args:
            name: `section.option`, or `remote.NAME.option`.
            value: As text. A relative path is meant from `folder`; it is written relative to the file.
            level: None means the project's, or the user's (global) outside of a workspace.
            folder: None means the current one.

        Returns:
            The file that was written.

        Raises:
            InvalidError: There is no such option, or the value is not of its kind.
            NotFoundError: The level belongs to a workspace, and this is none.
        """
        section, option = split_name(name)
        level = level or self.usual_level
        url = self.merged().get(section, {}).get("url")
        options.check(section, option, value, value if option == "url" else url)
        with self.edit(level) as file:
            file.set(section, option, self.stored(section, option, value, level, folder))
        return self._file(level)

    def unset(self, name: str, level: Level | None = None) -> Path:
        """Remove an option.

        Raises:
            NotFoundError: It is not set at that level.
        """
        section, option = split_name(name)
        level = level or self.usual_level
        with self.edit(level) as file:
            if not file.unset(section, option):
                raise NotFoundError(
                    f"{name} is not set in {self._file(level)}", hint="ever config --list --show-origin"
                )
        return self._file(level)

    @property
    def usual_level(self) -> Level:
        """Where a change goes when no level is named."""
        return Level.PROJECT if Level.PROJECT in self.files else Level.GLOBAL

    def stored(self, section: str, option: str, value: str, level: Level, folder: Path | None = None) -> str:
        """The value as the file holds it: a relative path is turned from the given folder's into the file's own."""
        if (
            not options.is_path(section, option)
            or _URL.match(value)
            or value.startswith("~")
            or Path(value).is_absolute()
        ):
            return value
        absolute = os.path.normpath((folder or Path.cwd()).absolute() / value)
        return Path(os.path.relpath(absolute, self._file(level).parent)).as_posix()

    @contextmanager
    def edit(self, level: Level) -> Iterator[IniFile]:
        """Change a level's file; it is written, at once and whole, when the block ends well and something changed."""
        path = self._file(level)
        file = _load(path)
        before = file.text
        yield file
        if file.text != before:
            path.parent.mkdir(parents=True, exist_ok=True)
            durable.write_atomically(path, file.text.encode())

    def _file(self, level: Level) -> Path:
        if level not in self.files:
            raise NotFoundError(f"the {level} configuration belongs to a workspace, and this is none", hint="ever init")
        return self.files[level]


def split_name(name: str) -> tuple[str, str]:
    """`core.remote` as ("core", "remote"), `remote.NAME.url` as ("remote.NAME", "url"); letters count in lower case.

    Raises:
        InvalidError: It is neither.
    """
    section, _, option = name.lower().rpartition(".")
    if (
        not section
        or not option
        or section == "remote"
        or ("." in section and section.split(".")[0] not in ("remote", "db"))
    ):
        raise InvalidError(f"a configuration name is SECTION.OPTION or remote.NAME.OPTION, found {name!r}")
    return section, option


def _load(path: Path) -> IniFile:
    return IniFile(read_text(path) if path.exists() else "", str(path))


def _resolved(section: str, option: str, value: str, folder: Path) -> str:
    if not options.is_path(section, option) or _URL.match(value):
        return value
    return os.path.normpath(folder / Path(value).expanduser())
