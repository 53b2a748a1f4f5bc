"""The hash chain by itself: what an entry's hash covers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from everloop.access.ledger import GENESIS, Entry, check, entry_hash

ENTRY = Entry(
    seq=1,
    recorded_at=datetime(2013, 3, 1, tzinfo=UTC),
    key="k",
    kind="promotion",
    subject="models/delay@3",
    actor="ada",
    policy="",
    body='{"auc":0.7}',
    previous=GENESIS,
    hash="",
)


def test_the_hash_is_sha256_over_the_fields_as_a_json_list() -> None:
    text = f'[1,"2013-03-01T00:00:00Z","k","promotion","models/delay@3","ada","","{{\\"auc\\":0.7}}","{GENESIS}"]'
    assert entry_hash(ENTRY) == hashlib.sha256(text.encode()).hexdigest()


def test_an_entry_fits_only_in_its_place() -> None:
    whole = msgspec.structs.replace(ENTRY, hash=entry_hash(ENTRY))
    assert check(whole, 1, GENESIS) == ""
    assert "missing" in check(whole, 2, GENESIS)
    assert "follow" in check(whole, 1, "f" * 64)
    assert "changed" in check(msgspec.structs.replace(whole, actor="eve"), 1, GENESIS)


def test_moving_text_from_one_field_to_the_next_changes_the_hash() -> None:
    moved = msgspec.structs.replace(ENTRY, key="", kind="kpromotion")
    assert entry_hash(moved) != entry_hash(ENTRY)
