"""Change how a plot of a stage is drawn, in its `dvc.yaml`; comments and everything else stay.

Source: dvc 3.67 (`Plots.modify`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines import definition
from everloop.pipelines.plotting import templates
from everloop.pipelines.plotting.values import Options
from everloop.pipelines.stagefile import StageFile
from everloop.pipelines.tree import FolderTree, pipeline_files
from everloop.pipelines.values import OutKind, Stage, StageOut
from everloop.workspace import Workspace
from everloop.workspace.autostage import stage as stage_in_git


def modify_plot(workspace: Workspace, path: str, options: Options, unset: Iterable[str] = ()) -> str:
    """Set and unset options of what a stage makes; an output that is no plot yet becomes one.

    Args:
        workspace: Where.
        path: Of the output, relative to the root.
        options: `template`, `x`, `y`, `x_label`, `y_label`, `title`, `header`.
        unset: Names of options to take away, before the others are set.

    Returns:
        The address of the stage.

    Raises:
        NotFoundError: No stage makes it, it does not have an option that is to be taken away, or there is no such
            template.
        InvalidError: It is a metric, or its stage is one of many that are written as one.
    """
    if "template" in options:
        templates.find(options["template"], workspace.layout.dvc_dir / "plots")
    with workspace.locked():
        stage, out = _maker(workspace, path)
        file = StageFile(workspace.root, stage.file)
        entry = file.entry(stage.name)
        if entry is None or out.kind is OutKind.METRIC:
            what = "is a metric" if entry is not None else f"is made by {stage.address}, which is written with others"
            raise InvalidError(f"{file.place(stage.name)}: {path} {what}", hint=f"change {stage.file} by hand")
        items = _plots(entry, out, file.place(stage.name))
        number = next(number for number, item in enumerate(items) if _is(item, out.written))
        _change(items, number, out, options, list(unset))
        file.write()
        stage_in_git(workspace, [stage.file])
    return stage.address


def _maker(workspace: Workspace, path: str) -> tuple[Stage, StageOut]:
    tree = FolderTree(workspace)
    for file in pipeline_files(tree):
        for stage in definition.read(tree, file).stages:
            for out in stage.outs:
                if out.path == path:
                    return stage, out
    raise NotFoundError(
        f"no stage makes {path}", hint="plots that no stage makes are changed under `plots` of dvc.yaml"
    )


def _plots(entry: dict[str, Any], out: StageOut, place: str) -> list[Any]:
    """The list of the stage's plots, with the output in it."""
    listed = entry.get(out.kind) or []
    found = next((item for item in listed if _is(item, out.written)), None)
    if found is None or (isinstance(found, dict) and isinstance(found[out.written], list)):
        raise InvalidError(f"{place}: {out.path} is written in a way that only a person can change")
    if out.kind is OutKind.PLOT:
        return listed
    listed.remove(found)
    if not listed:
        del entry[out.kind]
    plots: list[Any] = entry.setdefault("plots", [])
    plots.append(found)
    return plots


def _change(items: list[Any], number: int, out: StageOut, options: Options, unset: list[str]) -> None:
    item = items[number]
    said = item[out.written] if isinstance(item, dict) else None
    said = {} if said is None else said
    for name in unset:
        if name not in said:
            raise NotFoundError(
                f"the plot {out.path} has no option {name!r}", hint=f"it has: {', '.join(said) or 'none'}"
            )
        del said[name]
    said.update(options)
    if not said:
        items[number] = out.written
    elif isinstance(item, dict):
        item[out.written] = said
    else:
        items[number] = {out.written: said}


def _is(item: Any, written: str) -> bool:
    return item == written or (isinstance(item, dict) and list(item) == [written])
