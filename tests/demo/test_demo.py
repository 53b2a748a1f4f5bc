"""The fast demo through real processes: what it comes to, and that a finished one can be looked at again."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.demo import plays

pytestmark = pytest.mark.demo


def test_every_row_that_was_sent_is_acknowledged_and_captured(summary: dict[str, Any]) -> None:
    sent, captured = summary["sent"], summary["captured"]
    assert sent["failed_requests"] == 0
    assert sent["sent"] == sent["acknowledged"] == captured["rows"] > 10_000
    assert sent["labels"] == captured["labels"] > 10_000


def test_champions_beat_the_model_that_was_never_retrained(summary: dict[str, Any]) -> None:
    gain = summary["gain"]
    assert gain["log_loss"] < gain["baseline_log_loss"]
    assert gain["auc_by_month"] > gain["baseline_auc_by_month"]
    assert any(each["state"] == "promoted" for each in summary["challenges"])


def test_every_promotion_names_its_policy_and_its_numbers(summary: dict[str, Any]) -> None:
    promoted = [each for each in summary["challenges"] if each["state"] == "promoted"]
    for each in promoted:
        assert each["policy"]
        assert each["verdict"]["decision"] == "promote"
        assert each["verdict"]["low"] > 0.0
        assert each["verdict"]["n"] >= each["verdict"]["policy"]["min_pairs"]


def test_the_broken_weather_was_quarantined_whole_and_no_row_is_lost(summary: dict[str, Any]) -> None:
    assert len(summary["quarantined"]) == 1
    assert summary["quarantined"][0].startswith("weather/2013-05")
    assert summary["alerts"]["contract"] == 1
    # All hours of the source from March to July; January and February came before.
    assert summary["sent"]["weather_rows"] == 11_006


def test_shuffled_labels_are_stopped(summary: dict[str, Any]) -> None:
    bad = [each for each in summary["retrainings"] if each["trigger"] == "shuffled labels"]
    assert len(bad) == 1
    assert bad[0]["state"] == "gates_failed" or any(
        each["challenge_id"] == bad[0]["retraining_id"] and each["state"] == "rejected"
        for each in summary["challenges"]
    )


def test_the_rollback_took_less_than_a_second(summary: dict[str, Any]) -> None:
    assert summary["rollback_s"] is not None
    assert summary["rollback_s"] < 1.0


def test_the_report_is_one_page_with_its_picture(summary: dict[str, Any], folder: Path) -> None:
    assert summary["months"]
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http://" not in page.replace("EVERLOOP_HUB_URL=http://", "")
    assert 'src="http' not in page


def test_the_workspace_keeps_every_training_in_git(summary: dict[str, Any], folder: Path) -> None:
    listed = subprocess.run(
        ["git", "for-each-ref", "refs/everloop/retrainings"], cwd=folder, capture_output=True, text=True, check=True
    )
    trained = [each for each in summary["retrainings"] if each["state"] != "failed"]
    assert len(listed.stdout.splitlines()) == len(trained)
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert [line for line in status.splitlines() if "report." not in line] == []


def test_a_finished_demo_started_again_says_the_same(summary: dict[str, Any], folder: Path) -> None:
    again = plays.finish(plays.start(folder), folder)
    assert plays.decided(again) == plays.decided(summary)
    assert again["captured"] == summary["captured"]
    assert again["ledger_head"] == summary["ledger_head"]
