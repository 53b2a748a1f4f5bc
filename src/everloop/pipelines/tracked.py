"""`repro` as a tracked run while it runs: told to the hub, or kept for `ever sync`; never a reason for it to fail.

The run is made when the first stage has to run, so a `repro` with nothing to do leaves no trace. Its stages' commands
get its id, and what `everloop.start_run` logs in them is added to it. Leaves running to whoever calls `repro`, and
the sending to `tracking`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.config import Settings
from everloop.errors import EverloopError
from everloop.pipelines.values import Event, EventKind, Outcome, StageReport
from everloop.version import __version__
from everloop.workspace import Workspace

if TYPE_CHECKING:
    from everloop.pipelines.usage import Sample, Usage
    from everloop.tracking.run import Metric
    from everloop.tracking.stream import Stream

Listener = Callable[[Event], None]

_LOCKED_PACKAGES = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "conda-lock.yml", "requirements.txt")


@contextmanager
def tracked(
    workspace: Workspace, settings: Settings, listener: Listener, tell: Callable[[str], None], *, name: str = "repro"
) -> Iterator[tuple[Listener, Mapping[str, str]]]:
    """Track the `repro` that is called within; gives its `on_event` and `environment`.

    Without a hub, and not offline, these are `listener` and nothing.

    Args:
        listener: Hears every event first.
        tell: Told in words what became of the run.
        name: Of the run.
    """
    if not settings.is_tracking:
        yield listener, {}
        return
    run = TrackedRun(workspace, settings, tell, name=name)

    def hear(event: Event) -> None:
        listener(event)
        run.hear(event)

    try:
        yield hear, run.environment
    except BaseException as error:
        run.end(error)
        raise
    run.end(None)


class TrackedRun:
    """One `repro` as a run. Thread-safe: stages may end at once."""

    def __init__(
        self, workspace: Workspace, settings: Settings, tell: Callable[[str], None], *, name: str = "repro"
    ) -> None:
        from everloop import refs  # here and below: a `repro` that nobody tracks does not pay for what tracking loads

        self.run_id = settings.run_id or refs.new_run_id()
        self._workspace = workspace
        self._settings = settings
        self._tell = tell
        self._name = name
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._usage: Usage | None = None
        self._n_samples = 0
        self._known: dict[str, float] = {}
        self._running: dict[str, None] = {}
        self._has_failed_stage = False
        self._is_excused = False

    @property
    def environment(self) -> dict[str, str]:
        """What the stages' commands have to know to join the run."""
        offline = {"EVERLOOP_OFFLINE": "1"} if self._settings.offline else {}
        return {"EVERLOOP_RUN_ID": self.run_id, **offline}

    def hear(self, event: Event) -> None:
        """Take an event of `repro`."""
        if event.kind is EventKind.PRINTED:
            return
        with self._lock:
            try:
                if event.kind is EventKind.STARTED:
                    self._running[event.stage] = None
                    self._begin()
                elif event.report is not None:
                    self._running.pop(event.stage, None)
                    self._take(event.report)
            except (EverloopError, OSError) as error:
                self._excuse(error)

    def end(self, error: BaseException | None) -> None:
        """End the run as the `repro` ended."""
        with self._lock:
            if self._stream is None:
                return
            try:
                self._take_rest(self._stream)
            except (EverloopError, OSError) as trouble:
                self._excuse(trouble)
            from everloop.tracking.recording import status_of

            if self._stream.end("failed" if self._has_failed_stage and error is None else status_of(error)):
                self._send_stages()
                self._tell(f"tracked as run {self.run_id}")

    def _begin(self) -> None:
        if self._stream is not None:
            return
        from everloop.pipelines.usage import Usage
        from everloop.tracking.starting import experiment_name
        from everloop.tracking.stream import open_stream

        self._stream = open_stream(
            self._settings.spool_path,
            self.run_id,
            experiment="" if self._settings.run_id else experiment_name(self._workspace.root.name),
            name=self._name,
            tags={"trigger": self._name},
            hub="" if self._settings.offline else self._settings.hub_url,
        )
        self._usage = Usage(self._sampled)
        self._put_circumstances(self._stream)

    def _put_circumstances(self, stream: Stream) -> None:
        """Params, commit, patch, environment and data, as they are when the run begins."""
        import hashlib
        import platform

        from everloop import refs
        from everloop.pipelines.measures import read_params
        from everloop.pipelines.record import data_versions
        from everloop.tracking.run import Edge
        from everloop.tracking.sending import text_of
        from everloop.tracking.spool import Entry

        root, git = self._workspace.root, self._workspace.git
        source = refs.run(self.run_id)
        data = data_versions(self._workspace)
        tags = {f"dataset.{name}": version for name, version in data.items()}
        tags |= {"python": platform.python_version(), "platform": platform.platform(), "everloop": __version__}
        for lock in (path for name in _LOCKED_PACKAGES if (path := root / name).is_file()):
            tags[f"packages.{lock.name}"] = hashlib.sha256(lock.read_bytes()).hexdigest()
        edges = [Edge(source=source, relation="used", target=refs.dataset(*each)) for each in data.items()]
        if git.has_commits():
            commit, patch = git.head(), git.patch()
            tags |= {"commit": commit, "dirty": str(bool(patch)).lower()}
            edges.append(Edge(source=source, relation="ran", target=refs.commit(commit)))
            if patch:
                stream.put_text("git.patch", patch)
        params = {key: text_of(value) for key, value in read_params(self._workspace).items()}
        stream.put([Entry(params=params, tags=tags, edges=edges)])

    def _take(self, report: StageReport) -> None:
        """A stage is finished: its log, and its metrics."""
        if self._stream is None:
            return
        from everloop.tracking.spool import Entry

        if report.log is not None:
            self._stream.put_file(f"logs/{report.stage}.log", Path(report.log))
        # By its word, as a `repro` that goes on after a failure raises nothing.
        self._has_failed_stage |= report.outcome.value == "failed"
        if report.outcome is Outcome.RAN:
            self._stream.put([Entry(metrics=self._new_metrics())])

    def _new_metrics(self) -> list[Metric]:
        """What the metrics files hold that they did not hold before; what a stage logs itself it has told itself."""
        from everloop.pipelines.measures import load_metrics
        from everloop.pipelines.params import flatten
        from everloop.tracking.spool import told_folders

        told = told_folders(self._settings.spool_path, self.run_id)
        found: dict[str, float] = {}
        for file, values in load_metrics(self._workspace).items():
            if (self._workspace.root / file).parent.resolve() in told:
                continue
            for key, value in flatten(values).items():
                if isinstance(value, int | float):
                    found[f"{file}:{key}" if key in found else key] = float(value)
        fresh = {key: value for key, value in found.items() if self._known.get(key) != value}
        self._known = found
        return [_metric(key, value) for key, value in fresh.items()]

    def _take_rest(self, stream: Stream) -> None:
        from everloop.tracking.spool import Entry

        if self._usage is not None:
            used = self._usage.stop()
            stream.put([Entry(metrics=[_metric(f"system/{key}", value) for key, value in used.items()])])
        logs = self._workspace.layout.scratch_dir / "logs"
        for stage in self._running:
            log = logs / f"{stage.replace('/', '-').replace(':', '-')}.log"
            if log.is_file():
                stream.put_file(f"logs/{stage}.log", log)
        lock = self._workspace.root / "dvc.lock"
        if lock.is_file():
            stream.put_file("dvc.lock", lock)

    def _send_stages(self) -> None:
        """Send what stages have left that could not send it themselves, as they were killed."""
        from everloop.tracking.sync import sync

        sync(self._settings.spool_path, self._settings.hub_url, runs=[self.run_id], tell=self._tell)

    def _sampled(self, sample: Sample) -> None:
        from everloop.tracking.spool import Entry

        if self._stream is not None:
            values = {"system/cpu_percent": sample.cpu_percent, "system/memory_mb": sample.memory_mb}
            self._stream.put([Entry(metrics=[_metric(k, v, self._n_samples) for k, v in values.items()])])
            self._n_samples += 1

    def _excuse(self, error: EverloopError | OSError) -> None:
        if not self._is_excused:
            self._is_excused = True
            self._tell(f"not all is tracked: {error.message if isinstance(error, EverloopError) else error}")


def _metric(key: str, value: float, step: int = 0) -> Metric:
    from everloop.tracking.run import Metric

    return Metric(key=key, value=value, step=step, logged_at=datetime.now(UTC))
