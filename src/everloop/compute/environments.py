"""Python environments: built once with uv for each lock and Python version, then used again by whoever needs the same.

Promises: an environment appears under its name only when it is complete, so a builder that is killed leaves nothing
that is taken for one; of two who want the same at once, one builds and the other waits. What an environment is made of
is told by `environmentspec.py`. The only file that calls uv.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from everloop.compute.environmentspec import EnvironmentSpec, is_this_python, key_of, local_packages
from everloop.errors import FailedError, NotFoundError, NotInstalledError

_NOTE = "everloop.json"
_LAST_LINES = 15
_DAY_S = 86_400.0

Progress = Callable[[str], None]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """An environment that is built.

    Attributes:
        key: The hash of what went into it.
        path: Its folder, absolute.
        kind: As in `EnvironmentSpec`.
        python: The version of its interpreter in full.
        lock: The name of the lock's file; None for Python alone.
    """

    key: str
    path: str
    kind: str
    python: str
    lock: str | None = None


def default_home() -> Path:
    """Where environments of this user are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "everloop" / "environments"


def prepare(spec: EnvironmentSpec, home: Path | None = None, on_progress: Progress | None = None) -> Environment:
    """Give the environment that is declared; build it when nobody has, which may take minutes.

    Args:
        spec: What is declared.
        home: Where environments are kept; None means `default_home`.
        on_progress: Told in a sentence that it is built, or waited for.

    Raises:
        NotInstalledError: uv is needed, and neither on PATH nor installed.
        NotFoundError: There is no such Python, or a file is missing.
        FailedError: uv could not build it; has the last lines that it printed.
    """
    home = home or default_home()
    tell = on_progress or _silent
    interpreter, version = _interpreter(spec)
    key = key_of(spec, version)
    place = home / key
    lock_name = None if spec.lock is None else Path(spec.lock).name
    found = Environment(key=key, path=str(place), kind=spec.kind, python=version, lock=lock_name)
    if not _is_there(place):
        home.mkdir(parents=True, exist_ok=True)
        with _alone(home / f"{key}.lock", lambda: tell(f"waiting for the environment {key}, which is being built")):
            if not _is_there(place):
                tell(f"building the environment {key}: {lock_name or 'Python'}, Python {version}")
                _build(spec, interpreter, home / f".building-{key}", place, found)
    # What tells `collect` that it is in use.
    os.utime(place / _NOTE)
    return found


def variables(environment: Environment, around: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables with which a command runs in an environment.

    Args:
        environment: Which.
        around: The variables that are set already; None means those of this process.
    """
    path = (os.environ if around is None else around).get("PATH", os.defpath)
    return {"PATH": f"{environment.path}/bin{os.pathsep}{path}", "VIRTUAL_ENV": environment.path}


def built(home: Path | None = None) -> dict[str, float]:
    """The environments that are kept, `{key: seconds since the last use}`, the one used last first."""
    notes = (home or default_home()).glob(f"*/{_NOTE}")
    ages = {note.parent.name: time.time() - note.stat().st_mtime for note in notes if note.parent.name[0] != "."}
    return dict(sorted(ages.items(), key=lambda item: item[1]))


def collect(home: Path | None = None, *, unused_days: float = 30.0) -> list[str]:
    """Remove environments that were not used for a while, and what killed builders left; returns their keys."""
    home = home or default_home()
    removed = []
    for key in built(home):
        with _alone(home / f"{key}.lock"):
            # Asked again behind the lock: somebody may just have taken it.
            if built(home).get(key, 0.0) >= unused_days * _DAY_S:
                (home / key).rename(home / f".removed-{key}")
                removed.append(key)
    leftovers = [*home.glob(".removed-*"), *home.glob(".building-*")]
    for folder in leftovers:
        with _alone(home / f"{folder.name.partition('-')[2]}.lock"):
            shutil.rmtree(folder, ignore_errors=True)
    return removed


def _build(spec: EnvironmentSpec, interpreter: str, aside: Path, place: Path, found: Environment) -> None:
    # Of a builder that was killed.
    shutil.rmtree(aside, ignore_errors=True)
    uv = _uv()
    # Relocatable, because it is renamed when it is complete.
    _call([uv, "venv", "--quiet", "--relocatable", "--no-project", "--python", interpreter, str(aside)], found.key)
    anew = _anew(uv, spec, found.key)
    if spec.kind == "requirements":
        assert spec.lock is not None
        lock = Path(spec.lock)
        words = [uv, "pip", "install", "--python", str(aside / "bin/python"), "-r", lock.name]
        _call(words, found.key, lock.parent, **anew)
    elif spec.kind == "uv.lock":
        assert spec.lock is not None
        # No link into this project: others with the same lock take the same environment.
        words = [uv, "sync", "--locked", "--no-install-project", "--no-editable"]
        words += ["--python", str(aside / "bin/python")]
        _call(words, found.key, Path(spec.lock).parent, UV_PROJECT_ENVIRONMENT=str(aside), **anew)
    (aside / _NOTE).write_bytes(msgspec.json.encode(found))
    aside.rename(place)


def _anew(uv: str, spec: EnvironmentSpec, key: str) -> dict[str, str]:
    """Let uv build packages in folders anew: it keeps what it built of them, whatever was edited since.

    `--refresh-package` would say the same, but not without a network.
    """
    names = local_packages(spec)
    if None in names:
        return {"UV_NO_CACHE": "1"}
    if names:
        _call([uv, "cache", "clean", "--quiet", *filter(None, names)], key)
    return {}


def _interpreter(spec: EnvironmentSpec) -> tuple[str, str]:
    """The Python to build with, and its version."""
    if is_this_python(spec):
        return sys.executable, platform.python_version()
    assert spec.python is not None
    uv = _uv()
    words = [uv, "python", "find", "--system", "--no-project", spec.python]
    asked = subprocess.run(words, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        # Where uv may download it, it does.
        got = subprocess.run([uv, "python", "install", spec.python], capture_output=True, text=True, check=False)
        asked = subprocess.run(words, capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            why = (got.stderr.strip().splitlines() or asked.stderr.strip().splitlines() or ["uv finds none"])[-1]
            raise NotFoundError(
                f"there is no Python {spec.python} here: {why}", hint=f"uv python install {spec.python}"
            )
    interpreter = asked.stdout.strip()
    code = "import platform; print(platform.python_version())"
    version = subprocess.run([interpreter, "-I", "-c", code], capture_output=True, text=True, check=True)
    return interpreter, version.stdout.strip()


def _uv() -> str:
    found = shutil.which("uv")
    if found is None:
        try:
            found = str(importlib.import_module("uv").find_uv_bin())
        except ImportError as error:
            raise NotInstalledError(
                "environments are built with uv, which is not installed", hint="pip install 'everloop[env]'"
            ) from error
    return found


def _call(words: list[str], key: str, folder: Path | None = None, **more: str) -> None:
    # The environment that this process runs in is not the one that is meant.
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME")}
    none = subprocess.DEVNULL
    done = subprocess.run(
        words, cwd=folder, env={**kept, **more}, stdin=none, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise FailedError(f"the environment {key} could not be built: {' '.join(words[1:3])} said\n  {last}")


def _is_there(place: Path) -> bool:
    return (place / _NOTE).is_file()


@contextmanager
def _alone(lock: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock that ends with this process."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _silent(_: str) -> None:
    """Nobody listens."""
