"""DVC's hash over a whole `.dvc` file, by which it tells that nobody has changed source or out by hand.

Source: dvc 3.67 (`stage/utils.py`, `compute_md5`). Imports have it, and all files of DVC before 1.0.
"""

from __future__ import annotations

from typing import Any

from everloop.workspace import yamlfile

_NOT_HASHED_AT_TOP = {"md5", "meta", "desc"}
_NOT_HASHED = {"desc", "type", "labels", "meta", "locked", "frozen", "metric", "persist", "isexec", "size", "nfiles"}


def digest(data: dict[str, Any]) -> str:
    """The hash of the record, in hex."""
    # Here, because few records have it.
    import hashlib
    import json

    plain = yamlfile.parse_plain(yamlfile.dump(data).decode(), "a record")
    hashed = {key: value for key, value in plain.items() if key not in _NOT_HASHED_AT_TOP}
    if hashed.get("wdir") == ".":
        del hashed["wdir"]
    return hashlib.md5(json.dumps(_pruned(hashed), sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if key not in _NOT_HASHED}
    return [_pruned(item) for item in value] if isinstance(value, list) else value
