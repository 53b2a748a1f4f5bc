"""How experiments call `repro`: the one place that knows what its flags are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from everloop.pipelines import plan
from everloop.pipelines.commit import Confirm
from everloop.pipelines.graph import Graph
from everloop.pipelines.plan import Reach
from everloop.pipelines.repro import repro as reproduce
from everloop.pipelines.values import Event, OnError, Report
from everloop.workspace import Workspace


def addresses(
    workspace: Workspace, whole: Graph, targets: Iterable[str] | None, options: Mapping[str, Any]
) -> list[str]:
    """The stages and `.dvc` files that `repro` looks at for these words.

    Raises:
        NotFoundError: A target means nothing.
    """
    folder = _folder(workspace, options)
    return list(plan.make(workspace, whole, targets, _reach(options), folder).addresses)


def repro(
    workspace: Workspace,
    targets: Iterable[str] | None,
    options: Mapping[str, Any],
    *,
    name: str,
    baseline: str,
    root: Path,
    on_event: Callable[[Event], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    confirm: Confirm | None = None,
) -> Report:
    """Bring the stages of an experiment up to date.

    Args:
        workspace: Where they run.
        targets: Which; None means all.
        options: Further words of `repro` and `Reach`, as they are kept in a file: `{"force": True, "glob": True,
            "on_error": "keep-going", "folder": "sub"}`; the folder is relative to the root.
        name: Of the experiment; commands see it as `DVC_EXP_NAME`.
        baseline: The commit it is derived from; `DVC_EXP_BASELINE_REV`.
        root: The user's workspace, of which the one at hand may be a worktree; `DVC_ROOT`.
        on_event: Told what happens.
        should_stop: Asked a few times per second; True ends it.
        confirm: Asked before each stage.

    Raises: as `pipelines.repro`.
    """
    environment = {"DVC_EXP_NAME": name, "DVC_EXP_BASELINE_REV": baseline, "DVC_ROOT": str(root)}
    words = {word: value for word, value in options.items() if word not in _TRANSLATED}
    return reproduce(
        workspace,
        targets,
        folder=_folder(workspace, options),
        reach=_reach(options),
        on_error=OnError(options.get("on_error", OnError.FAIL)),
        on_event=on_event,
        should_stop=should_stop,
        environment=environment,
        confirm=confirm,
        **words,
    )


_TRANSLATED = frozenset({"folder", "on_error", *Reach.__struct_fields__})


def _reach(options: Mapping[str, Any]) -> Reach:
    return Reach(**{word: value for word, value in options.items() if word in Reach.__struct_fields__})


def _folder(workspace: Workspace, options: Mapping[str, Any]) -> Path:
    return workspace.root / str(options.get("folder", "."))
