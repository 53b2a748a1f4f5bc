"""Kill `ever repro`, or one of its stages, at random moments: whatever is killed, nothing false is recorded.

REPRO_KILL_ROUNDS sets how often; the real DVC reads what is left after each kill.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from everloop import pipelines
from everloop.pipelines import lockfile
from everloop.workspace import Workspace, hashing
from everloop.workspace.yamlfile import load_plain
from tests.workspace.dvcpeer import dvc, needs_dvc

ROUNDS = int(os.environ.get("REPRO_KILL_ROUNDS", "2"))
EVER = [sys.executable, "-m", "everloop"]
WIDTH, DEPTH = 3, 4


def made(name: str, reads: str) -> str:
    return f"cat {reads} > o{name}; mkdir d{name}; echo {name} > d{name}/x; cp o{name} m{name}.json"


def definition() -> str:
    """A grid: each stage reads two of the row above, and makes a file, a directory and a metric."""
    lines = ["stages:"]
    for row in range(DEPTH):
        for place in range(WIDTH):
            deps = ["in"] if row == 0 else [f"o{row - 1}{place}", f"d{row - 1}{(place + 1) % WIDTH}"]
            reads = " ".join(["in"] if row == 0 else [deps[0], f"{deps[1]}/x"])
            name = f"{row}{place}"
            lines += [
                f"  s{name}:",
                f"    cmd: echo $$ > ../pids/{name}; sleep 0.05; {made(name, reads)}",
                f"    deps: [{', '.join(deps)}]",
                f"    outs: [o{name}, d{name}]",
                f"    metrics: [m{name}.json: {{cache: false}}]",
            ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def project(workspace: Workspace, tmp_path: Path) -> Workspace:
    (tmp_path / "pids").mkdir()
    (workspace.root / "in").write_text("seed\n")
    (workspace.root / "dvc.yaml").write_text(definition())
    return workspace


def start(workspace: Workspace) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*EVER, "repro", "-j", "2"], cwd=workspace.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def check_nothing_false(workspace: Workspace) -> None:
    """Every object holds what its name says, and all that the lock and the run cache claim is there."""
    objects = {}
    for path in (workspace.cache.root / "files/md5").glob("??/*"):
        data = path.read_bytes()
        objects[path.parent.name + path.name] = data
        assert hashlib.md5(data).hexdigest() == (path.parent.name + path.name).removesuffix(".dir")
    for name, data in objects.items():
        if name.endswith(".dir"):
            assert set(hashing.decode_directory(data, name).values()) <= objects.keys()
    locked = lockfile.read(workspace.root / "dvc.lock")
    for stage in locked.values():
        for out, content in stage.outs.items():
            assert content.md5 in objects, f"dvc.lock claims {out}, which the cache does not have"
    for path in (workspace.cache.root / "runs").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            entry = lockfile.read_entry(load_plain(path), str(path))
            assert all(content.md5 in objects for content in entry.outs.values())


def finish(workspace: Workspace) -> None:
    done = subprocess.run([*EVER, "repro", "-j", "2"], cwd=workspace.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert pipelines.status(Workspace.open(workspace.root)) == {}
    assert not list((workspace.cache.root / "everloop-incoming").glob("*"))
    above = "".join(f"{row}1\n" for row in range(DEPTH - 1))
    assert (workspace.root / f"o{DEPTH - 1}0").read_text() == f"seed\n{above}"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def wait_until_dead(workspace: Workspace) -> None:
    deadline = time.monotonic() + 20
    for path in (workspace.root.parent / "pids").iterdir():
        while (text := path.read_text().strip()) and is_alive(int(text)):
            assert time.monotonic() < deadline, f"the command of stage {path.name} outlived repro"
            time.sleep(0.01)


@needs_dvc
@pytest.mark.peer
def test_run_that_is_killed_at_any_moment_records_nothing_false(project: Workspace, tmp_path: Path) -> None:
    pristine = shutil.copytree(project.root, tmp_path / "pristine", symlinks=True)
    started = time.monotonic()
    finish(project)
    whole_s = time.monotonic() - started
    generator = random.Random(7)
    for _ in range(ROUNDS):
        shutil.rmtree(project.root)
        shutil.copytree(pristine, project.root, symlinks=True)
        # Also what was begun by a killed run is killed.
        for _ in range(2):
            with start(project) as process:
                try:
                    process.wait(generator.uniform(0.1, 1.0) * whole_s)
                except subprocess.TimeoutExpired:
                    process.kill()
            wait_until_dead(project)
            check_nothing_false(project)
        # The real tool reads it.
        json.loads(dvc(project.root, "status", "--json"))
        finish(project)
        check_nothing_false(project)
    assert json.loads(dvc(project.root, "status", "--json")) == {}


def test_stage_that_is_killed_fails_and_the_rest_goes_on_later(project: Workspace, tmp_path: Path) -> None:
    generator = random.Random(8)
    names = [f"{row}{place}" for row in range(DEPTH) for place in range(WIDTH)]
    for name in generator.sample(names, min(ROUNDS, len(names))):
        (project.root / "in").write_text(f"seed {name}\n")
        pid = tmp_path / "pids" / name
        pid.unlink(missing_ok=True)
        with start(project) as process:
            while not (pid.exists() and pid.read_text().strip()):
                assert process.poll() is None
            time.sleep(generator.uniform(0, 0.06))
            try:
                os.killpg(int(pid.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                # It was done already.
                process.wait(60)
                continue
            _, said = process.communicate(timeout=60)
        if process.returncode != 0:
            assert f"stage s{name} failed with exit code 137" in said.decode()
        check_nothing_false(project)
    (project.root / "in").write_text("seed\n")
    finish(project)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_that_is_asked_to_end_records_what_is_done_and_goes_on_later(
    project: Workspace, number: signal.Signals
) -> None:
    with start(project) as process:
        while not (project.root / "o10").exists():
            assert process.poll() is None
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == (130 if number is signal.SIGINT else 143), said.decode()
    wait_until_dead(project)
    check_nothing_false(project)
    done = set(lockfile.read(project.root / "dvc.lock"))
    assert {"s00", "s01"} <= done
    report = pipelines.repro(Workspace.open(project.root))
    assert done.isdisjoint(report.ran)
    assert len(done) + len(report.ran) == WIDTH * DEPTH
