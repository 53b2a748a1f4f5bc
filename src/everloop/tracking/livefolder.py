"""Reading a run's folder, written by Everloop or by DVCLive, into plain values.

Light but for a folder with `params.yaml` or `dvc.yaml`, which takes a YAML library.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

from everloop.errors import InvalidError, NotFoundError

IMAGES = (".jpg", ".jpeg", ".gif", ".png")


class Point(NamedTuple):
    """One row of a metric's history. `timestamp_ms` is milliseconds since 1970, where the writer kept them."""

    step: int
    value: float | str
    timestamp_ms: int | None = None


class LiveFolder(NamedTuple):
    """What a run's folder holds.

    Attributes:
        step: The last step that the summary knows; None when it counts no steps.
        summary: As in `metrics.json`: nested, with `step`.
        params: As in `params.yaml`.
        metrics: Name (`train/loss`) → its points, in the order of the file.
        images: Names below `plots/images`, sorted.
        plots: Path in the folder (`plots/custom/x.json`) → the records.
        plot_options: Path in the folder → how `dvc.yaml` says that it is drawn.
        artifacts: Name → path and facts, as in `dvc.yaml`.
    """

    step: int | None
    summary: dict[str, Any]
    params: dict[str, Any]
    metrics: dict[str, list[Point]]
    images: list[str]
    plots: dict[str, Any]
    plot_options: dict[str, dict[str, Any]]
    artifacts: dict[str, dict[str, Any]]


def load_live(folder: str | Path = "dvclive") -> LiveFolder:
    """Read a folder that a run, of Everloop or of DVCLive, wrote; it may still be going on.

    Raises:
        NotFoundError: There is no such folder.
        InvalidError: A file of it is malformed; names the file and the line.
    """
    root = Path(folder)
    if not root.is_dir():
        raise NotFoundError(f"there is no folder {root}", hint="A run writes it: everloop.start_run()")
    summary = _json(root / "metrics.json", {})
    if not isinstance(summary, dict):
        raise InvalidError(f"{root / 'metrics.json'} should hold a mapping, found {type(summary).__name__}")
    step = summary.get("step")
    histories, images, plots = root / "plots" / "metrics", root / "plots" / "images", root / "plots"
    options, artifacts = _described(root)
    return LiveFolder(
        step=step if isinstance(step, int) else None,
        summary=summary,
        params=_yaml(root / "params.yaml"),
        metrics={_name(histories, path): _points(path) for path in sorted(histories.rglob("*.tsv"))},
        images=sorted(_inside(images, path) for path in images.rglob("*") if path.suffix.lower() in IMAGES),
        plots={_inside(root, path): _json(path, None) for path in sorted(plots.rglob("*.json"))},
        plot_options=options,
        artifacts=artifacts,
    )


def _points(path: Path) -> list[Point]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        rows = list(reader)
    column = path.stem
    points = []
    for number, row in enumerate(rows):
        try:
            stamp = row.get("timestamp")
            points.append(Point(int(row["step"]), _value(row[column]), int(stamp) if stamp else None))
        except (KeyError, TypeError, ValueError) as error:
            if number == len(rows) - 1 and not path.read_bytes().endswith(b"\n"):
                break  # the writer died, or is in the middle of this line
            raise InvalidError(
                f"{path}:{number + 2}: should have the columns step and {column}, found {row}"
            ) from error
    return points


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _described(root: Path) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Plot options and artifacts out of the folder's own `dvc.yaml`, or the one beside it, where DVCLive writes."""
    for path, prefix in ((root / "dvc.yaml", ""), (root.parent / "dvc.yaml", f"{root.name}/")):
        found = _yaml(path)
        plots = [entry for entry in found.get("plots") or [] if isinstance(entry, dict)]
        options = {
            str(name).removeprefix(prefix): dict(values)
            for entry in plots
            for name, values in entry.items()
            if isinstance(values, dict) and str(name).startswith(prefix) and str(name).endswith(".json")
        }
        artifacts = found.get("artifacts")
        if options or isinstance(artifacts, dict) or (path.parent == root and found):
            return options, dict(artifacts) if isinstance(artifacts, dict) else {}
    return {}, {}


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _inside(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise InvalidError(f"{path} is not JSON: {error}") from error


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    from everloop.yamlfile import parse_yaml

    return parse_yaml(path.read_text(encoding="utf-8"), dict[str, Any], name=str(path))
