"""Read a CSV or Parquet file as a table, by its address. Needs duckdb, an extra."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.data.address import BatchFile, FarFile, LocalFile, ModelFile, TrackedFile
from everloop.data.opening import meant, place
from everloop.errors import InvalidError
from everloop.workspace.tables import failures_named, import_duckdb, is_table

if TYPE_CHECKING:
    import duckdb


def read_table(
    address: str,
    *,
    rev: str | None = None,
    repo: str | None = None,
    remote: str | None = None,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> duckdb.DuckDBPyRelation:
    """A table by its address, without a checkout.

    The relation is read when it is asked (`.df()`, `.pl()`, `.fetchall()`, or anything that takes Arrow streams), and
    takes part in further SQL. Bytes that are not on this machine are brought to a temporary folder, which goes with the
    process.

    Args:
        address, rev, repo, remote: As in `open`. The name must end as those of tables do: `.csv`, `.parquet`, ...
        connection: Of duckdb; None means its default one, which `duckdb.sql` uses, too.

    Raises:
        NotInstalledError: duckdb is not installed.
        InvalidError: It is no table.
        NotFoundError, UnavailableError, FailedError: As `open`.
    """
    engine = import_duckdb()
    asked = meant(address, rev=rev, repo=repo)
    name = _name(asked)
    if not is_table(name):
        raise InvalidError(f"{address} is not read as a table: its name ends in none of .csv, .tsv, .parquet, .pq")
    found = place(asked, _folder(), remote=remote)
    # Under a name of its own, in which no sign means a pattern.
    suffix = "".join(Path(name.lower()).suffixes[-2:]) if name.lower().endswith(".gz") else Path(name.lower()).suffix
    link = _folder() / f"{hashlib.sha256(str(found).encode()).hexdigest()[:32]}{suffix}"
    if not link.is_symlink():
        link.symlink_to(found)
    with failures_named(f"{address} cannot be read as a table"):
        asking = connection or engine.default_connection()
        return asking.read_csv(str(link)) if ".csv" in suffix or ".tsv" in suffix else asking.read_parquet(str(link))


def _name(address: LocalFile | TrackedFile | FarFile | ModelFile | BatchFile) -> str:
    match address:
        case FarFile(url=url):
            return url.partition("?")[0]
        case BatchFile(batch=batch):
            # Batches are CSV files, also without the suffix.
            return batch if is_table(batch) else f"{batch}.csv"
        case _:
            return address.path


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="everloop-tables-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
