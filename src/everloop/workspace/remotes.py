"""The remotes of a workspace: where they are, which one is meant, and how they are named, changed and removed.

A remote is a section of DVC's configuration. Leaves the objects in a remote to `transfer.py`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import options
from everloop.workspace.configuration import Configuration, Level, Sections


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """Where a workspace's objects are kept for others.

    Attributes:
        name: In lower case.
        url: A URL, or an absolute path.
        options: All of the remote's options, `url` too.
        is_default: It is meant when none is named.
    """

    name: str
    url: str
    options: dict[str, str] = {}
    is_default: bool = False

    @property
    def shown(self) -> dict[str, str]:
        """The options as people may see them: secrets are stars."""
        return {key: options.shown(key, value) for key, value in self.options.items()}


def listed(configuration: Configuration, level: Level | None = None) -> list[Remote]:
    """The remotes, in the order of the files; with a level, those whose URL it sets."""
    merged = configuration.merged()
    sections = merged if level is None else _of_level(configuration, level)
    default = merged.get("core", {}).get("remote", "").lower()
    return [
        Remote(name=name, url=values["url"], options=values, is_default=name == default)
        for section, values in sections.items()
        if (name := _name(section)) and "url" in values
    ]


def find(configuration: Configuration, name: str | None = None) -> Remote:
    """The remote of that name, or the default one.

    Raises:
        NotFoundError: There is no such remote, or none is the default.
    """
    known = {remote.name: remote for remote in listed(configuration)}
    wanted = name or configuration.merged().get("core", {}).get("remote")
    if not wanted:
        raise NotFoundError(
            "no remote was named, and none is the default",
            hint=f"ever remote default {next(iter(known))}" if known else "ever remote add -d NAME URL",
        )
    remote = known.get(wanted.lower())
    if remote is None:
        raise NotFoundError(
            f"there is no remote {wanted!r}; there are: {', '.join(known) or 'none'}", hint="ever remote add NAME URL"
        )
    return _dereferenced(remote, known, ())


def add(
    configuration: Configuration,
    name: str,
    url: str,
    *,
    level: Level | None = None,
    default: bool = False,
    force: bool = False,
    folder: Path | None = None,
) -> Remote:
    """Add a remote.

    Args:
        configuration: Of the workspace.
        name: Letters count in lower case.
        url: A URL, or a path; a relative one is meant from `folder`.
        level: Where to write it; None as in `Configuration.set`.
        default: Make it the default one, too.
        force: Replace a remote of that name, with all of its options.
        folder: None means the current one.

    Raises:
        ConflictError: The level has a remote of that name.
        InvalidError: The name or the URL cannot be used.
    """
    name = name.lower()
    if not name or any(mark in name for mark in "\"'[]\n#") or name != name.strip():
        raise InvalidError(f"a remote's name has no quotes, brackets or # and no blanks around it; found {name!r}")
    level = level or configuration.usual_level
    section = f"remote.{name}"
    options.check(section, "url", url, url)
    with configuration.edit(level) as file:
        if section in file.sections() and not force:
            raise ConflictError(f"there is a remote {name!r} already", hint="another name, or --force to replace it")
        file.drop(section)
        file.set(section, "url", configuration.stored(section, "url", url, level, folder))
        if default:
            file.set("core", "remote", name)
    return next(remote for remote in listed(configuration) if remote.name == name)


def modify(
    configuration: Configuration,
    name: str,
    option: str,
    value: str | None,
    *,
    level: Level | None = None,
    folder: Path | None = None,
) -> Path:
    """Set an option of a remote, or with None take it back; returns the file that was written.

    Raises:
        NotFoundError: There is no such remote.
        InvalidError: Such a remote has no such option, or the value is not of its kind.
    """
    level = level or configuration.usual_level
    section = f"remote.{name.lower()}"
    if section not in configuration.merged():
        raise NotFoundError(f"there is no remote {name!r}", hint="ever remote list")
    if value is not None:
        return configuration.set(f"{section}.{option}", value, level, folder=folder)
    with configuration.edit(level) as file:
        file.unset(section, option.lower())
    return configuration.files[level]


def remove(configuration: Configuration, name: str, *, level: Level | None = None) -> None:
    """Forget a remote; what is in it stays. It is no longer the default at this and at stronger levels.

    Raises:
        NotFoundError: The level has no such remote.
    """
    level = level or configuration.usual_level
    with configuration.edit(level) as file:
        if not file.drop(f"remote.{name.lower()}"):
            raise _missing_at(configuration, name, level)
    for each in _from(configuration, level):
        with configuration.edit(each) as file:
            if file.sections().get("core", {}).get("remote", "").lower() == name.lower():
                file.unset("core", "remote")


def rename(configuration: Configuration, name: str, new: str, *, level: Level | None = None) -> None:
    """Give a remote another name, at this level; what names it as default at this or a stronger level follows.

    Raises:
        NotFoundError: The level has no such remote.
        ConflictError: The new name is taken.
    """
    level = level or configuration.usual_level
    old_section, new_section = f"remote.{name.lower()}", f"remote.{new.lower()}"
    if new_section in configuration.merged():
        raise ConflictError(f"there is a remote {new!r} already", hint="ever remote list")
    with configuration.edit(level) as file:
        if old_section not in file.sections():
            raise _missing_at(configuration, name, level)
        file.rename(old_section, new_section)
    for each in _from(configuration, level):
        with configuration.edit(each) as file:
            if file.sections().get("core", {}).get("remote", "").lower() == name.lower():
                file.set("core", "remote", new.lower())


def set_default(configuration: Configuration, name: str | None, *, level: Level | None = None) -> None:
    """Make a remote the default one; None means none.

    Raises:
        NotFoundError: There is no such remote.
    """
    level = level or configuration.usual_level
    if name is not None and name.lower() not in {remote.name for remote in listed(configuration)}:
        raise NotFoundError(f"there is no remote {name!r} that could be the default", hint="ever remote add NAME URL")
    with configuration.edit(level) as file:
        if name is None:
            file.unset("core", "remote")
        else:
            file.set("core", "remote", name.lower())


def below(configuration: Configuration, url: str) -> Remote:
    """What `remote://NAME/path` means: a remote with the options of NAME, whose URL is the whole place.

    Raises:
        InvalidError: There is no remote of that name.
    """
    known = {remote.name: remote for remote in listed(configuration)}
    return _dereferenced(Remote(name="", url=url), known, ())


def _dereferenced(remote: Remote, known: dict[str, Remote], seen: tuple[str, ...]) -> Remote:
    """Follow `remote://OTHER/path`, DVC's way to put one remote below another one."""
    if options.scheme_of(remote.url) != "remote":
        return remote
    other_name, _, path = remote.url.removeprefix("remote://").partition("/")
    other = known.get(other_name.lower())
    if other is None or remote.name in seen:
        asked = f"remote {remote.name}: " if remote.name else ""
        raise InvalidError(f"{asked}{remote.url} leads to no remote", hint="ever remote list")
    base = _dereferenced(other, known, (*seen, remote.name))
    url = f"{base.url.rstrip('/')}/{path}"
    return Remote(name=remote.name, url=url, options={**base.options, **remote.options}, is_default=remote.is_default)


def _name(section: str) -> str:
    kind, _, name = section.partition(".")
    return name if kind == "remote" else ""


def _of_level(configuration: Configuration, level: Level) -> Sections:
    sections: Sections = {}
    for setting in configuration.settings(level):
        section, _, option = setting.name.rpartition(".")
        sections.setdefault(section, {})[option] = setting.value
    return sections


def _from(configuration: Configuration, level: Level) -> list[Level]:
    levels = list(configuration.files)
    return levels[levels.index(level) :]


def _missing_at(configuration: Configuration, name: str, level: Level) -> NotFoundError:
    return NotFoundError(
        f"there is no remote {name!r} in {configuration.files[level]}", hint="where it is: ever config -l --show-origin"
    )
