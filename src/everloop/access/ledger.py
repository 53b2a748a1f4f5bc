"""The ledger's nouns and its hash chain.

Each entry's hash covers every field of it and the hash of the entry before (Haber & Stornetta 1991, "How to time-stamp
a digital document"), so changing, removing or reordering an entry breaks every later one. Cutting entries off the end
is seen by whoever kept the last hash: `ever ledger verify --head`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec

GENESIS = "0" * 64


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a room asks the ledger to keep.

    `key` names the decision, so that recording it again (a workflow that was resumed) keeps one entry.
    `policy` is the digest of the everloop.yaml it was taken under; empty for what people do.
    `body` holds the numbers it was taken on.
    """

    key: str
    kind: str
    subject: str
    actor: str
    body: dict[str, Any]
    policy: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A kept decision. `seq` counts from 1 without gaps; `body` is JSON text exactly as it was hashed."""

    seq: int
    recorded_at: datetime
    key: str
    kind: str
    subject: str
    actor: str
    policy: str
    body: str
    previous: str
    hash: str

    def values(self) -> dict[str, Any]:
        """Return the body's numbers."""
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of checking the chain. `broken_seq` names the first entry that does not fit; None when all do."""

    ok: bool
    entries: int
    head: str
    broken_seq: int | None = None
    reason: str = ""


def entry_hash(entry: Entry) -> str:
    """Return the SHA-256, hex, over the entry's fields but `hash`, as a JSON list in their order."""
    fields = [getattr(entry, name) for name in Entry.__struct_fields__ if name != "hash"]
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


def check(entry: Entry, seq: int, previous: str) -> str:
    """Return why `entry` does not fit as number `seq` after `previous`; empty when it fits."""
    if entry.seq != seq:
        return f"entry {seq} is missing (found {entry.seq})"
    if entry.previous != previous:
        return f"entry {seq} does not follow the entry before it"
    if entry.hash != entry_hash(entry):
        return f"entry {seq} was changed after it was recorded"
    return ""
