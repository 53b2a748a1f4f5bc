"""Runs commands of the real DVC, each in a fork of one process that has loaded it. Run with the Python of the peers.

Loading DVC takes longer than most of its commands. Reads lines of JSON, `{"words": ..., "folder": ..., "env": ...}`,
and answers each with the exit code and what was printed. Nothing of DVC runs before the fork, and what looks at the
environment when it is loaded is left to the child.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
from typing import Any

# Not pygit2, nor what loads it: libgit2 looks for HOME once.
LOADED = (
    "dvc.cli.parser", "dvc.repo", "dvc.repo.index", "dvc.stage.loader", "dvc.output", "dvc.cachemgr", "dvc.data_cloud",
    "dvc.render", "dvc.rwlock", "dvc.lock", "dvc.ignore", "dvc.dirs", "dvc.utils.serialize", "dvc_data.index",
    "dvc_data.hashfile.state", "dvc_objects.fs.local", "dvc_objects.db", "networkx", "dulwich.repo",
    "dulwich.porcelain", "sqltrie", "diskcache", "ruamel.yaml", "rich.progress", "tqdm", "voluptuous", "fsspec.asyn",
    "dvc_s3", "s3fs",
)  # fmt: skip


def run(asked: dict[str, Any], out: int, errors: int) -> int:
    """The life of a child, up to its exit code."""
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (errors, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    sys.argv = ["dvc", *asked["words"]]
    try:
        code: int = importlib.import_module("dvc.cli").main(asked["words"])
        return code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


def told(descriptor: int) -> str:
    """What was written into a file of memory."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read().decode()


def serve() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    for name in LOADED:
        importlib.import_module(name)
    if "pygit2" in sys.modules:
        raise SystemExit("pygit2 is loaded, with the HOME of this process")
    for line in sys.stdin:
        out, errors = os.memfd_create("out"), os.memfd_create("errors")
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = run(json.loads(line), out, errors)
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answers.write(json.dumps([code, told(out), told(errors)]) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
