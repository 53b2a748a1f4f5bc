"""What a stage asks of the machine that runs it: `meta.everloop.resources` of `dvc.yaml`."""

from __future__ import annotations

from typing import Any

from everloop.compute.job import Resources
from everloop.errors import InvalidError
from everloop.latepattern import LatePattern
from everloop.pipelines.values import Stage
from everloop.plaintext import nearest

_KEYS = ("cpus", "gpus", "memory")
_MEMORY = LatePattern(r"(\d+(?:\.\d+)?) *([KMGT]i?)?B?")
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def of(stage: Stage) -> Resources:
    """The resources of a stage: `{cpus: 2, gpus: 0.5, memory: 4GB}`, as far as it names them; else those of any job.

    Raises: as `declared`.
    """
    return declared(stage) or Resources()


def declared(stage: Stage) -> Resources | None:
    """The resources that a stage names; None when it says nothing of them.

    Raises:
        InvalidError: A key is not known, or a value is no amount; names the file, the stage and the key.
    """
    where = f"{stage.file}: stage {stage.name}: meta.everloop.resources"
    given: Any = stage.meta
    for key in ("everloop", "resources"):
        given = given.get(key) if isinstance(given, dict) else None
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidError(f"{where} must be a mapping of cpus, gpus and memory; found {given!r}")
    for key in given:
        if key not in _KEYS:
            near = nearest(str(key), _KEYS)
            raise InvalidError(f"{where}: the key {key!r} is not known" + (f"; do you mean {near!r}?" if near else ""))
    return Resources(
        cpus=_amount(given.get("cpus", 1.0), f"{where}.cpus"),
        gpus=_amount(given.get("gpus", 0.0), f"{where}.gpus"),
        memory_bytes=_memory(given.get("memory"), f"{where}.memory"),
    )


def _amount(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InvalidError(f"{where} must be a number that is not below 0, found {value!r}")
    return float(value)


def _memory(value: Any, where: str) -> int | None:
    if value is None:
        return None
    match = _MEMORY.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise InvalidError(f"{where} must be a number of bytes, or one with a unit as 4GB or 512MiB; found {value!r}")
    return int(float(match[1]) * _UNITS.get(match[2] or "", 1))
