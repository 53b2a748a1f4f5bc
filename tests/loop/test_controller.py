"""The loop as those outside see it, beside the database and over HTTP: applying a project, handing in batches."""

from __future__ import annotations

from datetime import datetime

import pytest

from everloop.datasets.store import Batch
from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.loop.project import policy_digest
from everloop.loop.store import LoopStore
from tests.loop.worlds import MONDAY
from tests.stores import Stores

TEXT = """\
project: flights
model: late
endpoint: {name: delay}
datasets:
  weather: {path: data/weather, contract: contracts/weather.yaml}
"""
CONTRACT = "columns:\n  temp: {type: number, max: 60}\n"
ADA = "person/ada"
GOOD, BAD = b"temp\n20\n", b"temp\n451\n"


@pytest.fixture
def loop(platform: Stores) -> LoopStore:
    found: LoopStore = platform.loop
    return found


def apply(loop: LoopStore, text: str = TEXT, contract: str = CONTRACT, workspace: str = "/p") -> None:
    loop.apply(text, {"weather": contract}, workspace, ADA)


def ingest(platform: Stores, data: bytes, batch: str = "1", happened_at: datetime | None = None) -> Batch:
    loop: LoopStore = platform.loop
    return loop.ingest("weather", batch, platform.local.objects.put(data), ADA, happened_at)


# --- applying


def test_a_project_is_taken_over_with_its_contracts(loop: LoopStore, platform: Stores) -> None:
    applied = loop.apply(TEXT, {"weather": CONTRACT, "unused": "x"}, "/p", ADA)
    assert (applied.name, applied.endpoint, applied.model, applied.workspace) == ("flights", "delay", "late", "/p")
    assert (applied.text, applied.policy) == (TEXT, policy_digest(TEXT))
    assert loop.project_of("delay") == applied
    assert [each.name for each in platform.datasets.list_datasets()] == ["weather"]
    (entry,) = platform.ledger.entries(kind="policy_applied")
    assert (entry.subject, entry.actor, entry.policy) == ("endpoints/delay", ADA, applied.policy)


def test_applying_the_same_again_changes_nothing(loop: LoopStore, platform: Stores) -> None:
    apply(loop)
    before = loop.project_of("delay"), platform.ledger.entries()
    apply(loop)
    assert (loop.project_of("delay"), platform.ledger.entries()) == before


def test_a_changed_file_or_folder_is_a_new_decision(loop: LoopStore, platform: Stores) -> None:
    apply(loop)
    apply(loop, TEXT + "triggers: {drift: true}\n")
    apply(loop)
    apply(loop, workspace="/elsewhere")
    policies = [entry.policy for entry in platform.ledger.entries(kind="policy_applied")]
    assert policies[0] != policies[1]
    assert policies == [policies[0], policies[1], policies[0], policies[0]]
    assert loop.project_of("delay").workspace == "/elsewhere"


@pytest.mark.parametrize(
    ("text", "contracts", "message"),
    [
        (TEXT.replace("endpoint", "endpont"), {"weather": CONTRACT}, r"everloop\.yaml:3: .*`endpont`"),
        (TEXT, {}, "datasets without a contract: weather"),
        (TEXT, {"weather": "columns: {}"}, r"contracts/weather\.yaml:1: "),
    ],
)
def test_a_malformed_project_is_refused_and_nothing_is_kept(
    loop: LoopStore, platform: Stores, text: str, contracts: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        loop.apply(text, contracts, "/p", ADA)
    assert platform.datasets.list_datasets() == []
    assert platform.ledger.entries() == []


def test_of_two_contracts_a_broken_one_keeps_the_other_out(loop: LoopStore, platform: Stores) -> None:
    text = TEXT + "  flights: {path: data/flights, contract: contracts/flights.yaml}\n"
    with pytest.raises(InvalidError, match=r"contracts/flights\.yaml"):
        loop.apply(text, {"weather": CONTRACT, "flights": "nonsense"}, "/p", ADA)
    assert platform.datasets.list_datasets() == []


def test_an_endpoint_of_another_project_is_a_conflict_and_changes_nothing(loop: LoopStore, platform: Stores) -> None:
    apply(loop)
    before = platform.ledger.entries()
    with pytest.raises(ConflictError, match="belongs to project 'flights'"):
        apply(loop, TEXT.replace("project: flights", "project: other"), CONTRACT + "min_rows: 9\n")
    assert (loop.project_of("delay").name, platform.ledger.entries()) == ("flights", before)


def test_an_endpoint_that_nobody_declares_is_not_found(loop: LoopStore) -> None:
    for call in (
        lambda: loop.project_of("nobody"),
        lambda: loop.promote("nobody", 1, ADA, ""),
        lambda: loop.rollback("nobody", ADA, ""),
        lambda: loop.performance("nobody", MONDAY, MONDAY),
    ):
        with pytest.raises(NotFoundError, match="no applied project declares"):
            call()
    assert loop.last_tick("nobody") is None
    assert loop.list_retrainings("nobody") == []
    assert loop.list_challenges("nobody") == []


# --- batches


def test_a_good_batch_raises_no_alert(loop: LoopStore, platform: Stores) -> None:
    apply(loop)
    assert ingest(platform, GOOD).state == "accepted"
    assert platform.monitoring.list_alerts() == []


def test_a_quarantined_batch_raises_one_alert_in_event_time(loop: LoopStore, platform: Stores) -> None:
    apply(loop)
    batch = ingest(platform, BAD, happened_at=MONDAY)
    assert ingest(platform, BAD, happened_at=MONDAY) == batch
    (alert,) = platform.monitoring.list_alerts()
    assert (alert.kind, alert.severity, alert.subject, alert.happened_at) == (
        "contract",
        "critical",
        "datasets/weather",
        MONDAY,
    )
    assert "batch '1' of 'weather' breaks its contract and is quarantined whole: " in alert.message
    assert "temp" in alert.message
    kinds = [entry.kind for entry in platform.ledger.entries()]
    assert (kinds.count("batch_quarantined"), kinds.count("alert_contract")) == (1, 1)


def test_a_mended_batch_goes_through_and_its_alert_stays(loop: LoopStore, platform: Stores) -> None:
    apply(loop)
    ingest(platform, BAD)
    assert ingest(platform, GOOD).state == "accepted"
    assert len(platform.monitoring.list_alerts()) == 1


# --- retrainings on record


def test_a_retraining_is_put_on_record_with_the_data_known_now(loop: LoopStore, platform: Stores) -> None:
    apply(loop)
    last = ingest(platform, GOOD)
    asked = loop.request_retraining("delay", "one", MONDAY, ADA, overrides={"train.seed": 3})
    ingest(platform, b"temp\n21\n", "2")
    assert (asked.state, asked.data_up_to, asked.overrides) == ("requested", last.seq, {"train.seed": 3})
    assert loop.get_retraining("one") == asked
    assert loop.request_retraining("delay", "one", MONDAY, ADA, overrides={"train.seed": 3}) == asked
    with pytest.raises(ConflictError, match="asked for before with other content"):
        loop.request_retraining("delay", "one", MONDAY, ADA)
    assert loop.list_retrainings("delay") == [asked]
