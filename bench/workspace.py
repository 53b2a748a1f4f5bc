"""Versioning of files beside the real DVC and beside the machine's floor.

    python bench/workspace.py [--files 1000 10000 100000] [--big-mib 2048] [--pairs 5] [--only small many big]
    python bench/workspace.py --alone --files 10000 100000 1000000 --only many     # without DVC, which takes an hour

Each line is a pair of commands on equal files of one filesystem, run right after each other, the first of the two
changing from pair to pair. Ratios are medians of the pairs' ratios: above 1 is faster than DVC. `floor` is the least
work that could do the same: a walk with `stat`; a pass of read and MD5 and then `cp -r` (`copy`); a link for each file;
for one large file the larger of `md5sum` and `cp`. `x floor` is the distance of `ever` to it, start of the interpreter
included on both sides. CPU seconds are user and system time;
on a busy machine only they can be compared. Data are moved aside instead of deleted: ext4 makes files ten times slower
right after it has deleted many.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

FILE_BYTES = 4096
FILES_PER_FOLDER = 1000
ROOT = Path(__file__).parent.parent
EVER = (sys.executable, "-m", "everloop")
DVC = (str(ROOT / "tests/peers/.venv/bin/dvc"),)


class Cost(NamedTuple):
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_mib: float


class Line(NamedTuple):
    """One line of the table; `pairs` are (ever, dvc), or (ever,) when it runs alone."""

    files: int
    work: str
    pairs: list[tuple[Cost, ...]]
    floor_name: str
    floor: Cost


class Side:
    """One tool with a workspace of its own."""

    def __init__(self, tool: Sequence[str], root: Path, environment: dict[str, str]) -> None:
        self._tool = tool
        self.root = root
        self._environment = environment
        self._moved = 0

    def start(self, source: Path | None) -> None:
        """Make an empty workspace, with its own copy of the data."""
        self.root.mkdir(parents=True)
        subprocess.run(["git", "init", "--quiet"], cwd=self.root, check=True)
        self.run("init")
        if source is not None:
            subprocess.run(["cp", "-r", source, self.root / "data"], check=True)

    def run(self, *words: str) -> Cost:
        return run([*self._tool, *words], self.root, self._environment)

    def move_aside(self) -> None:
        self._moved += 1
        aside = self.root.with_name(f"{self.root.name}-aside-{self._moved}")
        (self.root / "data").rename(aside)


def run(words: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> Cost:
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


def fill(folder: Path, files: int, file_bytes: int) -> None:
    """Random bytes, so that no two files are equal."""
    generator = random.Random(files)
    for number in range(files):
        path = folder / f"{number // FILES_PER_FOLDER:03d}/{number:07d}.bin"
        if number % FILES_PER_FOLDER == 0:
            path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            for _ in range(0, file_bytes, 1 << 20):
                file.write(generator.randbytes(min(file_bytes, 1 << 20)))


def floor(kind: str, source: Path, scratch: Path) -> Cost:
    """Do the least work in a process of its own."""
    target = scratch / f"floor-{kind}-{time.time_ns()}"
    if kind == "copy":
        read = run([sys.executable, __file__, "--floor", "md5", str(source), str(target)], scratch)
        written = run(["cp", "-r", str(source), str(target)], scratch)
        return Cost(read.wall_s + written.wall_s, read.cpu_s + written.cpu_s, written.peak_mib)
    if kind == "large":
        (file,) = (path for path in source.rglob("*") if path.is_file())
        return max(run(["md5sum", str(file)], scratch), run(["cp", str(file), str(target)], scratch))
    return run([sys.executable, __file__, "--floor", kind, str(source), str(target)], scratch)


def floor_main(kind: str, source: str, target: str) -> None:
    if kind == "start":
        return
    for path in walk(source):
        if kind == "md5":
            descriptor = os.open(path, os.O_RDONLY)
            digest = hashlib.md5(usedforsecurity=False)
            while chunk := os.read(descriptor, 1 << 20):
                digest.update(chunk)
            os.close(descriptor)
        elif kind == "link":
            to = target + path[len(source) :]
            try:
                os.link(path, to)
            except FileNotFoundError:
                Path(to).parent.mkdir(parents=True)
                os.link(path, to)


def walk(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            entry.stat()
            if entry.is_dir():
                yield from walk(entry.path)
            else:
                yield entry.path


class Bench:
    """The scenario for one number of files."""

    def __init__(self, folder: Path, files: int, file_bytes: int, pairs: int, *, alone: bool) -> None:
        self.folder = folder
        self.files = files
        self.pairs = pairs
        self._turn = 0
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / "site")}
        # As after an installation: both tools find their modules compiled, wherever this machine keeps them.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(folder.parent / "bytecode")
        for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
            environment[name] = str(folder)
        self.sides = [Side(EVER, folder / "mine", environment)]
        if not alone:
            self.sides.append(Side(DVC, folder / "theirs", environment))
        self.source = folder / "source" if files else None
        if self.source is not None:
            fill(self.source, files, file_bytes)
        for side in self.sides:
            side.start(self.source)
            side.run("status")
        settle(folder)

    def line(
        self,
        work: str,
        words: Sequence[str],
        floor_kind: str,
        *,
        times: int | None = None,
        before: Callable[[Side], object] = lambda _: None,
    ) -> Line:
        """Run pairs of a command, the floor after each."""
        pairs, floors = [], []
        for _ in range(self.pairs if times is None else times):
            costs = {}
            self._turn += 1
            for side in self.sides if self._turn % 2 else reversed(self.sides):
                before(side)
                settle(self.folder)
                costs[side] = side.run(*words)
            pairs.append(tuple(costs[side] for side in self.sides))
            floors.append(floor(floor_kind, self.source or self.folder, self.folder))
        return Line(self.files, work, pairs, floor_kind, Cost(*(statistics.median(each) for each in zip(*floors))))  # noqa: B905


def settle(folder: Path) -> None:
    """Wait until the disk has what was written before, so that no command pays for another one."""
    subprocess.run(["sync", "--file-system", str(folder)], check=True)
    # Hashes of files that are younger than a tick of the clock are not remembered.
    time.sleep(0.1)


def change_one(side: Side) -> None:
    path = side.root / "data/000/0000000.bin"
    path.write_bytes(random.randbytes(FILE_BYTES))


def record(side: Side) -> None:
    """Commit the records, so that there is something to compare with."""
    subprocess.run(["git", "add", "--all"], cwd=side.root, check=True)
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    subprocess.run(["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "Data"], cwd=side.root, check=True)


def use_hardlinks(side: Side) -> None:
    with (side.root / ".dvc/config").open("a") as file:
        file.write("[cache]\n    type = hardlink\n")


def small(folder: Path, pairs: int, *, alone: bool) -> Iterator[Line]:
    bench = Bench(folder, 0, 0, pairs, alone=alone)
    yield bench.line("--version", ["--version"], "start")
    yield bench.line("status, empty", ["status"], "start")


def many(folder: Path, files: int, pairs: int, *, alone: bool) -> Iterator[Line]:
    bench = Bench(folder, files, FILE_BYTES, pairs, alone=alone)
    yield bench.line("add", ["add", "data"], "copy", times=1)
    for side in bench.sides:
        record(side)
    yield bench.line("add again", ["add", "data"], "walk")
    yield bench.line("status", ["status"], "walk")
    yield bench.line("data status", ["data", "status"], "walk")
    yield bench.line("checkout, nothing to do", ["checkout"], "walk")
    yield bench.line("status, one changed", ["status"], "walk", before=change_one)
    yield bench.line("diff, one changed", ["diff"], "walk", before=change_one)
    yield bench.line("add, one changed", ["add", "data"], "walk", before=change_one)
    times = max(1, pairs // 2)
    yield bench.line("checkout, copy", ["checkout"], "copy", times=times, before=Side.move_aside)
    for side in bench.sides:
        use_hardlinks(side)
    yield bench.line("checkout, first hardlink", ["checkout"], "link", times=1, before=Side.move_aside)
    yield bench.line("checkout, hardlink", ["checkout"], "link", times=times, before=Side.move_aside)


def big(folder: Path, mib: int, *, alone: bool) -> Iterator[Line]:
    bench = Bench(folder, 1, mib << 20, 1, alone=alone)
    yield bench.line(f"add, one of {mib} MiB", ["add", "data/000/0000000.bin"], "large", times=1)


def show(line: Line) -> None:
    mine, *theirs = (Cost(*map(statistics.median, zip(*costs))) for costs in zip(*line.pairs))  # noqa: B905
    beside = f"{'':8} {'':8} {'':7} {'':7}"
    if theirs:
        wall = statistics.median(dvc.wall_s / ever.wall_s for ever, dvc in line.pairs)
        cpu = statistics.median(dvc.cpu_s / ever.cpu_s for ever, dvc in line.pairs)
        beside = f"{theirs[0].wall_s:8.2f} {theirs[0].cpu_s:8.2f} {wall:7.1f} {cpu:7.1f}"
    print(
        f"{line.files:9,} {line.work:24} {mine.wall_s:8.2f} {mine.cpu_s:8.2f} {beside}"
        f"  {line.floor_name:5} {line.floor.wall_s:6.2f} {line.floor.cpu_s:6.2f}"
        f" {mine.wall_s / line.floor.wall_s:6.1f} {mine.cpu_s / line.floor.cpu_s:6.1f}"
        f" {mine.peak_mib:6.0f} {theirs[0].peak_mib if theirs else 0:6.0f}",
        flush=True,
    )


def show_slopes(lines: list[Line]) -> None:
    """What one more file costs, between the sizes."""
    sizes = sorted({line.files for line in lines if line.files})
    if len(sizes) < 2:
        return
    print(f"\nCPU microseconds per further file, from {' to '.join(f'{size:,}' for size in sizes)}: ever / dvc")
    for work in dict.fromkeys(line.work for line in lines if line.files > 1):
        by_size = {line.files: line for line in lines if line.work == work}
        if set(by_size) != set(sizes):
            continue
        steps = []
        for less, more in itertools.pairwise(sizes):
            costs = [
                [statistics.median(pair[side].cpu_s for pair in by_size[size].pairs) for size in (less, more)]
                for side in range(len(by_size[less].pairs[0]))
            ]
            steps.append(" / ".join(f"{(after - before) / (more - less) * 1e6:7.1f}" for before, after in costs))
        print(f"{work:24} {'   '.join(steps)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--big-mib", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the filesystem to measure; default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="leave the folder: deleting it slows down the next run")
    parser.add_argument("--only", choices=["small", "many", "big"], nargs="+", default=["small", "many", "big"])
    parser.add_argument("--alone", action="store_true", help="without DVC: only the floors, and the slope")
    given = parser.parse_args()
    print(
        f"{'files':>9} {'work':24} {'ever s':>8} {'cpu s':>8} {'dvc s':>8} {'cpu s':>8} {'wall x':>7} {'cpu x':>7}"
        f"  {'floor':5} {'wall':>6} {'cpu':>6} {'x wall':>6} {'x cpu':>6} {'MiB':>6} {'dvc':>6}"
    )
    lines: list[Line] = []
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=given.folder))
    try:
        if "small" in given.only:
            lines += shown(small(scratch / "small", given.pairs * 3, alone=given.alone))
        for files in given.files if "many" in given.only else ():
            lines += shown(many(scratch / str(files), files, given.pairs, alone=given.alone))
        if "big" in given.only:
            lines += shown(big(scratch / "big", given.big_mib, alone=given.alone))
    finally:
        if not given.keep:
            shutil.rmtree(scratch)
    show_slopes(lines)


def shown(lines: Iterator[Line]) -> Iterator[Line]:
    for line in lines:
        show(line)
        yield line


if __name__ == "__main__":
    if sys.argv[1:2] == ["--floor"]:
        floor_main(*sys.argv[2:])
    else:
        main()
