"""Compare what a pipeline made anew with what a revision recorded, and say so in a certificate.

Bytes are compared by hash. Metrics whose bytes differ are compared number by number, within a tolerance that the
certificate states. Leaves running the pipeline to `reproduction.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from everloop.errors import InvalidError
from everloop.pipelines import params
from everloop.pipelines.tree import Tree
from everloop.pipelines.values import LockedStage, OutKind, Stage, StageOut
from everloop.workspace import Content

_MOST_SHOWN = 10


class Verdict(StrEnum):
    """How something that was made anew compares with what was recorded."""

    IDENTICAL = "identical"
    WITHIN = "within tolerance"
    DIFFERENT = "different"


class OutputCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One output.

    Attributes:
        path: Relative to the root.
        expected, found: MD5s; None where nothing was recorded, or made.
        where: What differs, as far as it is known: files of a directory, `key: 0.71 -> 0.73` of metrics.
    """

    path: str
    stage: str
    verdict: Verdict
    expected: str | None
    found: str | None
    where: tuple[str, ...] = ()


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What came out when a revision was run again.

    Attributes:
        revision: As it was asked for.
        commit: In full.
        verdict: The worst of all outputs.
        tolerance: Numbers a (recorded) and b (found) of metrics agree when |a - b| <= tolerance * max(1, |a|).
        outputs: In the order of the pipeline.
        inputs: What the revision itself has otherwise than its `dvc.lock` says, so that outputs need not be the same.
        not_run: Stages that are frozen; their outputs are those that were recorded.
        python, platform, everloop: With what it was run.
        started_at: UTC, ISO 8601.
        seconds: Wall time of the pipeline.
    """

    revision: str
    commit: str
    verdict: Verdict
    tolerance: float
    outputs: tuple[OutputCheck, ...]
    inputs: tuple[str, ...]
    not_run: tuple[str, ...]
    python: str
    platform: str
    everloop: str
    started_at: str
    seconds: float

    def lines(self) -> list[str]:
        """The certificate for people."""
        said = [f"{self.revision} ({self.commit[:12]}) was run again: {self.verdict}"]
        for check in self.outputs:
            said.append(f"  {check.path} of {check.stage}: {check.verdict}")
            said += [f"    {each}" for each in check.where[:_MOST_SHOWN]]
            said += [f"    and {len(check.where) - _MOST_SHOWN:,} more"] if len(check.where) > _MOST_SHOWN else []
        said += [f"  mind: {each}" for each in self.inputs]
        said += [f"  {stage} is frozen, so it was not run" for stage in self.not_run]
        return [*said, f"  Python {self.python} on {self.platform}, {self.seconds:.1f} s, tolerance {self.tolerance:g}"]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two that are compared.

    Attributes:
        tree: Its files.
        locked: What is recorded of a stage, by its address.
        listings: Gives the files of a directory by its MD5; None where they are not known.
    """

    tree: Tree
    locked: Mapping[str, LockedStage]
    listings: Callable[[str], dict[str, str] | None]


def check_outputs(stages: Iterable[Stage], expected: Side, found: Side, tolerance: float) -> list[OutputCheck]:
    """Compare all outputs of stages."""
    return [_check(stage, out, expected, found, tolerance) for stage in stages for out in stage.outs]


def changed_inputs(stages: Iterable[Stage], expected: Side, found: Side) -> list[str]:
    """What stages had that no stage makes, and what was recorded otherwise; in words."""
    stages = list(stages)
    made = {out.path for stage in stages for out in stage.outs}
    said = []
    for stage in stages:
        then, now = expected.locked.get(stage.address), found.locked.get(stage.address)
        if then is None or now is None:
            said.append(f"dvc.lock of the revision has no run of {stage.address}")
            continue
        if then.command != now.command:
            said.append(f"the command of {stage.address} is not that of its recorded run")
        said += [
            f"the params of {stage.address} in {file} are not those of its recorded run"
            for file in now.params
            if now.params[file] != then.params.get(file)
        ]
        for dep in stage.deps:
            inside = any(dep.path == path or dep.path.startswith(f"{path}/") for path in made)
            if not inside and _md5(then.deps.get(dep.written)) != _md5(now.deps.get(dep.written)):
                said.append(f"{dep.path}, which {stage.address} reads, is not that of its recorded run")
    return said


def worst(checks: Iterable[OutputCheck]) -> Verdict:
    """The verdict over all."""
    order = list(Verdict)
    return max((check.verdict for check in checks), key=order.index, default=Verdict.IDENTICAL)


def _check(stage: Stage, out: StageOut, expected: Side, found: Side, tolerance: float) -> OutputCheck:
    then = _content(expected, stage, out)
    now = _content(found, stage, out)
    verdict, where = Verdict.DIFFERENT, ["nothing was recorded" if then is None else ""]
    if then is not None and _md5(then) == _md5(now):
        verdict, where = Verdict.IDENTICAL, []
    elif then is not None and now is not None and then.is_directory and now.is_directory:
        where = _files(expected, found, then.md5, now.md5)
    elif then is not None and out.kind is OutKind.METRIC:
        verdict, where = _metrics(expected.tree, found.tree, out.path, tolerance)
    return OutputCheck(
        path=out.path,
        stage=stage.address,
        verdict=verdict,
        expected=_md5(then),
        found=_md5(now),
        where=tuple(filter(None, where)),
    )


def _content(side: Side, stage: Stage, out: StageOut) -> Content | None:
    locked = side.locked.get(stage.address)
    return None if locked is None else locked.outs.get(out.written)


def _md5(content: Content | None) -> str | None:
    return None if content is None else content.md5


def _files(expected: Side, found: Side, then: str, now: str) -> list[str]:
    before, after = expected.listings(then), found.listings(now)
    if before is None or after is None:
        return ["which of its files differ is not known, because a listing is not in the cache"]
    words = {(True, True): "differs", (True, False): "was not made", (False, True): "is new"}
    names = sorted(before.keys() | after.keys())
    return [f"{name} {words[name in before, name in after]}" for name in names if before.get(name) != after.get(name)]


def _metrics(expected: Tree, found: Tree, path: str, tolerance: float) -> tuple[Verdict, list[str]]:
    try:
        then, now = (params.load(tree, path) for tree in (expected, found))
    except InvalidError as error:
        return Verdict.DIFFERENT, [error.message]
    if then is None or now is None:
        return Verdict.DIFFERENT, ["its bytes of then are neither in Git nor in the cache"]
    before, after = params.flatten(then), params.flatten(now)
    where = []
    verdict = Verdict.WITHIN
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old != new:
            where.append(f"{key}: {old} -> {new}")
            verdict = verdict if _agree(old, new, tolerance) else Verdict.DIFFERENT
    return verdict, where


def _agree(old: Any, new: Any, tolerance: float) -> bool:
    if isinstance(old, bool) or isinstance(new, bool):
        return False
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return all(one == other or _agree(one, other, tolerance) for one, other in zip(old, new, strict=True))
    if not isinstance(old, int | float) or not isinstance(new, int | float):
        return False
    # Two that are not a number are the same answer, though not equal.
    return (old != old and new != new) or abs(old - new) <= tolerance * max(1.0, abs(old))  # noqa: PLR0124
