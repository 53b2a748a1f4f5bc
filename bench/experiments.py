"""Experiments beside the real DVC and beside the machine's floor.

    python bench/experiments.py [--show 10 100 1000] [--queue 20] [--pairs 3]

Each line is a pair of commands on equal repositories of one filesystem, run right after each other. Ratios are medians
of the pairs' ratios: above 1 is faster than DVC. The floors: for `exp show` one `git cat-file --batch` of all that is
read; for `exp run` the command of its stage in a shell and a commit of it by Git; for a queue the same for each, in
a worktree of its own. `x floor` is the distance of `ever` to it, start of the interpreter included. On a busy machine
only CPU seconds can be compared; those of DVC's queue are its workers', which nobody waits for, and are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
EVER = (sys.executable, "-m", "everloop")
DVC = (str(ROOT / "tests/peers/.venv/bin/dvc"),)
PIPELINE = "stages:\n  s:\n    cmd: 'true'\n    params: [lr]\nmetrics: [m.json]\n"
LOCK = """\
schema: '2.0'
stages:
  s:
    cmd: 'true'
    params:
      params.yaml:
        lr: 0
"""


class Cost(NamedTuple):
    """What one process took, with those that it waited for."""

    wall_s: float
    cpu_s: float


def run(words: Sequence[str], folder: Path, environment: dict[str, str], text: bytes = b"") -> Cost:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=environment, input=text, capture_output=True, check=False)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr.decode()}")
    return Cost(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def home(folder: Path) -> dict[str, str]:
    """The environment of a person without settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    places = dict.fromkeys(("HOME", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"), str(folder))
    path = f"{Path(DVC[0]).parent}:{os.environ['PATH']}"
    return os.environ | places | {"PATH": path, "DVC_NO_ANALYTICS": "1", "SHELL": "/bin/sh"}


def make(root: Path, environment: dict[str, str], experiments: int = 0) -> None:
    """A repository with a pipeline of one stage, and so many experiments of it."""
    root.mkdir(parents=True)
    git = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    run([*git, "init", "-q", "-b", "main"], root, environment)
    run([*git, "config", "user.name", "Ada"], root, environment)
    run([*git, "config", "user.email", "ada@example.org"], root, environment)
    run([*EVER, "init"], root, environment)
    files = {"dvc.yaml": PIPELINE, "dvc.lock": LOCK, "params.yaml": "lr: 0\n", "m.json": '{"auc": 0}'}
    for name, text in files.items():
        (root / name).write_text(text)
    run([*git, "add", "-A"], root, environment)
    run([*git, "commit", "-q", "-m", "start"], root, environment)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    stream = b"".join(fast_import(head, number) for number in range(1, experiments + 1))
    run([*git, "fast-import", "--quiet"], root, environment, stream)


def fast_import(head: str, number: int) -> bytes:
    """One experiment, as `git fast-import` takes it."""
    files = {
        "params.yaml": f"lr: {number}\n",
        "dvc.lock": LOCK.replace("lr: 0", f"lr: {number}"),
        "m.json": json.dumps({"auc": number / 7, "loss": {"train": number}}),
    }
    said = f"commit refs/exps/{head[:2]}/{head[2:]}/exp-{number}\ncommitter Ada <a@b> {1700000000 + number} +0000\n"
    said += f"data 3\nexp\nfrom {head}\n"
    said += "".join(f"M 100644 inline {name}\ndata {len(text)}\n{text}\n" for name, text in files.items())
    return said.encode()


def line(work: str, pairs: list[tuple[Cost, Cost]], floor: Cost) -> None:
    mine, other = ([pair[side] for pair in pairs] for side in (0, 1))
    ratios = [statistics.median(b[kind] / a[kind] for a, b in pairs) for kind in (0, 1)]
    wall_s, cpu_s = (statistics.median(cost[kind] for cost in mine) for kind in (0, 1))
    theirs = statistics.median(cost.wall_s for cost in other)
    told = f"{work:30} {wall_s:8.2f} {cpu_s:8.2f} {theirs:8.2f} {ratios[0]:7.1f} {ratios[1]:7.1f}"
    print(f"{told} {wall_s / floor.wall_s:8.1f}", flush=True)


def paired(count: int, mine: Callable[[int], Cost], theirs: Callable[[int], Cost]) -> list[tuple[Cost, Cost]]:
    """Costs of both, the first of the two changing from pair to pair."""
    found = []
    for number in range(count):
        if number % 2:
            other = theirs(number)
            found.append((mine(number), other))
        else:
            own = mine(number)
            found.append((own, theirs(number)))
    return found


def show(folder: Path, experiments: int, pairs: int) -> None:
    """Cold (`-f`) and warm, as an editor asks again and again."""
    environment = home(folder / "home")
    root = folder / f"show-{experiments}"
    make(root, environment, experiments)
    refs = subprocess.run(
        ["git", "for-each-ref", "--format=%(objectname)", "refs/exps"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    names = "".join(f"{oid}:{name}\n" for oid in refs for name in ("params.yaml", "dvc.lock", "m.json"))
    floor = run(["git", "cat-file", "--batch"], root, environment, names.encode())
    words = ("exp", "show", "--json")

    def ask(tool: Sequence[str], *more: str) -> Callable[[int], Cost]:
        return lambda _: run([*tool, *words, *more], root, environment)

    line(f"show {experiments:,}, cold", paired(1, ask(EVER, "-f"), ask(DVC, "-f")), floor)
    line(f"show {experiments:,}, again", paired(pairs, ask(EVER), ask(DVC)), floor)


def runs(folder: Path, queued: int, pairs: int) -> None:
    """One experiment at a time, and a queue of them."""
    environment = home(folder / "home")
    mine, theirs, plain = (folder / f"run-{name}" for name in ("ever", "dvc", "floor"))
    for root in (mine, theirs, plain):
        make(root, environment)
    script = "true; git add -u; git commit -q --allow-empty -m x"
    floor = run(["sh", "-c", script], plain, environment)

    def ask(tool: Sequence[str], root: Path, *more: str) -> Callable[[int], Cost]:
        # Other values each time, else there is nothing to run.
        return lambda number: run([*tool, "exp", "run", *more, "-S", f"lr={100 + number}"], root, environment)

    line("run", paired(pairs, ask(EVER, mine), ask(DVC, theirs)), floor)
    aside = [ask(tool, root, "--temp", "-f") for tool, root in ((EVER, mine), (DVC, theirs))]
    line("run --temp", paired(pairs, *aside), floor)
    grid = ("exp", "run", "--queue", "-S", f"lr=range(1000,{1000 + queued})")
    line(f"queue {queued}", [(run([*EVER, *grid], mine, environment), run([*DVC, *grid], theirs, environment))], floor)
    each = "git worktree add -q --detach w$i HEAD; (cd w$i; true; git commit -q --allow-empty -m x); rm -r w$i"
    loop = run(["sh", "-c", f"for i in $(seq {queued}); do {each}; done; git worktree prune"], plain, environment)
    both = ("exp", "run", "--run-all", "-j", "2")
    line(
        f"run-all {queued}, -j 2",
        [(run([*EVER, *both], mine, environment), run([*DVC, *both], theirs, environment))],
        loop,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--queue", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    print(f"{'exp':30} {'ever s':>8} {'cpu s':>8} {'dvc s':>8} {'wall x':>7} {'cpu x':>7} {'x floor':>8}")
    with tempfile.TemporaryDirectory(prefix="everloop-bench-") as scratch:
        for experiments in asked.show:
            show(Path(scratch), experiments, asked.pairs)
        if asked.queue:
            runs(Path(scratch), asked.queue, asked.pairs)


if __name__ == "__main__":
    main()
