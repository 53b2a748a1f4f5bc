"""What a Python environment is made of, as a project declares it, and the hash by which it is known.

The hash is over the lock's text, the Python version and the files of packages that lie beside the lock: who has the
same of all these has the same environment. Leaves building to `environments.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from everloop.errors import InvalidError, NotFoundError
from everloop.latepattern import LatePattern

_FORMAT = "1"
_VERSION = LatePattern(r"(?:python)?(\d+\.\d+(?:\.\d+)?)")
_INCLUDE = LatePattern(r"\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)")
_LOCAL = LatePattern(r"\s*(?:-e\s+|--editable[ =])?(?:[\w.\[\],-]+\s*@\s*)?(?:file://)?([./][^\s;#]*)")
_EDITABLE = LatePattern(r"^\s*(?:-e|--editable)\b", re.MULTILINE)
_LOCKED_LOCAL = r"\b(?:directory|editable|path) = \"([^\"]+)\""
_NOT_SOURCE = frozenset({"__pycache__", "build", "dist"})


class EnvironmentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A declared environment.

    Attributes:
        kind: `uv.lock` (its dependencies, not the project itself), `requirements`, or `python` alone.
        lock: Absolute path of the lock; None for `python`.
        python: The version that is wanted, as `3.12` or `3.12.1`; None means that of this process.
    """

    kind: Literal["uv.lock", "requirements", "python"]
    lock: str | None = None
    python: str | None = None


def read_spec(value: Any, folder: Path, where: str) -> EnvironmentSpec | None:
    """Read a declaration.

    Args:
        value: `uv.lock`, the path of a requirements file, a version as `3.12`; or a mapping `{lock: …, python: …}` of
            both; or false, for none.
        folder: What paths are relative to, absolute.
        where: What to call the place in errors.

    Raises:
        InvalidError: It is none of these.
        NotFoundError: The file does not exist.
    """
    if value is None or value is False:
        return None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        text = str(value)
        value = {"python": text} if _VERSION.fullmatch(text) else {"lock": text}
    if not isinstance(value, dict) or not value or not value.keys() <= {"lock", "python"}:
        raise InvalidError(
            f"{where}: an environment is uv.lock, a requirements file, a Python version, or a mapping with lock and "
            f"python; found {value!r}",
            hint="environment: {lock: requirements.txt, python: '3.12'}",
        )
    version = _version(value.get("python"), where)
    if value.get("lock") is None:
        return EnvironmentSpec(kind="python", python=version)
    lock = folder / str(value["lock"])
    if not lock.is_file():
        raise NotFoundError(f"{where}: the environment's {lock} does not exist")
    is_uv = lock.name == "uv.lock"
    pinned = lock.parent / ".python-version"
    if is_uv and version is None and pinned.is_file():
        version = _version(pinned.read_text().strip(), str(pinned))
    return EnvironmentSpec(kind="uv.lock" if is_uv else "requirements", lock=str(lock), python=version)


def key_of(spec: EnvironmentSpec, python_version: str) -> str:
    """The hash of what goes into the environment, 32 hex digits.

    Args:
        spec: What is declared.
        python_version: That of the interpreter in full.

    Raises:
        NotFoundError: A file that the lock includes is not there.
    """
    # Here, as the others: each job knows the declaration, and few commands look into it.
    import hashlib
    import sysconfig

    digest = hashlib.sha256(f"{_FORMAT}\n{spec.kind}\n{python_version}\n{sysconfig.get_platform()}\n".encode())
    if spec.lock is not None:
        for name, data in sorted(_parts(Path(spec.lock), set())):
            digest.update(f"{len(name)} {name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:32]


def local_packages(spec: EnvironmentSpec) -> list[str | None]:
    """The names of packages that lie beside the lock; None for one that does not say its name in a `pyproject.toml`."""
    waiting, found = [] if spec.lock is None else [Path(spec.lock)], []
    for lock in waiting:
        text = lock.read_text(errors="replace")
        waiting += [included for included in _included(lock, text) if included not in waiting]
        found += [_name(lock.parent / path) for path in _local(lock, text)]
    return found


def _name(folder: Path) -> str | None:
    import tomllib

    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text()).get("project", {}) if file.is_file() else {}
    except ValueError as error:
        raise InvalidError(f"{file}: {error}") from error
    return project.get("name") if isinstance(project, dict) else None


def is_this_python(spec: EnvironmentSpec) -> bool:
    """Whether the interpreter of this process will do."""
    import platform

    here = platform.python_version()
    return spec.python is None or here == spec.python or here.startswith(f"{spec.python}.")


def _version(value: Any, where: str) -> str | None:
    if value is None:
        return None
    match = _VERSION.fullmatch(str(value))
    if match is None:
        import platform

        raise InvalidError(
            f"{where}: the Python version must be as 3.12 or 3.12.1, found {value!r}",
            hint=f"this is {platform.python_version()}; quote 3.10, which YAML reads as 3.1",
        )
    return match[1]


def _parts(lock: Path, seen: set[Path]) -> Iterator[tuple[str, bytes]]:
    """The files that go into an environment, with a name that does not tell where the project lies."""
    if lock in seen:
        return
    seen.add(lock)
    if not lock.is_file():
        raise NotFoundError(f"{lock}, which the environment needs, does not exist")
    data = lock.read_bytes()
    yield f"lock {len(seen)}", data
    text = data.decode("utf-8", "replace")
    if lock.name == "uv.lock":
        yield "pyproject.toml", (lock.parent / "pyproject.toml").read_bytes()
    for included in _included(lock, text):
        yield from _parts(included, seen)
    for number, path in enumerate(_local(lock, text)):
        for name, content in _sources(lock.parent / path):
            yield f"package {number} {name}", content
    if _EDITABLE.search(text) and lock.name != "uv.lock":
        # It leads into this very folder, so nobody else may take it.
        yield "folder", str(lock.parent.resolve()).encode()


def _included(lock: Path, text: str) -> list[Path]:
    if lock.name == "uv.lock":
        return []
    return [lock.parent / match[1] for line in text.splitlines() if (match := _INCLUDE.match(line))]


def _local(lock: Path, text: str) -> list[str]:
    """The packages that lie beside a lock, as it names them."""
    if lock.name == "uv.lock":
        return [path for path in re.findall(_LOCKED_LOCAL, text) if path != "."]
    return [match[1] for line in text.splitlines() if (match := _LOCAL.match(line))]


def _sources(place: Path) -> Iterator[tuple[str, bytes]]:
    if place.is_file():
        yield place.name, place.read_bytes()
    for file in sorted(place.rglob("*")) if place.is_dir() else ():
        parts = file.relative_to(place).parts
        if file.is_file() and not any(part in _NOT_SOURCE or part[0] == "." or ".egg-info" in part for part in parts):
            yield "/".join(parts), file.read_bytes()
