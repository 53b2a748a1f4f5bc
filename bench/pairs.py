"""Two tools on equal folders, run right after each other: what the benches of pipelines and experiments are made of."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
EVER = (sys.executable, "-m", "everloop")
DVC = (str(ROOT / "tests/peers/.venv/bin/dvc"),)


class Cost(NamedTuple):
    """What one process and its children took."""

    wall_s: float
    cpu_s: float
    peak_mib: float


class Side:
    """One tool with a workspace of its own."""

    def __init__(self, tool: Sequence[str], root: Path, environment: dict[str, str]) -> None:
        self.tool = tool
        self.root = root
        self.environment = environment

    def run(self, *words: str) -> Cost:
        return run([*self.tool, *words], self.root, self.environment)

    def commit(self, message: str = "State") -> None:
        """Record everything that Git does not ignore."""
        subprocess.run(["git", "add", "--all"], cwd=self.root, check=True)
        identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
        words = ["git", *identity, "commit", "--quiet", "--allow-empty", "-m", message]
        subprocess.run(words, cwd=self.root, check=True)


class Pair(NamedTuple):
    """One line of a table: the costs of both tools, pair by pair, and those of the least work that does the same."""

    work: str
    mine: list[Cost]
    theirs: list[Cost]
    floor_name: str
    floors: list[Cost]


def run(words: Sequence[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command to its end; its children count as its own."""
    started = time.perf_counter()
    child = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stderr.close()
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed: {said.decode()}")
    return Cost(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def sides(folder: Path, fill: Callable[[Path], None], *, has_git_identity: bool = True) -> list[Side]:
    """Both tools, each in a new workspace that `fill` has put files into, committed."""
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "SHELL": "/bin/sh",
    }
    # As after an installation: both tools find their modules compiled, wherever this machine keeps them.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(folder.parent / "bytecode")
    # An experiment's worker starts DVC by its name.
    environment["PATH"] = f"{Path(DVC[0]).parent}:{environment['PATH']}"
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        environment[name] = str(folder)
    folder.mkdir(parents=True)
    if has_git_identity:
        (folder / ".gitconfig").write_text("[user]\n\tname = bench\n\temail = bench@localhost\n")
    found = []
    for name, tool in (("mine", EVER), ("theirs", DVC)):
        side = Side(tool, folder / name, environment)
        side.root.mkdir()
        subprocess.run(["git", "init", "--quiet"], cwd=side.root, check=True)
        side.run("init")
        fill(side.root)
        side.commit()
        found.append(side)
    return found


def pairs(
    work: str,
    both: Sequence[Side],
    words: Sequence[str],
    floor: tuple[str, Callable[[Side], Cost]],
    *,
    times: int,
    mine: Sequence[str] | None = None,
    before: Callable[[Side], object] = lambda _: None,
) -> Pair:
    """Run a command of both tools in turn, the first of the two changing, and the floor after them.

    Args:
        work: What to call it.
        both: Ours, and theirs.
        words: The command.
        floor: A name, and what does the least work in our folder.
        times: How many pairs.
        mine: Our command, where it is another one.
        before: Done on each side before each run, not measured.
    """
    ever, dvc = both
    costs: dict[Side, list[Cost]] = {ever: [], dvc: []}
    floors = []
    for turn in range(times):
        for side in (ever, dvc) if turn % 2 == 0 else (dvc, ever):
            before(side)
            said = mine if side is ever and mine is not None else words
            costs[side].append(side.run(*said))
        floors.append(floor[1](ever))
    return Pair(work, costs[ever], costs[dvc], floor[0], floors)


def start(side: Side) -> Cost:
    """The floor of a command that has nothing to do: the interpreter."""
    return run([sys.executable, "-c", "pass"], side.root, side.environment)


def script(text: str) -> Callable[[Side], Cost]:
    """The floor of commands: one shell that runs them."""
    return lambda side: run(["/bin/sh", "-c", text], side.root, side.environment)


HEAD = (
    f"{'work':38} {'ever s':>7} {'cpu s':>7} {'dvc s':>7} {'cpu s':>7} {'wall x':>7} {'cpu x':>7}"
    f"  {'floor':12} {'wall':>6} {'cpu':>6} {'x wall':>6} {'x cpu':>6}"
)


def show(found: Iterator[Pair]) -> list[Pair]:
    """Print lines as they come; above 1 is faster than DVC, `x floor` is the distance of `ever` to the floor."""
    lines = []
    for line in found:
        ever, dvc, floor = (
            Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))
            for costs in (line.mine, line.theirs, line.floors)
        )
        both = list(zip(line.mine, line.theirs, strict=True))
        wall = statistics.median(theirs.wall_s / mine.wall_s for mine, theirs in both)
        cpu = statistics.median(theirs.cpu_s / mine.cpu_s for mine, theirs in both)
        print(
            f"{line.work:38} {ever.wall_s:7.3f} {ever.cpu_s:7.3f} {dvc.wall_s:7.2f} {dvc.cpu_s:7.2f}"
            f" {wall:7.1f} {cpu:7.1f}"
            f"  {line.floor_name:12} {floor.wall_s:6.3f} {floor.cpu_s:6.3f}"
            f" {ever.wall_s / floor.wall_s:6.1f} {ever.cpu_s / floor.cpu_s:6.1f}",
            flush=True,
        )
        lines.append(line)
    return lines
