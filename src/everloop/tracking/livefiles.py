"""The folder that a run writes while it goes on, laid out as DVCLive's: `dvc` and `ever` read it as metrics and plots.

    dvclive/metrics.json                   the latest values, nested by the parts of their names, and `step`
    dvclive/params.yaml
    dvclive/plots/metrics/train/loss.tsv   `step` and `loss`, a row for each point
    dvclive/plots/images/…                 images
    dvclive/plots/custom/….json            records of a plot; `sklearn` beside it for the curves of classifiers
    dvclive/artifacts/…                    copies of files, when a copy was asked for
    dvclive/dvc.yaml                       what of it are params, metrics, plots, artifacts

Promises: every file appears, and changes, as a whole; a history grows by whole lines. So a reader, and whoever comes
after a crash, always finds readable files. Not thread-safe; leaves when to write to `live.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from everloop.errors import InvalidError
from everloop.tracking.yamltext import to_yaml

CURVES = "sklearn"
_PLOTS = ("metrics", "images", "custom", CURVES)
_QUOTED = frozenset('\t\n\r"')


class LiveFiles:
    """The files of one run.

    Args:
        folder: Where they are; made when missing.
        resume: Go on with what is there; otherwise the files of the run before are removed.
        describe: Write `dvc.yaml`, so that the files are found when no pipeline declares them.

    Raises:
        InvalidError: `resume` finds a file that is malformed.
    """

    def __init__(self, folder: Path, *, resume: bool, describe: bool) -> None:
        self.folder = folder
        self.summary: dict[str, Any] = {}
        self.params: dict[str, Any] = {}
        self._describes = describe
        self._described = ""
        self._has_history = False
        self._images = False
        self._plots: dict[str, dict[str, Any]] = {}
        self._artifacts: dict[str, dict[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if resume:
            self._take_up()
        else:
            self._clear()

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def params_file(self) -> Path:
        return self.folder / "params.yaml"

    def history_file(self, name: str) -> Path:
        """Where the points of a metric are."""
        return self.folder / "plots" / "metrics" / f"{name}.tsv"

    def add_points(self, name: str, points: Iterable[tuple[int, float | str]]) -> None:
        """Add (step, value) rows to the history of a metric.

        Raises:
            OSError: The disk is full, for one; nothing of them is written then.
        """
        path = self.history_file(name)
        text = "".join(f"{step}\t{_cell(value)}\n" for step, value in points)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = f"step\t{_cell(path.stem)}\n{text}"
        append(path, text.encode())
        self._has_history = True

    def set_latest(self, name: str, value: float | str) -> None:
        """Note the latest value of a metric for the summary; `a/b` is `b` of the mapping `a`, as in DVCLive."""
        *parts, last = name.split("/")
        at = self.summary
        for part in parts:
            inner = at.get(part)
            if not isinstance(inner, dict):
                inner = at[part] = {}
            at = inner
        at[last] = value

    def write_summary(self) -> None:
        """Write the latest values, and what the folder holds."""
        replace(self.metrics_file, json.dumps(self.summary, indent=4).encode() + b"\n")
        self.describe()

    def add_params(self, params: Mapping[str, Any]) -> None:
        """Add parameters, over those of the same name.

        Raises:
            InvalidError: A value is of a kind that no parameters file can hold; nothing is written.
        """
        together = {**self.params, **params}
        text = to_yaml(together)
        self.params = together
        replace(self.params_file, text.encode())
        self.describe()

    def add_image(self, name: str, data: bytes) -> Path:
        """Write an image file; return its path."""
        self._images = True
        return self._placed(self.folder / "plots" / "images" / name, data)

    def add_plot(self, name: str, data: Any, options: Mapping[str, Any], *, kind: str = "custom") -> Path:
        """Write the records of a plot, and note how it is drawn; return its path.

        Raises:
            InvalidError: A value is of a kind that JSON cannot hold; nothing is written.
        """
        path = self.folder / "plots" / kind / f"{name}.json"
        try:
            text = json.dumps(data, indent=4)
        except TypeError as error:
            raise InvalidError(
                f"plot {name!r}: {error}", hint="Its values are numbers, booleans, text and None."
            ) from error
        self._plots[path.relative_to(self.folder).as_posix()] = dict(options)
        return self._placed(path, text.encode() + b"\n")

    def add_artifact(self, name: str, source: Path, facts: Mapping[str, Any] | None, *, copy: bool) -> Path:
        """Note an artifact for `dvc.yaml`, unless `facts` is None; with `copy`, take a copy of it along."""
        path = source
        if copy:
            path = self.folder / "artifacts" / source.name
            path.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, path)
        if facts is not None:
            self._artifacts[name] = {"path": os.path.relpath(path, self.folder).replace(os.sep, "/"), **facts}
            self.describe()
        return path

    def describe(self) -> None:
        """Bring `dvc.yaml` up to date, if it is ours to write."""
        if not self._describes:
            return
        plots: list[Any] = [{"plots/metrics": {"x": "step"}}] if self._has_history else []
        plots += ["plots/images"] if self._images else []
        plots += [{path: options} for path, options in self._plots.items()]
        found = {
            "params": ["params.yaml"] if self.params else [],
            "metrics": ["metrics.json"] if self.summary else [],
            "plots": plots,
            "artifacts": self._artifacts,
        }
        text = to_yaml({key: value for key, value in found.items() if value})
        if text != self._described:
            replace(self.folder / "dvc.yaml", text.encode())
            self._described = text

    def _placed(self, path: Path, data: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data)
        self.describe()
        return path

    def _clear(self) -> None:
        stale = [path for kind in _PLOTS if (path := self.folder / "plots" / kind).exists()]
        if stale:
            import shutil  # as slow to import as the rest of a start, and only needed for what is there

            for path in stale:
                shutil.rmtree(path, ignore_errors=True)
        for name in ("metrics.json", "params.yaml", "dvc.yaml", "report.html", "report.md"):
            (self.folder / name).unlink(missing_ok=True)

    def _take_up(self) -> None:
        from everloop.tracking.livefolder import load_live

        found = load_live(self.folder)
        self.summary = found.summary
        self.params = found.params
        self._has_history = bool(found.metrics)
        self._images = bool(found.images)
        self._plots = found.plot_options
        self._artifacts = found.artifacts
        for name in found.metrics:
            _drop_torn_line(self.history_file(name))


def append(path: Path, data: bytes) -> None:
    """Add bytes to a file, all of them or none.

    Raises:
        OSError: The disk is full, for one.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write bytes at the end of an open file, all of them or none.

    Raises:
        OSError: The disk is full, for one.
    """
    before = os.fstat(descriptor).st_size
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def replace(path: Path, data: bytes) -> None:
    """Let a file have this content, so that a reader sees the old or the new one; not flushed to the disk.

    Raises:
        OSError: The disk is full, for one; the old file is untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def check_part(name: str, what: str) -> str:
    """Return a name that may be part of a path below the folder.

    Raises:
        InvalidError: It is empty, absolute, climbs with `..`, or holds what no file name can.
    """
    parts = name.split("/") if isinstance(name, str) else [""]
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or "\0" in name:
        raise InvalidError(
            f"{what} {name!r} cannot be a path inside the run's folder", hint="Name it like `loss` or `train/loss`."
        )
    return name


def _cell(value: float | str) -> str:
    if not isinstance(value, str):
        return repr(value)
    return '"' + value.replace('"', '""') + '"' if _QUOTED & set(value) else value


def _drop_torn_line(path: Path) -> None:
    """A machine that lost its power may leave half a line; the next one must not be glued to it."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        replace(path, data[: data.rfind(b"\n") + 1])


def _copy(source: Path, target: Path) -> None:
    import shutil

    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    if source.is_dir():
        shutil.copytree(source, target)
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.copyfile(source, aside)
    aside.replace(target)
