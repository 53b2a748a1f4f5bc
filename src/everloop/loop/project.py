"""`everloop.yaml`: the one file that declares a project's loop, read into values with clear errors.

The digest of its text is the version of the policy that every automatic decision names.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from everloop import refs
from everloop.errors import InvalidError, NotFoundError
from everloop.evaluation import PromotionPolicy
from everloop.monitoring import LOOKS_PER_YEAR, DecayPolicy, DriftPolicy, WindowKind
from everloop.yamlfile import parse_yaml

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Days = Annotated[int, msgspec.Meta(ge=0, le=3660)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class DatasetSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dataset of the project: the folder its batches are checked out into, and its contract's file."""

    path: str
    contract: str


class PipelineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the pipeline makes: a model package, and held-out rows with the label to judge it on."""

    model: str = "model"
    holdout: str = "holdout.csv"
    label: str = "label"
    segments: list[str] = []


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One condition on the held-out rows. `segment` asks it of every value of that column with enough rows.

    Either a bound (`at_least`, `at_most`), or `against: champion` with `worse_by_at_most`, judged on the same rows.
    """

    metric: Literal["auc", "log_loss", "brier", "accuracy"]
    at_least: float | None = None
    at_most: float | None = None
    against: Literal["champion"] | None = None
    worse_by_at_most: float | None = None
    segment: str | None = None


class EndpointSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the model is served. `shadows` are aliases that always score the same rows, unseen by the caller.

    `label_delay_days`: predictions are judged this many days after they happened, when most labels have come.
    """

    name: str
    shadows: list[str] = []
    label_delay_days: Days = 0


class DriftMonitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Input drift against the champion's held-out rows, window by window. See `monitoring.DriftPolicy`."""

    window: WindowKind = "week"
    effect: Share = 0.1
    q: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.01
    share: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.3
    min_rows: Positive = 200

    def policy(self) -> DriftPolicy:
        return DriftPolicy(q=self.q, effect=self.effect, min_rows=self.min_rows, share=self.share)


class DecayMonitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decay of the champion's loss against its loss on held-out rows. See `monitoring.DecayPolicy`."""

    metric: Literal["log_loss", "brier"] = "log_loss"
    window: WindowKind = "week"
    tolerance: Annotated[float, msgspec.Meta(ge=0.0)] = 0.02
    alpha: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.05
    min_rows: Annotated[int, msgspec.Meta(ge=2)] = 200

    def policy(self) -> DecayPolicy:
        looks = LOOKS_PER_YEAR[self.window]
        return DecayPolicy(tolerance=self.tolerance, alpha=self.alpha, looks=looks, min_rows=self.min_rows)


class Monitors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    drift: DriftMonitor = DriftMonitor()
    decay: DecayMonitor = DecayMonitor()


class Triggers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What starts a retraining, and how long the loop waits after one, and after a challenge's end, for the next."""

    decay: bool = True
    drift: bool = False
    max_age_days: Days = 0
    cooldown_days: Days = 7


class Project(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of `everloop.yaml`.

    `environment` is that in which stages run; the pipelines read it.
    """

    project: str
    model: str
    endpoint: EndpointSpec
    datasets: dict[str, DatasetSource] = {}
    pipeline: PipelineSpec = PipelineSpec()
    gates: list[Gate] = []
    monitors: Monitors = Monitors()
    promotion: PromotionPolicy = PromotionPolicy()
    triggers: Triggers = Triggers()
    environment: str | float | bool | dict[str, str] | None = None


def parse_project(text: str, *, name: str = "everloop.yaml") -> Project:
    """Parse the text of an `everloop.yaml`.

    Raises:
        InvalidError: it is malformed; names the line, the key, and the nearest known word.
    """
    project = parse_yaml(text, Project, name=name)
    for value, what in ((project.project, "project"), (project.model, "model"), (project.endpoint.name, "endpoint")):
        refs.check_name(value, what)
    _check_datasets(project.datasets, name)
    for value, field in ((project.pipeline.model, "model"), (project.pipeline.holdout, "holdout")):
        _inside(value, f"{name}: pipeline.{field}")
    for position, gate in enumerate(project.gates):
        _check_gate(gate, project.pipeline.segments, f"{name}: gates[{position}]")
    return project


def read_project(folder: Path) -> tuple[Project, str]:
    """Read `everloop.yaml` of a workspace; return it and its text.

    Raises:
        NotFoundError: there is none.
        InvalidError: it is malformed.
    """
    path = folder / "everloop.yaml"
    if not path.is_file():
        raise NotFoundError(
            f"no everloop.yaml in {folder}", hint="Run this in a project's folder; `ever demo` makes one to look at."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{path} is not UTF-8 text: {error}") from error
    return parse_project(text, name=str(path)), text


def policy_digest(text: str) -> str:
    """Return the policy version of an `everloop.yaml`: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_datasets(datasets: dict[str, DatasetSource], name: str) -> None:
    folders: dict[Path, str] = {}
    for dataset, source in datasets.items():
        refs.check_name(dataset, "dataset")
        _inside(source.path, f"{name}: datasets.{dataset}.path")
        _inside(source.contract, f"{name}: datasets.{dataset}.contract")
        path = Path(source.path)
        for other, owner in folders.items():
            if path.is_relative_to(other) or other.is_relative_to(path):
                raise InvalidError(
                    f"{name}: datasets.{dataset}.path: {source.path!r} overlaps the folder of {owner!r}",
                    hint="Give each dataset a folder of its own: it is emptied and filled with the batches.",
                )
        folders[path] = dataset


def _inside(value: str, what: str) -> None:
    parts = Path(value).parts
    if not parts or Path(value).is_absolute() or ".." in parts or "\0" in value:
        raise InvalidError(f"{what}: {value!r} is not a path inside the project")


def _check_gate(gate: Gate, segments: list[str], where: str) -> None:
    if gate.segment is not None and gate.segment not in segments:
        raise InvalidError(
            f"{where}: segment {gate.segment!r} is not among pipeline.segments",
            hint=f"pipeline.segments are: {', '.join(segments) or 'none'}.",
        )
    if gate.segment is not None and gate.against is not None:
        raise InvalidError(f"{where}: `against: champion` is judged on all rows; take `segment` away")
    bounds = [bound for bound in (gate.at_least, gate.at_most, gate.against) if bound is not None]
    if len(bounds) != 1:
        raise InvalidError(f"{where}: give exactly one of at_least, at_most and against, found {len(bounds)}")
    if gate.against is not None and gate.worse_by_at_most is None:
        raise InvalidError(f"{where}: `against: champion` needs `worse_by_at_most`")
    if gate.against is None and gate.worse_by_at_most is not None:
        raise InvalidError(f"{where}: `worse_by_at_most` needs `against: champion`")
