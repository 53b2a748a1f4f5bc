"""What every LedgerStore promises, over each backend, and what its chain shows of a table that was tampered with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from everloop.access import Decision, LedgerStore, Verification
from everloop.access.ledger import GENESIS, entry_hash
from everloop.access.sql import SqlLedger, ledger
from everloop.errors import ConflictError
from everloop.storage.database import Database
from everloop.storage.migrations import migrate
from tests.stores import Stores

ENTRIES = 5


@pytest.fixture
def store(platform: Stores) -> LedgerStore:
    return platform.ledger


def decision(number: int, **changes: Any) -> Decision:
    made = Decision(
        key=f"promote/{number}",
        kind="promotion",
        subject="endpoints/flight-delay",
        actor="ada",
        body={"auc": 0.7, "n": number, "why": "besser, weil größer ☃"},
        policy="ab" * 32,
    )
    return msgspec.structs.replace(made, **changes)


def test_an_empty_ledger_is_whole(store: LedgerStore) -> None:
    assert store.verify() == Verification(ok=True, entries=0, head=GENESIS)
    assert store.verify(GENESIS).ok
    assert store.entries() == []


def test_an_entry_keeps_the_whole_decision(store: LedgerStore) -> None:
    before = datetime.now(UTC)
    entry = store.record(decision(1))
    assert before <= entry.recorded_at <= datetime.now(UTC)
    kept = {name: getattr(entry, name) for name in ("key", "kind", "subject", "actor", "policy")}
    assert kept | {"body": entry.values()} == msgspec.structs.asdict(decision(1))
    assert (entry.seq, entry.previous) == (1, GENESIS)
    assert store.entries() == [entry]


def test_entries_are_numbered_and_chained_in_order(store: LedgerStore) -> None:
    made = [store.record(decision(number)) for number in range(1, 4)]
    assert [entry.seq for entry in made] == [1, 2, 3]
    assert [entry.previous for entry in made] == [GENESIS, made[0].hash, made[1].hash]
    assert store.verify() == Verification(ok=True, entries=3, head=made[-1].hash)


def test_a_decision_recorded_again_keeps_its_first_entry(store: LedgerStore) -> None:
    first = store.record(decision(1))
    assert store.record(decision(1, actor="worker-2", body={"auc": 0.8})) == first
    assert store.entries() == [first]


def test_a_key_of_another_decision_is_a_conflict(store: LedgerStore) -> None:
    store.record(decision(1))
    for change in ({"kind": "rollback"}, {"subject": "endpoints/other"}):
        with pytest.raises(ConflictError, match="promote/1"):
            store.record(decision(1, **change))
    assert store.verify().entries == 1


def test_entries_are_found_by_kind_subject_and_place(store: LedgerStore) -> None:
    store.record(decision(1))
    store.record(decision(2, kind="rollback"))
    store.record(decision(3, subject="models/delay@3"))

    def found(**filters: Any) -> list[int]:
        return [entry.seq for entry in store.entries(**filters)]

    assert found() == [1, 2, 3]
    assert found(kind="promotion") == [1, 3]
    assert found(subject="endpoints/flight-delay") == [1, 2]
    assert found(kind="rollback", subject="models/delay@3") == []
    assert found(after=1) == [2, 3]
    assert found(after=1, limit=1) == [2]


def test_a_head_seen_earlier_is_still_in_the_chain(store: LedgerStore) -> None:
    heads = [store.record(decision(number)).hash for number in range(1, 4)]
    assert all(store.verify(head).ok for head in heads)


def test_a_head_that_was_never_there_is_reported(store: LedgerStore) -> None:
    store.record(decision(1))
    found = store.verify("f" * 64)
    assert (found.ok, found.broken_seq) == (False, 2)


def test_threads_that_record_at_once_leave_no_gap(store: LedgerStore) -> None:
    with ThreadPoolExecutor(6) as pool:
        seqs = list(pool.map(lambda number: store.record(decision(number // 2)).seq, range(24)))
    assert sorted(set(seqs)) == list(range(1, 13))
    assert store.verify().entries == 12


# --- a table that was tampered with


@pytest.fixture
def kept(database: Database) -> SqlLedger:
    """A ledger of ENTRIES entries, whose table the tests then damage."""
    migrate(database, ["access"])
    store = SqlLedger(database)
    for number in range(1, ENTRIES + 1):
        store.record(decision(number))
    return store


def in_place(store: SqlLedger, statement: sa.Executable) -> None:
    with store.database.write() as connection:
        connection.execute(statement)


def test_an_entry_taken_out_is_missed(kept: SqlLedger) -> None:
    in_place(kept, sa.delete(ledger).where(ledger.c.seq == 2))
    found = kept.verify()
    assert (found.ok, found.broken_seq) == (False, 2)
    assert "missing" in found.reason


def test_a_tail_cut_off_is_seen_by_who_kept_the_head(kept: SqlLedger) -> None:
    head = kept.verify().head
    in_place(kept, sa.delete(ledger).where(ledger.c.seq >= ENTRIES))
    assert kept.verify().ok
    found = kept.verify(head)
    assert (found.ok, found.broken_seq) == (False, ENTRIES)
    assert "cut off" in found.reason


def test_two_entries_exchanged_are_seen(kept: SqlLedger) -> None:
    for old, new in ((2, 99), (3, 2), (99, 3)):
        in_place(kept, sa.update(ledger).where(ledger.c.seq == old).values(seq=new))
    assert kept.verify().broken_seq == 2


def test_an_entry_rewritten_with_a_fitting_hash_breaks_the_next(kept: SqlLedger) -> None:
    forged = msgspec.structs.replace(kept.entries()[1], actor="eve")
    forged = msgspec.structs.replace(forged, hash=entry_hash(forged))
    in_place(kept, sa.update(ledger).where(ledger.c.seq == 2).values(actor=forged.actor, hash=forged.hash))
    assert kept.verify().broken_seq == 3


TEXTS = [column.name for column in ledger.c if isinstance(column.type, sa.Text)]
NUMBERS = [column.name for column in ledger.c if column.name not in TEXTS]


def raw(database: Database, seq: int, name: str) -> Any:
    query = f"SELECT {name} FROM ledger WHERE seq = {seq}"
    with database.read() as connection:
        return connection.exec_driver_sql(query).scalar_one()


def overwrite(database: Database, seq: int, name: str, value: Any) -> None:
    """Put a value where SQLAlchemy's types cannot correct it; bytes as text, whether they are UTF-8 or not."""
    mark = "?" if database.is_sqlite else "%s"
    kind = f"CAST({mark} AS TEXT)" if isinstance(value, bytes) else mark
    statement = f"UPDATE ledger SET {name} = {kind} WHERE seq = {mark}"
    with database.write() as connection:
        connection.exec_driver_sql(statement, (value, seq))


def damaged_text(database: Database, text: str, place: int, flips: int) -> str | bytes:
    if database.is_sqlite:
        content = bytearray(text.encode() or b"\0")
        content[place % len(content)] ^= flips
        return bytes(content)
    # PostgreSQL takes valid UTF-8 only, and no NUL: change one character for another.
    place %= len(text) or 1
    other = chr(ord(text[place]) ^ (flips & 31 or 1)) if text else "x"
    assume(other >= " ")
    return text[:place] + other + text[place + 1 :]


@pytest.fixture
def restoring(kept: SqlLedger) -> Iterator[SqlLedger]:
    yield kept
    assert kept.verify().ok  # each example put its byte back


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seq=st.integers(1, ENTRIES),
    name=st.sampled_from(TEXTS),
    place=st.integers(0, 100),
    flips=st.integers(1, 255),
)
def test_any_byte_changed_in_any_text_is_named(
    restoring: SqlLedger, seq: int, name: str, place: int, flips: int
) -> None:
    database = restoring.database
    original = raw(database, seq, name)
    damaged = damaged_text(database, original, place, flips)
    assume(damaged != original)
    overwrite(database, seq, name, damaged)
    found = restoring.verify()
    overwrite(database, seq, name, original)
    assert (found.ok, found.broken_seq) == (False, seq), found.reason


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seq=st.integers(1, ENTRIES), name=st.sampled_from(NUMBERS), bit=st.integers(0, 63))
def test_any_bit_changed_in_any_number_is_named(restoring: SqlLedger, seq: int, name: str, bit: int) -> None:
    database = restoring.database
    original = raw(database, seq, name)
    damaged = int.from_bytes((original ^ (1 << bit)).to_bytes(9, "little", signed=True)[:8], "little", signed=True)
    place = damaged if name == "seq" else seq
    assume(name != "seq" or not 1 <= damaged <= ENTRIES)
    overwrite(database, seq, name, damaged)
    found = restoring.verify()
    overwrite(database, place, name, original)
    # An entry numbered before the first stands where the first should be.
    assert (found.ok, found.broken_seq) == (False, 1 if place < 1 else seq), found.reason


def test_a_time_that_is_no_number_is_named(kept: SqlLedger) -> None:
    if not kept.database.is_sqlite:
        return  # the column takes numbers only
    overwrite(kept.database, 3, "recorded_at", "yesterday")
    assert kept.verify() == Verification(
        ok=False, entries=3, head=kept.entries(limit=2)[-1].hash, broken_seq=3, reason="entry 3 cannot be read"
    )


RECORDER = """
import sys
from everloop.access import Decision
from everloop.access.sql import SqlLedger
from everloop.storage.database import Database

url, name, count = sys.argv[1:]
store = SqlLedger(Database(url))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    key = f"shared/{number}" if number % 2 else f"{name}/{number}"
    store.record(Decision(key=key, kind="k", subject="s", actor=name, body={}))
"""


def test_processes_that_record_at_once_share_one_chain(database: Database) -> None:
    migrate(database, ["access"])
    count = 12
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RECORDER, database.url, name, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n")
    assert [process.returncode for process in processes] == [0, 0]
    store = SqlLedger(database)
    assert store.verify().ok
    assert [entry.seq for entry in store.entries()] == list(range(1, count // 2 * 3 + 1))
