"""The unmodified MLflow client in the peers' environment: a process that runs the functions that a test hands it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

PYTHON = Path(__file__).parents[1] / "peers/.venv/bin/python"

# Runs in the peers' environment. The functions get `mlflow`, a client, and what the test gives.
_WORKER = """
import json, os, sys, traceback
answers, sys.stdout = sys.stdout, sys.stderr
import mlflow

for line in sys.stdin:
    asked = json.loads(line)
    place = {}
    try:
        mlflow.set_tracking_uri(asked["url"])
        exec(compile(asked["code"], asked["name"], "exec"), place)
        answer = {"result": place[asked["name"]](mlflow, mlflow.MlflowClient(), *asked["args"])}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.tracking.fluent._active_experiment_id = None
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    print(json.dumps(answer), file=answers, flush=True)
"""


def refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, str]:
    """Say how the server refuses a call, by its error's code and message; runs in the peers' environment."""
    from mlflow.exceptions import MlflowException

    try:
        call(*args, **kwargs)
    except MlflowException as error:
        return error.error_code, str(error)
    raise AssertionError("it was not refused")


class MlflowPeer:
    """One process, its server `url`; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVERLOOP_", "MLFLOW_"))}
        self._process = subprocess.Popen(
            [PYTHON, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=kept | {"HOME": str(folder), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "GIT_PYTHON_REFRESH": "quiet"},
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function there, by its source: it gets the module, a client and `args`, and what it returns is JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        code = f"from __future__ import annotations\n{_source(refused)}\n{_source(function)}"
        asked = {"url": self.url, "code": code, "name": function.__name__, "args": args}
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]


def _source(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function))
