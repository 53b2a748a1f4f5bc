"""Addresses of things, by which rooms refer to one another: `runs/7f3a…`, `models/delay@3`, `datasets/weather@9c1e…`.

An address is text that sorts, prints and travels; nothing here looks anything up.
"""

from __future__ import annotations

import re
import secrets
from pathlib import PurePosixPath

from everloop.errors import InvalidError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NOT_IN_MODELS = re.compile(r"[/:@\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
MODEL_NAME_BYTES = 255
_RUN = re.compile(r"[0-9a-f]{32}")
_LOGGED_MODEL = re.compile(r"m-[0-9a-f]{32}")


def check_name(name: str, what: str) -> str:
    """Return `name` when it may name a thing in paths, URLs and tables.

    Raises:
        InvalidError: it is not 1 to 128 letters, digits, dots, dashes or underscores, beginning with a letter or digit.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidError(
            f"{what} {name!r} is not a name",
            hint="Use 1 to 128 letters, digits, '.', '-' or '_', beginning with a letter or a digit.",
        )
    return name


def check_model_name(name: str) -> str:
    """Return `name` when it may name a registered model: MLflow's names, as far as they fit in an address and a path.

    Raises:
        InvalidError: it is empty, blank, longer than 255 bytes, `.` or `..`, or holds `/`, `:`, `@`, a backslash or a
            control character.
    """
    fits = not _NOT_IN_MODELS.search(name) and len(name.encode(errors="replace")) <= MODEL_NAME_BYTES
    if not name.strip() or name in {".", ".."} or not fits:
        raise InvalidError(
            f"{name[:100]!r} cannot name a registered model",
            hint="Use 1 to 255 bytes without '/', ':', '@', backslashes and control characters.",
        )
    return name


def check_run_id(run_id: str) -> str:
    """Return `run_id` when it is 32 hex digits.

    Raises:
        InvalidError: it is not.
    """
    if not _RUN.fullmatch(run_id):
        raise InvalidError(f"a run id is 32 hex digits, found {run_id!r}")
    return run_id


def check_model_id(model_id: str) -> str:
    """Return `model_id` when it is "m-" and 32 hex digits.

    Raises:
        InvalidError: it is not.
    """
    if not _LOGGED_MODEL.fullmatch(model_id):
        raise InvalidError(f"the id of a logged model is 'm-' and 32 hex digits, found {model_id[:100]!r}")
    return model_id


def check_path(path: str, what: str) -> str:
    """Return `path` in its plain form (`a/b`) when it is relative and stays inside its folder on every system.

    Raises:
        InvalidError: it is empty, absolute, climbs with `..`, or holds a backslash or a NUL.
    """
    plain = PurePosixPath(path)
    if not plain.parts or plain.is_absolute() or ".." in plain.parts or "\\" in path or "\0" in path:
        raise InvalidError(f"{what} {path!r} is not a relative path inside its folder")
    return str(plain)


def new_run_id() -> str:
    """Return a fresh random run id, 32 hex digits."""
    return secrets.token_hex(16)


def new_model_id() -> str:
    """Return a fresh random id of a logged model."""
    return f"m-{secrets.token_hex(16)}"


def run(run_id: str) -> str:
    return f"runs/{run_id}"


def model(name: str, version: int) -> str:
    return f"models/{name}@{version}"


def dataset(name: str, version: str) -> str:
    return f"datasets/{name}@{version}"


def commit(sha: str) -> str:
    return f"commits/{sha}"


def endpoint(name: str) -> str:
    return f"endpoints/{name}"


def prediction(prediction_id: str) -> str:
    return f"predictions/{prediction_id}"
