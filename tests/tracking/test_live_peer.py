"""One script under Everloop and under the real DVCLive: the same files; and the real DVC reads both alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everloop.tracking import load_live

PEERS = Path(__file__).parents[1] / "peers/.venv/bin"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not (PEERS / "dvc").exists(), reason="the peers are not set up: uv sync --locked --project tests/peers"
    ),
]

SCRIPT = """
PARAMS = {"lr": 1e-05, "name": "on", "net": {"layers": [1, 2], "dropout": None, "deep": True}, "t": "a: b # c"}

def train(run, log):
    run.log_params(PARAMS)
    run.log_param("epochs", 3)
    for epoch in range(3):
        log("train/loss", 1 / (epoch + 1))
        log("train/acc", epoch)
        log("odd", float("nan"))
        log("word", 'a "b"')
        run.next_step()
    log("test", 0.5)
    rows = [{"n": "a", "v": 0.5}, {"n": "b", "v": 1}]
    run.log_plot("iris", rows, x="n", y="v", template="bar_horizontal", title="Iris")
    run.log_sklearn_plot("confusion_matrix", ["a", "b"], ["b", "b"], name="cm", title="CM")
"""
PEER = """
from dvclive import Live
with Live(save_dvc_exp=False) as run:
    train(run, run.log_metric)
"""
OURS = """
import everloop
with everloop.start_run() as run:
    train(run, run.log_metric)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def environment(place: Path) -> dict[str, str]:
    home = place / "home"
    home.mkdir()
    (home / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    places = dict.fromkeys(("HOME", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"), str(home))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVERLOOP_", "DVC"))}
    return {**kept, **places, "DVC_SYSTEM_CONFIG_DIR": "/nowhere", "DVC_NO_ANALYTICS": "1", "DVC_STUDIO_OFFLINE": "1"}


def call(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def played(folder: Path, python: str, code: str, environment: dict[str, str]) -> Path:
    folder.mkdir()
    call([str(PEERS / "dvc"), "init", "--no-scm", "-q"], folder, environment)
    call([python, "-c", SCRIPT + code], folder, environment)
    return folder


@pytest.fixture(scope="module")
def peer(place: Path, environment: dict[str, str]) -> Path:
    return played(place / "peer", str(PEERS / "python"), PEER, environment)


@pytest.fixture(scope="module")
def ours(place: Path, environment: dict[str, str]) -> Path:
    return played(place / "ours", sys.executable, OURS, environment)


def dvc(folder: Path, environment: dict[str, str], *words: str) -> Any:
    return json.loads(call([str(PEERS / "dvc"), *words, "--json"], folder, environment))


def test_the_files_are_the_same(peer: Path, ours: Path) -> None:
    histories = sorted(path.relative_to(peer) for path in (peer / "dvclive/plots").rglob("*") if path.is_file())
    assert histories == sorted(p.relative_to(ours) for p in (ours / "dvclive/plots").rglob("*") if p.is_file())
    for name in histories:
        assert (ours / name).read_bytes() == (peer / name).read_bytes(), name
    assert (ours / "dvclive/metrics.json").read_bytes() == (peer / "dvclive/metrics.json").read_bytes()


def test_each_s_folder_is_read_as_the_same_values(peer: Path, ours: Path) -> None:
    mine, its = load_live(ours / "dvclive"), load_live(peer / "dvclive")
    assert repr(mine) == repr(its)  # NaN is not equal to itself
    assert list(mine.metrics) == ["odd", "test", "train/acc", "train/loss", "word"]
    assert mine.plot_options["plots/sklearn/cm.json"]["template"] == "confusion"


def test_the_real_dvc_shows_both_alike(peer: Path, ours: Path, environment: dict[str, str]) -> None:
    shown = dvc(ours, environment, "metrics", "show")
    assert shown == dvc(peer, environment, "metrics", "show")
    assert shown[""]["data"]["dvclive/metrics.json"]["data"]["train"]["acc"] == 2
    drawn = dvc(ours, environment, "plots", "show")
    assert drawn == dvc(peer, environment, "plots", "show")
    assert len(drawn["data"]) == 7
    assert "errors" not in drawn
