"""Bring together what plots draw over several moments.

Source: dvc 3.67 (`repo/plots`, `render/match.py`). What cannot be read is told beside what can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from everloop.errors import EverloopError
from everloop.pipelines.moments import WORKSPACE, has_commits, moments_of
from everloop.pipelines.plainvalues import plain
from everloop.pipelines.plotting.definitions import Defined, PlotRequest, by_name, defined, sources_of
from everloop.pipelines.plotting.points import Series, UnfitError, series
from everloop.pipelines.plotting.sources import Source, is_image, is_table, read
from everloop.pipelines.plotting.values import Options, Plot, PlotImage, PlotProblem, Plots, is_outside
from everloop.pipelines.readings import Problem, absent, problem_of
from everloop.pipelines.tree import Tree
from everloop.workspace import Workspace

_NOTHING = PlotRequest()


def show_plots(workspace: Workspace, request: PlotRequest = _NOTHING, revs: Sequence[str] = (WORKSPACE,)) -> Plots:
    """The plots of several moments, each with the points or images of all of them.

    Args:
        workspace: Where.
        request: What to draw, and how.
        revs: Branches, tags, hashes, experiments; `workspace` is the workspace, which comes first.

    Raises:
        NotFoundError: A revision is no commit, or there is no repository.
    """
    with moments_of(workspace, revs) as trees:
        found = [_Moment(name, tree, request) for name, tree in trees]
    problems: list[PlotProblem] = []
    plots: list[Plot] = []
    for name in dict.fromkeys(name for moment in found for name in moment.plots):
        shown = [moment for moment in found if name in moment.plots]
        plot, further = _plot(name, shown)
        plots.append(plot)
        problems += further
    problems += [moment.problem for moment in found if moment.problem is not None]
    return Plots(
        plots=tuple(plots),
        problems=tuple(problems),
        revisions=tuple(moment.name for moment in found if moment.has_definitions),
    )


def diff_plots(
    workspace: Workspace, request: PlotRequest = _NOTHING, revs: Sequence[str] = (), *, with_baseline: bool = False
) -> Plots:
    """The plots of revisions beside each other; nothing before the first commit.

    Args:
        workspace: Where.
        request: What to draw, and how.
        revs: None means the workspace, and the last commit if something changed since; one means it and the workspace.
        with_baseline: Of one experiment also the commit that it started from.

    Raises: as `show_plots`.
    """
    if not has_commits(workspace):
        return Plots()
    wanted = list(revs)
    if with_baseline and len(wanted) == 1 and wanted[0] != WORKSPACE:
        wanted += _baseline(workspace, wanted[0])
    if not wanted and workspace.git.is_dirty():
        wanted = ["HEAD"]
    if len(wanted) <= 1:
        wanted.append(WORKSPACE)
    return show_plots(workspace, request, wanted)


def _baseline(workspace: Workspace, rev: str) -> list[str]:
    """The commit that an experiment stands on, by its short hash."""
    listed = workspace.git.ask("for-each-ref", "--format=%(refname)", "refs/exps/")
    names = [line.split("/") for line in listed.splitlines()]
    return [(parts[2] + parts[3])[:7] for parts in names if len(parts) == 5 and parts[4] == rev][:1]


class _Moment:
    """The plots of one tree, with all that they draw."""

    def __init__(self, name: str, tree: Tree, request: PlotRequest) -> None:
        self.name = name
        self.problem: PlotProblem | None = None
        self._sources: dict[str, Source] = {}
        try:
            found = defined(tree, request)
        except EverloopError as error:
            found = Defined()
            self.problem = PlotProblem(plot="", revision=name, problem=problem_of(error))
        self.plots = by_name(found)
        self.has_definitions = bool(found.files) or self.problem is not None
        for own, options in self.plots.values():
            for path in sources_of(own, options):
                if path not in self._sources:
                    said = found.made.get(path, {}) | request.options
                    self._sources[path] = _source(tree, request, path, has_header=bool(said.get("header", True)))

    def sources(self, name: str) -> dict[str, Source]:
        """The files of a plot."""
        own, options = self.plots[name]
        return {path: self._sources[path] for path in sources_of(own, options)}


def _source(tree: Tree, request: PlotRequest, path: str, *, has_header: bool) -> Source:
    place = request.inside(path)
    if is_outside(place):
        # What lies outside of the workspace is none of its plots.
        return Source(problem=absent(path))
    source = read(tree, place, path, has_header=has_header)
    try:
        return source if is_table(path) else Source(content=plain(source.content, path), problem=source.problem)
    except EverloopError as error:
        return Source(problem=problem_of(error, path))


def _plot(name: str, shown: Sequence[_Moment]) -> tuple[Plot, list[PlotProblem]]:
    options: Options = {}
    for moment in reversed(shown):
        # The first moment has the last word.
        options = options | moment.plots[name][1]
    problems = [problem for moment in shown for problem in _source_problems(name, moment)]
    own = shown[0].plots[name][0]
    if is_image(own):
        images = tuple(image for moment in shown for image in _images(name, moment))
        seen = tuple(dict.fromkeys(image.revision for image in images))
        return Plot(name=own, is_image=True, images=images, revisions=seen, options={"title": own} | options), problems
    drawn: dict[str, Series] = {}
    for moment in shown:
        contents = {path: source.content for path, source in moment.sources(name).items() if source.content}
        try:
            drawn[moment.name] = series(own, moment.name, options, contents)
        except UnfitError as error:
            problems.append(PlotProblem(plot=name, revision=moment.name, problem=error.problem))
    return _joined(name, drawn), problems


def _joined(name: str, drawn: Mapping[str, Series]) -> Plot:
    there = {revision: each for revision, each in drawn.items() if each.points}
    first = next(iter(there.values()), Series())
    return Plot(
        name=name,
        points=tuple(point for each in there.values() for point in each.points),
        revisions=tuple(there),
        options={"title": name} | first.options,
        ys=first.ys,
    )


def _source_problems(name: str, moment: _Moment) -> Iterator[PlotProblem]:
    for path, source in moment.sources(name).items():
        problem: Problem | None = source.problem
        if problem is not None:
            yield PlotProblem(plot=name, revision=moment.name, source=path, problem=problem)


def _images(name: str, moment: _Moment) -> Iterator[PlotImage]:
    for path, source in moment.sources(name).items():
        if isinstance(source.content, bytes) and source.content:
            yield PlotImage(revision=moment.name, path=path, data=source.content)
