"""The light logger: what a training script tells of itself, as files that DVC reads, and to the hub when there is one.

    import everloop

    with everloop.start_run() as run:
        run.log_params({"lr": 0.1})
        for epoch in range(10):
            run.log(loss=train(), step=epoch)

`log` only notes its values; a thread writes them a moment later, and `flush`, `end` or the end of the process write
what is left. Without a hub nothing but the files is made, and nothing heavy is imported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from everloop.errors import NotFoundError
from everloop.tracking.livefiles import CURVES, check_part
from everloop.tracking.plainvalues import number, plain, records, whole_step
from everloop.tracking.recording import Note, Recorder, status_of

if TYPE_CHECKING:
    from everloop.tracking.run import Status


class LiveRun:
    """A run that goes on. Made by `start_run`. Thread-safe.

    What is logged after the end, or in a fork of the process, is not written.

    Attributes:
        folder: Where its files are.
        run_id: Its id on the hub; None without one.
        step: The step that `log` counts for; starts at 0, or after the last one when a run is resumed.
    """

    def __init__(self, recorder: Recorder, step: int | None) -> None:
        self.folder = recorder.files.folder
        self.run_id = recorder.stream.run_id if recorder.stream is not None else None
        self._recorder = recorder
        self._step = step
        self._known: set[str] = set()

    @property
    def step(self) -> int:
        return self._step or 0

    @step.setter
    def step(self, value: int) -> None:
        self._step = whole_step(value)

    @property
    def summary(self) -> dict[str, Any]:
        """The latest value of each metric, nested by the parts of its name, as in `metrics.json`."""
        self._recorder.flush()
        return dict(self._recorder.files.summary)

    # --- values

    def log(self, values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **named: Any) -> None:
        """Note metrics of a step: `run.log(loss=0.3)`, `run.log({"train/loss": 0.3}, step=7)`.

        Args:
            values: By name; `train/loss` is `loss` of the group `train`. Numbers, or what `float` takes, as an array or
                tensor of one value; text is shown, but drawn by nobody.
            step: Of these values and those to come; None is the step at which the run is.

        Raises:
            InvalidError: A name cannot be a file's, or a value is no number.
        """
        if values is not None:
            named = {**values, **named}
        if step is not None:
            self._step = whole_step(step)
        self._recorder.note(Note(self._step, time.time_ns(), self._checked(named), True, step is not None))

    def log_metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Note several metrics; the same as `log`."""
        self.log(values, step=step)

    def log_metric(self, name: str, value: Any, step: int | None = None) -> None:
        """Note one metric; the same as `log`."""
        self.log({name: value}, step=step)

    def log_summary(self, values: Mapping[str, Any]) -> None:
        """Note values of the run as a whole, as a test score: they are latest values only, and no history is drawn."""
        self._recorder.note(Note(self._step, time.time_ns(), self._checked(dict(values)), is_drawn=False))

    def log_param(self, name: str, value: Any) -> None:
        """Note one parameter."""
        self.log_params({name: value})

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Write parameters to `params.yaml`, over those of the same name.

        Args:
            params: Numbers, booleans, text, None, and lists and mappings of these.

        Raises:
            InvalidError: A value is of another kind; nothing is written.
        """
        self._recorder.add_params(plain(params))

    def next_step(self) -> None:
        """End a step: its values become the summary's, and the next one is counted for."""
        step = self._step or 0
        self._recorder.note(Note(step, time.time_ns(), {}, is_counted=True))
        self._step = step + 1

    # --- files

    def log_image(self, name: str, image: Any) -> None:
        """Write an image as `plots/images/{name}`.

        Args:
            name: Its suffix says the format: .png, .jpg, .jpeg, .gif. `samples/3.png` is step 3 of a slider.
            image: An array of uint8, `(height, width)` or `(height, width, channels)`; a matplotlib figure; a PIL
                image; or the path of an image file.

        Raises:
            InvalidError: The name or the value will not do.
            NotFoundError: There is no such file.
        """
        from everloop.tracking.picture import SUFFIXES, image_bytes

        check_part(name, "image")
        if isinstance(image, str | os.PathLike) and not name.lower().endswith(SUFFIXES):
            name += Path(image).suffix
        data = image_bytes(name, image)
        self._recorder.place(lambda files: files.add_image(name, data))

    def log_plot(
        self,
        name: str,
        datapoints: Any,
        x: str,
        y: str | list[str],
        *,
        template: str | None = "linear",
        title: str | None = None,
        x_label: str | None = None,
        y_label: str | None = None,
    ) -> None:
        """Write records as the plot `plots/custom/{name}.json`.

        Args:
            datapoints: A list of mappings with the keys `x` and `y`, or a data frame.
            template: How DVC draws it: `linear`, `scatter`, `bar_horizontal`, `confusion`, …

        Raises:
            InvalidError: These are no records.
        """
        name = check_part(name.removesuffix(".json"), "plot")
        given = {"template": template, "x": x, "y": y, "title": title, "x_label": x_label, "y_label": y_label}
        options = {key: value for key, value in given.items() if value is not None}
        rows = records(name, datapoints)
        self._recorder.place(lambda files: files.add_plot(name, rows, options))

    def log_sklearn_plot(
        self,
        kind: str,
        labels: Iterable[Any],
        predictions: Iterable[Any],
        name: str | None = None,
        *,
        normalized: bool = False,
        **options: str,
    ) -> None:
        """Write a classifier's curve as the plot `plots/sklearn/{name}.json`; scikit-learn is not needed.

        Args:
            kind: `calibration`, `confusion_matrix`, `det`, `precision_recall` or `roc`.
            labels: `(n,)` true labels.
            predictions: `(n,)` predicted labels for `confusion_matrix`, else scores.
            name: Of the file; None is the kind.
            normalized: Of a confusion matrix, shares instead of counts.
            options: `title`, `x_label`, `y_label`.

        Raises:
            InvalidError: The kind is unknown, the lengths differ, or there are not two classes where two are needed.
        """
        from everloop.tracking.curves import OPTIONS, curve

        data = curve(kind, labels, predictions)
        name = check_part((name or kind).removesuffix(".json"), "plot")
        drawn = {**OPTIONS[kind], **({"template": "confusion_normalized"} if normalized else {}), **options}
        self._recorder.place(lambda files: files.add_plot(name, data, drawn, kind=CURVES))

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        *,
        type: str | None = None,  # noqa: A002  DVC's word
        name: str | None = None,
        desc: str | None = None,
        labels: list[str] | None = None,
        meta: Mapping[str, Any] | None = None,
        copy: bool = False,
    ) -> None:
        """Note a file or folder that the run made; the hub gets its bytes as they are now.

        `type`, `name`, `desc`, `labels` and `meta` describe it among the `artifacts` of `dvc.yaml`. To keep its bytes
        under version is left to the pipeline's `outs` or `ever add`.

        Args:
            copy: Take a copy along in `artifacts/` of the run's folder.

        Raises:
            NotFoundError: There is no such file or folder.
        """
        source = Path(path)
        if not source.exists():
            raise NotFoundError(f"artifact {source} does not exist", hint="log it after it was written")
        given = {"type": type, "desc": desc, "labels": labels, "meta": meta}
        facts = {key: value for key, value in given.items() if value is not None}
        described = facts if facts or name is not None else None
        self._recorder.add_artifact(name or source.stem, source, described, copy=copy)

    # --- the end

    def flush(self) -> None:
        """Write what was noted, now."""
        self._recorder.flush()

    def end(self, status: Status = "finished") -> None:
        """End the run: write what is left, and tell the hub. Again: nothing."""
        self._recorder.end(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(status_of(error))

    def _checked(self, values: dict[str, Any]) -> dict[str, float | str]:
        for name, value in values.items():
            if type(value) is not float:
                values[name] = number(name, value)
            if name not in self._known:
                self._known.add(check_part(name, "metric"))
        return values
