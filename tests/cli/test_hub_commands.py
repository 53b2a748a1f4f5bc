"""The commands that speak to the hub, typed as a user types them, against a real hub over HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from everloop.cli import group
from everloop.registry import PackageFile
from everloop.serving import Label
from everloop.serving.prediction import Capture, pack
from tests.stores import Stores

PROJECT = """\
project: flights
model: late
endpoint: {name: delay, shadows: [baseline]}
datasets:
  weather: {path: data/weather, contract: contracts/weather.yaml}
"""
CONTRACT = "columns:\n  temp: {type: number, max: 60}\n"
Ever = Callable[..., str]


@pytest.fixture
def ever(
    hub: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Type an `ever` command in the project's folder; gives stdout, or stderr when it is to fail."""
    assert hub.client is not None
    folder = tmp_path / "project"
    (folder / "contracts").mkdir(parents=True)
    (folder / "everloop.yaml").write_text(PROJECT)
    (folder / "contracts" / "weather.yaml").write_text(CONTRACT)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EVERLOOP_HUB_URL", hub.client.url)

    def call(*words: str, exits: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["ever", *words])
        code: object = 0
        try:
            group.run()
        except SystemExit as end:
            code = end.code or 0
        out, errors = capsys.readouterr()
        assert code == exits, out + errors
        return errors if exits and not out else out

    return call


def batch(name: str, *temperatures: float) -> str:
    Path(f"{name}.csv").write_text("temp\n" + "".join(f"{each}\n" for each in temperatures))
    return f"{name}.csv"


def version(hub: Stores, text: bytes, evidence: dict[str, Any] | None = None) -> int:
    """Register a version whose one file holds some bytes."""
    digest = hub.local.objects.put(text)
    file = PackageFile(path="MLmodel", digest=digest, size_bytes=len(text))
    run_id = hashlib.sha256(text).hexdigest()[:32]
    hub.tracking.create_run(run_id, "flights")
    return hub.registry.register("late", run_id, digest, [file], evidence or {}, "person/test").version


def test_apply_names_the_line_and_the_near_word(ever: Ever) -> None:
    Path("everloop.yaml").write_text(PROJECT.replace("shadows", "shadow"))
    error = ever("apply", exits=1)
    assert "everloop.yaml:3" in error
    assert "Did you mean 'shadows'?" in error
    Path("everloop.yaml").write_text(PROJECT)
    assert "is sound" in ever("apply", "--check")
    assert json.loads(ever("apply", "--json"))["endpoint"] == "delay"


def test_a_batch_that_breaks_its_contract_exits_with_1_and_raises_an_alert(ever: Ever) -> None:
    ever("apply")
    assert "weather/good: accepted, 2 rows" in ever("ingest", "weather", batch("good", 20.0, 21.5))
    out = ever("ingest", "weather", batch("bad", 99.0), exits=1)
    assert "weather/bad: quarantined, 1 rows" in out
    assert "above 60" in out
    assert "breaks its contract" in ever("alerts", "--kind", "contract")
    listed = json.loads(ever("dataset", "list", "weather", "--json"))
    assert [(each["name"], each["state"]) for each in listed] == [("good", "accepted"), ("bad", "quarantined")]
    assert "1 files written" in ever("dataset", "checkout", "weather", "data/weather")
    assert Path("data/weather/good.csv").read_text() == "temp\n20.0\n21.5\n"


def test_an_unknown_dataset_is_named_with_those_that_exist(ever: Ever) -> None:
    ever("apply")
    assert "no dataset 'wether'; there are: weather" in ever("ingest", "wether", batch("good", 20.0), exits=1)


def test_traffic_by_hand_and_its_record(ever: Ever, hub: Stores) -> None:
    ever("apply")
    one, two = version(hub, b"one"), version(hub, b"two")
    assert "version 1 answers" in ever("promote", "delay", str(one), "--reason", "first")
    assert "no previous champion" in ever("rollback", "delay", exits=1)
    ever("promote", "delay", str(two), "--reason", "second")
    assert "version 1 answers again" in ever("rollback", "delay", "--reason", "worse")
    assert "champion=1" in ever("model", "list")
    shown = ever("endpoint", "show", "delay")
    assert "version 1 answers" in shown
    assert "previous: 2" in shown
    assert "delay" in ever("endpoint", "list")
    kinds = [entry["kind"] for entry in json.loads(ever("ledger", "list", "--json"))]
    assert kinds.count("rolled_back") == 1
    assert kinds.count("promoted_by_hand") == 2


def test_promoting_what_does_not_exist_says_so(ever: Ever, hub: Stores) -> None:
    ever("apply")
    assert "no registered model 'late'" in ever("promote", "delay", "1", "--reason", "too early", exits=1)
    version(hub, b"one")
    assert "no version 7" in ever("promote", "delay", "7", "--reason", "why not", exits=1)
    assert "ever apply" in ever("promote", "dellay", "1", "--reason", "typo", exits=1)


def test_aliases_move_but_not_the_champion_s(ever: Ever, hub: Stores) -> None:
    version(hub, b"one")
    assert "late@baseline is version 1" in ever("model", "alias", "late", "baseline", "1")
    assert "ever promote" in ever("model", "alias", "late", "champion", "1", exits=2)
    assert "baseline" in ever("model", "list", "late")
    ever("model", "alias", "late", "baseline", exits=2)
    assert "is no more" in ever("model", "alias", "late", "baseline", "--delete", "--reason", "old")
    assert json.loads(ever("model", "list", "--json"))[0]["aliases"] == {}


def test_a_model_is_registered_shown_and_deleted(ever: Ever, hub: Stores) -> None:
    run_id = "7f3a" + "0" * 28
    hub.tracking.create_run(run_id, "flights")
    digest = hub.local.objects.put(b"flavors: {}\n")
    hub.tracking.log_artifact(run_id, "model/MLmodel", digest, 12)
    assert "registered late version 1" in ever("model", "register", "late", f"runs:/{run_id}/model")
    Path("package").mkdir()
    Path("package/MLmodel").write_text("flavors: {}\n")
    assert "registered late version 2" in ever("model", "register", "late", "package", "--description", "by hand")
    ever("model", "alias", "late", "best", "1")
    one, two = (json.loads(ever("model", "show", "late", version, "--json")) for version in ("best", "2"))
    assert (one["run_id"], one["digest"]) == (run_id, two["digest"])
    shown = ever("model", "show", "late", "2")
    assert "by hand" in shown
    assert "MLmodel  12" in shown
    assert "has the alias 'best'" in ever("model", "delete", "late", "1", exits=1)
    assert "deleted late version 2" in ever("model", "delete", "late", "2")
    assert "is deleted" in ever("model", "show", "late", "2", exits=1)
    assert "A path of a machine is no source" in ever("model", "register", "late", "no/such/folder", exits=1)
    ever("model", "alias", "late", "best", "--delete")
    ever("model", "delete", "late")
    assert "no registered model 'late'" in ever("model", "alias", "late", "best", "--delete", exits=1)


def test_runs_are_listed_and_shown_by_the_beginning_of_their_id(ever: Ever, hub: Stores) -> None:
    run_id = "7f3a" + "0" * 28
    hub.tracking.create_run(run_id, "flights", name="try")
    hub.tracking.log(run_id, params={"depth": "3"}, tags={"commit": "c0ffee"})
    assert "7f3a" in ever("run", "list", "--experiment", "flights")
    shown = ever("run", "show", "7f3a")
    assert "depth = 3" in shown
    assert "commit = c0ffee" in shown
    assert "no run" in ever("run", "show", "beef", exits=1)


def test_a_changed_entry_of_the_ledger_is_named(ever: Ever, hub: Stores) -> None:
    ever("apply")
    found = json.loads(ever("ledger", "verify", "--json"))
    assert found["ok"]
    assert found["entries"] >= 2
    with hub.local.database.write() as connection:
        connection.execute(sa.text("UPDATE ledger SET actor = 'somebody' WHERE seq = 2"))
    assert "broken at entry 2" in ever("ledger", "verify", exits=1)


def test_a_prediction_is_explained_back_to_its_decision(ever: Ever, hub: Stores) -> None:
    ever("apply")
    version(hub, b"one")
    ever("promote", "delay", "1", "--reason", "first")
    moment = datetime(2013, 7, 4, 12, tzinfo=UTC)
    inputs = {"temp": [20.0, 21.0]}
    hub.local.rooms.predictions.capture(
        [
            Capture(
                endpoint="delay",
                request_id="r",
                digest="d" * 64,
                occurred_at=moment,
                received_at=moment,
                n_rows=2,
                seen_revision=1,
                revision=1,
                version=1,
                inputs=pack(inputs),
                scores={1: [0.25, 0.75]},
            )
        ]
    )
    hub.serving.add_labels("delay", [Label(prediction_id="r-1", label=1)])
    text = ever("explain", "r-1")
    assert "0.7500; label 1" in text
    assert "models/late@1" in text
    assert "person/" in text
    found = json.loads(ever("explain", "r-0", "--json"))
    assert found["inputs"] == {"temp": 20.0}
    assert found["label"] is None
    assert "no prediction" in ever("explain", "r-9", exits=1)


def test_a_hub_that_is_not_there_says_how_to_start_it(ever: Ever, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_HUB_URL", "http://127.0.0.1:1")
    assert "ever up" in ever("model", "list", exits=1)
