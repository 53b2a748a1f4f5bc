"""Read what the workspace needs of DVC's configuration: where the cache lies and how files are linked to it.

The files are read from the weakest to the strongest, see `configuration.py`; remotes are read by `remotes.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from everloop.errors import InvalidError
from everloop.workspace.configuration import level_files, read_sections
from everloop.workspace.templating import BOOLEAN_STYLES, LIST_STYLES, OptionStyle

DEFAULT_LINK_TYPES: tuple[str, ...] = ("reflink", "copy")
_LINK_TYPES = ("reflink", "hardlink", "symlink", "copy")


class WorkspaceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says.

    Attributes:
        cache_dir: Where the cache lies; absolute.
        link_types: The ways to link a file to it; the first that works is taken.
        is_shared: The group may write to the cache, too (`cache.shared = group`).
        is_autostaged: Files that describe data are handed to Git's index when they change (`core.autostage`).
        is_interactive: Ask before each stage that is reproduced (`core.interactive`).
        locks_by_hardlink: Lock the workspace by hard links instead of `flock` (`core.hardlink_lock`).
        options: How mappings are written into commands (`parsing.bool`, `parsing.list`).
    """

    cache_dir: Path
    link_types: tuple[str, ...] = DEFAULT_LINK_TYPES
    is_shared: bool = False
    is_autostaged: bool = False
    is_interactive: bool = False
    locks_by_hardlink: bool = False
    options: OptionStyle = OptionStyle()


def read_config(dvc_dir: Path, environment: Mapping[str, str] = os.environ) -> WorkspaceConfig:
    """Read the configuration of the workspace whose `.dvc` folder is given.

    Args:
        dvc_dir: Absolute path of the `.dvc` folder.
        environment: `DVC_SYSTEM_CONFIG_DIR`, `DVC_GLOBAL_CONFIG_DIR`, `XDG_CONFIG_HOME` and `HOME` are looked up in it.

    Raises:
        InvalidError: A file is malformed, or asks for something that is not supported; names the file and the key.
    """
    cache_dir = dvc_dir / "cache"
    link_types = DEFAULT_LINK_TYPES
    is_autostaged = is_interactive = is_shared = locks_by_hardlink = False
    options = OptionStyle()
    for path in level_files(dvc_dir, environment).values():
        sections = read_sections(path)
        if "dir" in sections.get("cache", {}):
            cache_dir = Path(sections["cache"]["dir"])
        if "type" in sections.get("cache", {}):
            link_types = _link_types(path, sections["cache"]["type"])
        if "shared" in sections.get("cache", {}):
            is_shared = _is_group(path, sections["cache"]["shared"])
        is_autostaged = _is_true(sections.get("core", {}).get("autostage"), otherwise=is_autostaged)
        is_interactive = _is_true(sections.get("core", {}).get("interactive"), otherwise=is_interactive)
        locks_by_hardlink = _is_true(sections.get("core", {}).get("hardlink_lock"), otherwise=locks_by_hardlink)
        options = _options(path, sections.get("parsing", {}), options)
    return WorkspaceConfig(
        cache_dir=cache_dir,
        link_types=link_types,
        is_shared=is_shared,
        is_autostaged=is_autostaged,
        is_interactive=is_interactive,
        locks_by_hardlink=locks_by_hardlink,
        options=options,
    )


def _is_true(value: str | None, *, otherwise: bool) -> bool:
    return otherwise if value is None else value.lower() in ("true", "yes", "on", "1")


def _options(path: Path, section: Mapping[str, str], otherwise: OptionStyle) -> OptionStyle:
    boolean, listing = section.get("bool", otherwise.boolean), section.get("list", otherwise.listing)
    for key, value, known in (("bool", boolean, BOOLEAN_STYLES), ("list", listing, LIST_STYLES)):
        if value not in known:
            raise InvalidError(f"{path}: parsing.{key} {value!r} is not one of {', '.join(known)}")
    return OptionStyle(boolean=boolean, listing=listing)


def _is_group(path: Path, value: str) -> bool:
    if value.lower() != "group":
        raise InvalidError(f"{path}: cache.shared {value!r} is not known: it can only be 'group'")
    return True


def _link_types(path: Path, value: str) -> tuple[str, ...]:
    asked = tuple(part.strip().lower() for part in value.split(","))
    for link_type in asked:
        if link_type not in _LINK_TYPES:
            raise InvalidError(f"{path}: cache.type {link_type!r} is not one of {', '.join(_LINK_TYPES)}")
    return asked
