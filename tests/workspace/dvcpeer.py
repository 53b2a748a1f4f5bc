"""The real DVC and Git beside Everloop, for the tests that need all three."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DVC = Path(__file__).parents[1] / "peers/.venv/bin/dvc"

# Skipped without the tool, or failed: see tests/conftest.py.
needs_dvc = pytest.mark.peer


def environment(home: Path) -> dict[str, str]:
    """Of a person without settings; DVC looks for no update and reports nothing."""
    home.mkdir(exist_ok=True)
    (home / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (home / ".gitconfig").write_text(
        "[user]\n    name = Ada\n    email = ada@example.org\n[init]\n    defaultBranch = main\n"
    )
    places = dict.fromkeys(("HOME", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"), str(home))
    return {**os.environ, **places, "DVC_SYSTEM_CONFIG_DIR": "/nowhere", "DVC_NO_ANALYTICS": "1"}


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        words, cwd=folder, env=environment(folder.parent / "home"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


class Server:
    """The real tool, loaded once: see `tests/dvcserver.py`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [str(DVC.with_name("python")), str(Path(__file__).parents[1] / "dvcserver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._end)

    def call(self, folder: Path, words: Sequence[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        asked = {"words": words, "folder": os.fspath(folder), "env": env}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            code, out, errors = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess([str(DVC), *words], code, out, errors)

    def _end(self) -> None:
        self._process.communicate()


@cache
def server() -> Server:
    """One for all tests of this process."""
    return Server()


def called(folder: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real tool, whatever comes of it; with the environment of this process if none is given."""
    return server().call(folder, words, dict(os.environ) if env is None else env)


def dvc(folder: Path, *words: str) -> str:
    """Run the real tool."""
    done = called(folder, *words, env=environment(folder.parent / "home"))
    assert done.returncode == 0, f"dvc {words}: {done.stdout}{done.stderr}"
    return done.stdout


def dvc_json(folder: Path, *words: str) -> Any:
    """What it prints as JSON."""
    return json.loads(dvc(folder, *words, "--json"))


def commit(folder: Path, message: str = "Change") -> str:
    """Commit everything to Git; the new commit."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--allow-empty", "--message", message)
    return run(folder, "git", "rev-parse", "HEAD").strip()


def write(folder: Path, files: dict[str, str | None]) -> None:
    """Write files; None removes one."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            target.unlink()
        else:
            target.write_text(text)
            # As old as data usually are; a file of this very moment is hashed once more by the next command.
            os.utime(target, ns=(10**18 + 1, 10**18 + 1))


# Makes a workspace what DVC 2 would have made of it: through the real tool, which still writes the old objects.
_AS_DVC_2 = """
from dvc.repo import Repo
repo = Repo()
for stage in repo.index.stages:
    for item in [*stage.outs, *([] if stage.is_import else stage.deps)]:
        item.hash_name = "md5-dos2unix"
        item.hash_info = item.get_hash()
    with repo.lock:
        stage.save()
        stage.commit()
        stage.dump(update_pipeline=False)
"""


def as_dvc_2(folder: Path) -> None:
    """Turn what is under version into what DVC 2 writes; objects of DVC 3 go."""
    run(folder, str(DVC.with_name("python")), "-c", _AS_DVC_2)
    shutil.rmtree(folder / ".dvc/cache/files")
