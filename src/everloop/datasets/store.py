"""What the datasets room promises about the batches that arrive.

Promises:
- A batch is accepted or quarantined whole; its bytes are kept either way, by digest, in the object store.
- An accepted batch never changes: the same name with other bytes is refused. A quarantined name may come again, mended.
- Handing in the same bytes under the same name again returns the outcome of the first time.
- Accepted batches are numbered in the order of acceptance; "everything up to number n" is the same for ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

import msgspec

from everloop.datasets.profile import Profile
from everloop.datasets.reading import Violation
from everloop.storage.operation import operation

State = Literal["accepted", "quarantined"]


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A named stream of batches under one contract (YAML text; its digest is the contract's version)."""

    name: str
    contract: str
    contract_digest: str
    defined_at: datetime


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One batch as it was judged. `seq` orders all batches of all datasets; `digest` addresses its bytes."""

    seq: int
    dataset: str
    name: str
    state: State
    digest: str
    size_bytes: int
    n_rows: int
    received_at: datetime
    contract_digest: str
    violations: list[Violation]


class DatasetStore(Protocol):
    """Datasets and their batches."""

    @operation("write")
    def define(self, dataset: str, contract: str, actor: str) -> Dataset:
        """Make a dataset, or give it a new contract (YAML text), which holds for the batches that come after.

        Raises:
            InvalidError: the contract is malformed; names line and key.
        """
        ...

    @operation("read")
    def list_datasets(self) -> list[Dataset]:
        """Return all datasets by name."""
        ...

    @operation("write")
    def ingest(self, dataset: str, batch: str, digest: str, actor: str) -> Batch:
        """Judge a batch, whose bytes are in the object store under `digest`, by the dataset's contract.

        Returns:
            The batch, accepted or quarantined with its violations.

        Raises:
            NotFoundError: no such dataset, or no such object.
            ConflictError: a batch of that name was accepted before with other bytes.
        """
        ...

    @operation("read")
    def list_batches(
        self, dataset: str | None = None, state: State | None = None, up_to: int | None = None
    ) -> list[Batch]:
        """Return batches in the order of arrival, up to number `up_to`; None means any."""
        ...

    @operation("read")
    def profile(self, seq: int) -> Profile | None:
        """Return the profile that was taken of a batch when it was judged; None when it could not be read at all."""
        ...
