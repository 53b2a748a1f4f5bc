"""The hub as a client sees it: a project handed over, batches handed in and checked out, over real HTTP."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from everloop.config import Settings
from everloop.errors import InvalidError, NotFoundError, UnavailableError
from everloop.server.client import Hub
from tests.stores import Stores, free_port

TEXT = """\
project: flights
model: late
endpoint: {name: delay}
datasets:
  weather: {path: data/weather, contract: contracts/weather.yaml}
"""
CONTRACT = "columns:\n  temp: {type: number, max: 60}\n"


@pytest.fixture
def client(hub: Stores) -> Hub:
    assert hub.client is not None
    return Hub(Settings(hub_url=hub.client.url + "/"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "contracts").mkdir(parents=True)
    (folder / "everloop.yaml").write_text(TEXT)
    (folder / "contracts" / "weather.yaml").write_text(CONTRACT)
    return folder


def test_a_project_is_applied_with_its_contracts(client: Hub, project: Path) -> None:
    applied = client.apply(project)
    assert (applied.name, applied.workspace, applied.text) == ("flights", str(project), TEXT)
    assert client.datasets.list_datasets()[0].contract == CONTRACT
    assert {entry.actor for entry in client.ledger.entries()} == {f"person/{getpass.getuser()}"}


def test_what_is_missing_or_malformed_is_named(client: Hub, project: Path) -> None:
    (project / "contracts" / "weather.yaml").write_text("columns:\n  temp: {typ: number}\n")
    with pytest.raises(InvalidError, match=r"contracts/weather\.yaml:2: .*unknown key\nDid you mean 'type'"):
        client.apply(project)
    (project / "contracts" / "weather.yaml").unlink()
    with pytest.raises(NotFoundError, match=r"datasets\.weather\.contract names contracts/weather\.yaml"):
        client.apply(project)
    (project / "everloop.yaml").unlink()
    with pytest.raises(NotFoundError, match=r"no everloop\.yaml"):
        client.apply(project)


def test_accepted_batches_are_checked_out_and_nothing_else(client: Hub, project: Path) -> None:
    client.apply(project)
    assert client.hand_in("weather", "2013-03-01", b"temp\n20\n").state == "accepted"
    assert client.hand_in("weather", "2013-03-02", b"temp\n451\n").state == "quarantined"
    folder = project / "data" / "weather"
    assert client.check_out("weather", folder) == [str(folder / "2013-03-01.csv")]
    assert (folder / "2013-03-01.csv").read_bytes() == b"temp\n20\n"
    assert client.check_out("weather", folder) == []
    client.hand_in("weather", "2013-03-02", b"temp\n21\n")
    (folder / "2013-03-01.csv").write_bytes(b"edited by hand\n")
    assert len(client.check_out("weather", folder)) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "2013-03-01.csv": b"temp\n20\n",
        "2013-03-02.csv": b"temp\n21\n",
    }


def test_bytes_are_kept_by_their_digest(client: Hub, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\x00bytes")
    digest = client.put_file(path)
    assert client.put_bytes(b"\x00bytes") == digest
    assert client.get_bytes(digest) == b"\x00bytes"
    with pytest.raises(NotFoundError):
        client.get_bytes("0" * 64)


def test_a_hub_that_does_not_run_is_unavailable_and_says_what_to_do() -> None:
    nobody = Hub(Settings(hub_port=free_port()), patience_s=0.0)
    with pytest.raises(UnavailableError, match="ever up"):
        nobody.ledger.entries()
