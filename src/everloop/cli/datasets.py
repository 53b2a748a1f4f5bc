"""`ever ingest` and `ever dataset`: batches, their contracts, and what became of them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from everloop.cli.output import emit, hint, json_option, table
from everloop.datasets.store import Batch
from everloop.server.client import open_hub


@click.command()
@click.argument("dataset")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--batch", help="Name of the batch [default: the file's name without its ending].")
@json_option
def ingest(dataset: str, files: tuple[Path, ...], batch: str | None, as_json: bool) -> None:
    """Hand batches of rows to a dataset of the hub; each is judged by the dataset's contract.

    An accepted batch is part of the dataset from now on. A batch that breaks the contract is quarantined whole, and
    the exit code is 1. Handing in the same batch again changes nothing.

    \b
    Example:
      ever ingest weather feed/2013-05-08.csv
    """
    if batch is not None and len(files) > 1:
        raise click.UsageError("--batch names one batch, so give one file")
    hub = open_hub()
    judged = [hub.hand_in(dataset, batch or path.stem, path.read_bytes()) for path in files]
    emit(judged, as_json=as_json, text=[line for each in judged for line in _lines(each)])
    if any(each.state == "quarantined" for each in judged):
        hint(f"mend the file and hand it in again under the same name; `ever dataset list {dataset}` shows what came")
        sys.exit(1)
    hint(f"ever dataset checkout {dataset} DIR")


def _lines(batch: Batch) -> list[str]:
    lines = [f"{batch.dataset}/{batch.name}: {batch.state}, {batch.n_rows:,} rows"]
    return lines + [f"  {violation.message}" for violation in batch.violations]


@click.group()
def dataset() -> None:
    """List datasets and batches, check them out."""


@dataset.command("list")
@click.argument("name", metavar="DATASET", required=False)
@json_option
def list_datasets(name: str | None, as_json: bool) -> None:
    """List datasets, or the batches of one."""
    hub = open_hub()
    if name is None:
        found = hub.datasets.list_datasets()
        rows = [(d.name, d.contract_digest[:12], f"{d.defined_at:%Y-%m-%d %H:%M}") for d in found]
        emit(found, as_json=as_json, text=table(("dataset", "contract", "defined"), rows))
        hint("ever dataset list DATASET")
        return
    batches = hub.datasets.list_batches(name)
    rows_ = [(b.seq, b.name, b.state, f"{b.n_rows:,}", b.digest[:12]) for b in batches]
    emit(batches, as_json=as_json, text=table(("seq", "batch", "state", "rows", "digest"), rows_))


@dataset.command()
@click.argument("name", metavar="DATASET")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@json_option
def checkout(name: str, folder: Path, as_json: bool) -> None:
    """Write every accepted batch of a dataset into a folder, as `<batch>.csv`; files that are there stay.

    \b
    Example:
      ever dataset checkout flights data/flights
    """
    written = open_hub().check_out(name, folder)
    emit({"written": written}, as_json=as_json, text=f"{len(written)} files written to {folder}")
    hint(f"ever add {folder}")
