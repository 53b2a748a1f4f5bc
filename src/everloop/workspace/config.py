"""Read what the workspace needs of DVC's configuration: where the cache lies and how files are linked to it.

The files are read from the weakest to the strongest: system, user, `.dvc/config`, `.dvc/config.local`. Remotes and
everything else are left to later readers.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from everloop.errors import InvalidError

DEFAULT_LINK_TYPES: tuple[str, ...] = ("reflink", "copy")
_SUPPORTED_LINK_TYPES = ("reflink", "hardlink", "copy")
_DVC_LINK_TYPES = (*_SUPPORTED_LINK_TYPES, "symlink")


class WorkspaceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the cache lies (absolute) and the ways to link a file to it, the first that works is taken."""

    cache_dir: Path
    link_types: tuple[str, ...] = DEFAULT_LINK_TYPES


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
    for path in _files(dvc_dir, environment):
        sections = _read(path)
        if "dir" in sections.get("cache", {}):
            # DVC resolves a relative folder against the file that names it.
            cache_dir = Path(os.path.normpath(path.parent / Path(sections["cache"]["dir"]).expanduser()))
        if "type" in sections.get("cache", {}):
            link_types = _link_types(path, sections["cache"]["type"])
        if sections.get("core", {}).get("hardlink_lock", "false").lower() in (
            "true",
            "yes",
            "on",
            "1",
        ):
            raise InvalidError(
                f"{path}: core.hardlink_lock is not supported: Everloop locks the workspace with flock",
                hint="unset it: dvc config --unset core.hardlink_lock",
            )
    return WorkspaceConfig(cache_dir=cache_dir, link_types=link_types)


def _files(dvc_dir: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    home = environment.get("HOME", "")
    user_dir = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    yield Path(environment.get("DVC_SYSTEM_CONFIG_DIR", "/etc/xdg/dvc")) / "config"
    yield Path(environment.get("DVC_GLOBAL_CONFIG_DIR", f"{user_dir}/dvc")) / "config"
    yield dvc_dir / "config"
    yield dvc_dir / "config.local"


def _read(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(inline_comment_prefixes=("#",), empty_lines_in_values=False, strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} is not a DVC configuration: {error}") from error
    return {
        name.strip("'"): {key: value.strip("\"'") for key, value in parser.items(name)} for name in parser.sections()
    }


def _link_types(path: Path, value: str) -> tuple[str, ...]:
    asked = tuple(part.strip().lower() for part in value.split(","))
    for link_type in asked:
        if link_type not in _DVC_LINK_TYPES:
            raise InvalidError(f"{path}: cache.type {link_type!r} is not one of {', '.join(_DVC_LINK_TYPES)}")
    usable = tuple(link_type for link_type in asked if link_type in _SUPPORTED_LINK_TYPES)
    if not usable:
        raise InvalidError(
            f"{path}: cache.type {value!r} is not supported alone; found no other type to fall back to",
            hint='add one of reflink, hardlink, copy: dvc config cache.type "symlink,copy"',
        )
    return usable
