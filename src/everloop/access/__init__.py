"""Who may, and the ledger of who did: an append-only, hash-chained record of every decision.

Roles and sign-in find their place here when they come; until then the hub serves loopback only.
"""

from everloop.access.ledger import Decision, Entry, Verification
from everloop.access.store import LedgerStore

__all__ = ["Decision", "Entry", "LedgerStore", "Verification"]
