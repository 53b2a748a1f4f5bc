"""`ever evaluate`: a model's answers on held-out rows, as a stage of a pipeline or by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import msgspec

from everloop.cli.output import emit, hint, json_option, table


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="CSV of held-out rows.")
@click.option("--label", required=True, help="Column of the label, 0 or 1.")
@click.option("--model", "package", type=click.Path(exists=True, path_type=Path), help="Model package to score with.")
@click.option("--score", help="Column that holds the model's answers already, instead of --model.")
@click.option("--segment", "segments", multiple=True, help="Column to report by, as often as needed.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the metrics as JSON, for `ever metrics`.")
@json_option
def evaluate(
    data: Path,
    label: str,
    package: Path | None,
    score: str | None,
    segments: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Report metrics with intervals on held-out rows, also by segment.

    \b
    Example:
      ever evaluate --data holdout.csv --label late --model model --segment origin
      ever evaluate --data holdout.csv --label late --score score --output metrics.json
    """
    if (package is None) == (score is None):
        raise click.UsageError("give either --model or --score")
    from everloop.evaluation import evaluate as evaluate_scores
    from everloop.loop.gates import read_holdout, read_numbers
    from everloop.loop.project import PipelineSpec
    from everloop.loop.scoring import Scorer

    holdout = read_holdout(data, PipelineSpec(label=label, segments=list(segments)))
    if score is not None:
        answers = read_numbers(data, score)
    else:
        assert package is not None
        with tempfile.TemporaryDirectory(prefix="ever-evaluate-") as folder:
            # The package is loaded in a process of its own, as everywhere outside a gateway.
            (answers,) = Scorer().score([package], data, Path(folder) / "scores.json")
    report = evaluate_scores(holdout.labels, answers, holdout.segments)
    if output is not None:
        brief = {name: estimate.value for name, estimate in report.metrics.items()} | {"rows": report.n}
        output.write_bytes(msgspec.json.format(msgspec.json.encode(brief), indent=2) + b"\n")
    rows = [(n, f"{e.value:.4f}", f"{e.low:.4f}", f"{e.high:.4f}") for n, e in report.metrics.items()]
    emit(report, as_json=as_json, text=table(("metric", "value", "low", "high"), rows))
    hint("ever metrics show")
