"""Push and pull of many small files beside the real DVC and beside the machine's floor.

    python bench/remotes.py [--files 1000 10000 100000] [--s3-files 1000] [--pairs 3]

Each line is a pair of commands on equal files of one filesystem, run right after each other, the first of the two
changing from pair to pair; ratios are medians of the pairs' ratios, above 1 is faster than DVC. The floor of a folder
as a remote is `cp -r` of the objects; with S3 (moto's server on loopback) it is a bare loop of the same requests by the
same number of threads. `x floor` is the distance of `ever` to it, start of the interpreter included. CPU seconds are
user and system time of the client; `asked` are the requests that the S3 server saw of each. Nothing is deleted in
between: ext4 makes files ten times slower right after.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.s3 import S3Server, s3_server  # noqa: E402 - the bench starts the same server as the tests

FILE_BYTES = 4096
FILES_PER_FOLDER = 1000
JOBS = 16
EVER = (sys.executable, "-m", "everloop")
DVC = (str(ROOT / "tests/peers/.venv/bin/dvc"),)


class Cost(NamedTuple):
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    requests: int = 0


def run(words: Sequence[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command to its end; its children count as its own."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(words, cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            raise SystemExit(f"{' '.join(words)} failed: {said.read().decode()}")
    return Cost(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


class Side:
    """One tool with a workspace and a remote of its own, made anew for each pair."""

    def __init__(self, tool: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self._tool = tool
        self._environment = environment
        self._folder = folder
        self._count = 0
        self.root = folder / "project"
        self.remote = ""

    def start(self, source: Path, server: S3Server | None) -> None:
        """Make a workspace with data, and a remote."""
        self.root.mkdir(parents=True)
        subprocess.run(["git", "init", "--quiet"], cwd=self.root, check=True)
        shutil.copytree(source, self.root / "data")
        for words in (["init"], ["add", "data"]):
            self.run(*words)
        self.renew(server)

    def renew(self, server: S3Server | None) -> None:
        """A new, empty remote."""
        self._count += 1
        name = f"{self._folder.name}-{self._count}"
        self.remote = server.make_bucket(name) if server else str(self._folder / name)
        self.run("remote", "add", "-f", "-d", "shared", self.remote)
        for option, value in (server.options if server else {}).items():
            self.run("remote", "modify", "shared", option, value)

    def forget(self) -> None:
        """Data and cache go aside, as on another machine."""
        self._count += 1
        for path in (self.root / "data", self.root / ".dvc/cache"):
            path.rename(self._folder / f"aside-{path.name}-{self._count}")

    def run(self, *words: str) -> Cost:
        return run([*self._tool, *words], self.root, self._environment)


def fill(folder: Path, files: int) -> None:
    """Random bytes, so that no two files are equal."""
    generator = random.Random(files)
    for number in range(files):
        path = folder / f"{number // FILES_PER_FOLDER:03d}/{number:07d}.bin"
        if number % FILES_PER_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(generator.randbytes(FILE_BYTES))


def bare_loop(verb: str, objects: str, url: str, endpoint: str) -> None:
    """The same requests without anything around them, in a process of its own."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        url.removeprefix("s3://"),
        config={"endpoint": endpoint, "access_key_id": "a", "secret_access_key": "b"},
        client_options={"allow_http": True},
    )
    target = tempfile.mkdtemp(dir=Path(objects).parent)

    def move(path: Path) -> None:
        key = f"{path.parent.name}/{path.name}"
        if verb == "push":
            obstore.put(store, key, path.read_bytes(), use_multipart=False)
        else:
            Path(target, path.parent.name + path.name).write_bytes(obstore.get(store, key).bytes())

    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(move, Path(objects).glob("*/*")))


class Bench:
    """The scenario for one number of files, on one kind of remote."""

    def __init__(self, folder: Path, files: int, pairs: int, server: S3Server | None) -> None:
        self._folder = folder
        self._files = files
        self._pairs = pairs
        self._server = server
        home = folder / "home"
        home.mkdir(parents=True)
        (home / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
        places = dict.fromkeys(("HOME", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"), str(home))
        self._environment = {**os.environ, **places, "DVC_SYSTEM_CONFIG_DIR": "/nowhere", "DVC_NO_ANALYTICS": "1"}
        source = folder / "source"
        fill(source, files)
        self._ever = Side(EVER, folder / "ever", self._environment)
        self._dvc = Side(DVC, folder / "dvc", self._environment)
        for side in (self._ever, self._dvc):
            side.start(source, server)

    def play(self) -> None:
        """Measure and print the lines."""
        lines: dict[str, list[tuple[Cost, Cost]]] = {}
        floors: dict[str, list[Cost]] = {"push": [], "pull": []}
        for number in range(self._pairs):
            if number:
                self._ever.renew(self._server)
                self._dvc.renew(self._server)
            self._both("push", lines, number)
            self._both("push, nothing to do", lines, number)
            floors["push"].append(self._floor("push"))
            for side in (self._ever, self._dvc):
                side.forget()
            self._both("pull", lines, number)
            self._both("pull, nothing to do", lines, number)
            floors["pull"].append(self._floor("pull"))
        start = [run([sys.executable, "-c", "pass"], self._folder, self._environment) for _ in range(5)]
        for work, pairs in lines.items():
            self._print(work, pairs, floors.get(work, start))

    def _both(self, work: str, lines: dict[str, list[tuple[Cost, Cost]]], number: int) -> None:
        sides = [self._ever, self._dvc]
        words = [work.partition(",")[0], "-j", str(JOBS)] if self._server else [work.partition(",")[0]]
        costs = {id(side): self._counted(side, words) for side in (sides if number % 2 == 0 else sides[::-1])}
        lines.setdefault(work, []).append((costs[id(self._ever)], costs[id(self._dvc)]))

    def _counted(self, side: Side, words: list[str]) -> Cost:
        if self._server is None:
            return side.run(*words)
        before = len(self._server.requests)
        cost = side.run(*words)
        # The server tells of a request after it has answered.
        time.sleep(0.3)
        return cost._replace(requests=len(self._server.requests) - before)

    def _floor(self, verb: str) -> Cost:
        objects = self._ever.root / ".dvc/cache/files/md5"
        if self._server is None:
            target = self._folder / f"floor-{time.time_ns()}"
            copied = run(["cp", "-r", str(objects), str(target)], self._folder, self._environment)
            if verb == "push":
                return copied
            # A pull writes each file twice: into the cache, and in place.
            again = run(["cp", "-r", str(objects), f"{target}-2"], self._folder, self._environment)
            return Cost(copied.wall_s + again.wall_s, copied.cpu_s + again.cpu_s, copied.peak_mib)
        bucket = "s3://floor" if verb == "pull" else self._server.make_bucket("floor")
        words = [sys.executable, __file__, "--bare", verb, str(objects), bucket, self._server.url]
        return run(words, self._folder, self._environment)

    def _print(self, work: str, pairs: list[tuple[Cost, Cost]], floors: list[Cost]) -> None:
        ever = [statistics.median(cost[i] for cost, _ in pairs) for i in range(3)]
        wall, cpu = (statistics.median(dvc[i] / mine[i] for mine, dvc in pairs) for i in range(2))
        dvc_wall, dvc_cpu = (statistics.median(dvc[i] for _, dvc in pairs) for i in range(2))
        floor = statistics.median(cost.wall_s for cost in floors)
        asked = [int(statistics.median(cost.requests for cost in side)) for side in zip(*pairs, strict=True)]
        kind = "s3" if self._server else "folder"
        print(
            f"{self._files:>7} {kind:6} {work:20} {ever[0]:8.2f} {dvc_wall:8.2f} {wall:7.1f} {ever[1]:8.2f} "
            f"{dvc_cpu:8.2f} {cpu:7.1f} {floor:8.2f} {ever[0] / floor:8.2f} {ever[2]:6.0f} "
            f"{asked[0]:>6} {asked[1]:>6}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--s3-files", type=int, nargs="*", default=[1000])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--bare", nargs=4)
    words = parser.parse_args()
    if words.bare:
        bare_loop(*words.bare)
        return
    print(
        f"{'files':>7} {'remote':6} {'work':20} {'ever s':>8} {'dvc s':>8} {'x dvc':>7} {'ever cpu':>8} {'dvc cpu':>8} "
        f"{'x dvc':>7} {'floor s':>8} {'x floor':>8} {'MiB':>6} "
        f"{'asked':>6} {'by dvc':>6}"
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="everloop-bench-")))
        for files in words.files:
            Bench(folder / f"folder-{files}", files, words.pairs, None).play()
        for files in words.s3_files:
            server = stack.enter_context(s3_server())
            Bench(folder / f"s3-{files}", files, words.pairs, server).play()


if __name__ == "__main__":
    main()
