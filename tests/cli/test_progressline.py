"""The line is there on a terminal when work takes long, tells what was done, and leaves nothing behind."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from everloop.cli.progressline import amount, told
from everloop.progress import Phase
from everloop.workspace import Workspace

# Shows from the first batch on, so that a small workspace is enough.
AT_ONCE = """
import sys
from everloop.cli import group, progressline
progressline.PATIENCE_S = progressline._PAUSE_S = 0.0
sys.argv[0] = "ever"
group.run()
"""
FILES = 3000


class Silent:
    def show(self, phase: Phase) -> None: ...

    def hide(self) -> None: ...


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    root = Workspace.init(tmp_path / "project").root
    (root / "data").mkdir()
    for number in range(FILES):
        (root / "data" / str(number)).write_text(str(number))
    (root / ".dvc/config").write_text(f"[core]\n    remote = near\n['remote \"near\"']\n    url = {tmp_path}/near\n")
    return root


def on_a_terminal(root: Path, *words: str) -> str:
    """What stderr shows there."""
    ours, theirs = pty.openpty()
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, *words], cwd=root, stderr=theirs, stdout=subprocess.DEVNULL
    ) as ran:
        os.close(theirs)
        while True:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert ran.returncode == 0, shown.decode()
    return shown.decode()


def last(shown: str, phase: str) -> str:
    """What the phase said last."""
    found: list[str] = re.findall(rf"\r({phase}: [^\x1b]*)\x1b\[K", shown)
    return found[-1]


def test_each_long_verb_counts_to_its_end_and_clears_the_line(project: Path) -> None:
    size = sum(len(str(number)) for number in range(FILES))
    shown = on_a_terminal(project, "add", "data")
    assert last(shown, "adding").startswith(f"adding: 3,000 of 3,000 files, {amount(size)} of {amount(size)}, ")
    assert last(shown, "adding").endswith("0:00 left")
    assert re.search(r"0:00 left\x1b\[K\r\x1b\[K", shown), "the line goes before others come"
    assert "\rpushing: 3,000 of 3,000 files, " in on_a_terminal(project, "push")
    (project / "data").rename(project / "aside")
    (project / ".dvc/cache").rename(project / "cache")
    shown = on_a_terminal(project, "pull")
    assert "\rfetching: 3,000 of 3,000 files, " in shown
    assert last(shown, "checking out").startswith("checking out: 3,000 of 3,000 files, ")
    for path in (project / "data").iterdir():
        os.utime(path)
    assert last(on_a_terminal(project, "status"), "hashing").startswith("hashing: 3,000 of 3,000 files, ")


def test_nothing_is_shown_where_nobody_looks_or_wants_it(project: Path) -> None:
    piped = subprocess.run(
        [sys.executable, "-c", AT_ONCE, "add", "data"], cwd=project, capture_output=True, text=True, check=True
    )
    assert "\r" not in piped.stderr
    (project / "data/0").write_text("other")
    assert "\r" not in on_a_terminal(project, "add", "-q", "data")


@pytest.mark.parametrize(
    ("n_all", "size_bytes", "done", "elapsed_s", "line"),
    [
        (1000, None, (250, 0), 10.0, "adding: 250 of 1,000 files, 25 files/s, 0:30 left"),
        (1000, 4000, (500, 1000), 60.0, "adding: 500 of 1,000 files, 1.0 kB of 4.0 kB, 17 bytes/s, 3:00 left"),
        (None, None, (500, 10**9), 2.0, "adding: 500 files, 1.0 GB, 500 MB/s"),
        (1, 2 * 10**9, (0, 0), 2.0, "adding: 0 of 1 files, 0 files/s"),
    ],
)
def test_line(n_all: int | None, size_bytes: int | None, done: tuple[int, int], elapsed_s: float, line: str) -> None:
    phase = Phase("adding", n_all, "files", size_bytes, Silent())
    phase.did(*done)
    assert told(phase, elapsed_s) == line


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (99_960, "100 kB"),
        (999_600, "1.0 MB"),
        (10**15, "1000 TB"),
    ],
)
def test_amounts(n_bytes: int, text: str) -> None:
    assert amount(n_bytes) == text
