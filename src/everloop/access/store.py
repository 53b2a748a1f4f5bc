"""What the ledger promises.

Promises:
- Append only. An entry that was recorded never changes; a correction is a new entry.
- An entry is recorded in the same transaction as the change it speaks of: there is neither without the other.
- Entries are numbered without gaps in the order in which they were recorded.
"""

from __future__ import annotations

from typing import Protocol

from everloop.access.ledger import Decision, Entry, Verification
from everloop.storage.operation import operation


class LedgerStore(Protocol):
    """The record of every decision."""

    @operation("write")
    def record(self, decision: Decision) -> Entry:
        """Append a decision, or return the entry that its key has already.

        Raises:
            ConflictError: the key is taken by a decision of another kind or subject.
        """
        ...

    @operation("read")
    def entries(
        self, kind: str | None = None, subject: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[Entry]:
        """Return entries in order, from the one after number `after`; None means any."""
        ...

    @operation("read")
    def verify(self, head: str | None = None) -> Verification:
        """Check the chain up to its first break; with `head`, also that this hash (seen earlier) is still in it."""
        ...
