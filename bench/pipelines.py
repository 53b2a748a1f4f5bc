"""Pipelines beside the real DVC and beside the machine's floor.

    python bench/pipelines.py [--pairs 5] [--only chain independent family measures] [--stages 20 200 2000]

Each line is a pair of commands on equal workspaces of one filesystem, run right after each other, the first of the two
changing from pair to pair. Ratios are medians of the pairs' ratios: above 1 is faster than DVC. The floor is a bare
interpreter (`start`), or one shell that runs the same commands (`shell`). CPU seconds are user and system time of the
command and all that it starts; on a busy machine only they can be compared.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench.pairs import HEAD, Pair, Side, pairs, script, show, sides, start

CHAIN = 100
SHORT_CHAIN = 50


def chain(root: Path, stages: int) -> None:
    """Each copies what the one before has made."""
    (root / "s0").write_text("0\n")
    lines = ["stages:"]
    for number in range(1, stages + 1):
        lines += [
            f"  n{number}:",
            f"    cmd: cp s{number - 1} s{number}",
            f"    deps: [s{number - 1}]",
            f"    outs: [s{number}]",
        ]
    (root / "dvc.yaml").write_text("\n".join(lines) + "\n")
    (root / ".gitignore").write_text("".join(f"/s{number}\n" for number in range(1, stages + 1)))


def independent(root: Path, stages: int) -> None:
    lines = ["stages:"]
    for number in range(stages):
        lines += [f"  n{number}:", "    cmd: 'true'", "    always_changed: true"]
    (root / "dvc.yaml").write_text("\n".join(lines) + "\n")


def sleepers(root: Path, stages: int) -> None:
    lines = ["stages:"]
    for number in range(stages):
        lines += [f"  n{number}:", "    cmd: sleep 0.2", "    always_changed: true"]
    (root / "dvc.yaml").write_text("\n".join(lines) + "\n")


def family(root: Path, stages: int) -> None:
    items = "".join(f"- i{number}\n" for number in range(stages))
    (root / "params.yaml").write_text(f"lr: 1\nitems:\n{items}")
    (root / "source").write_text("x\n")
    (root / "dvc.yaml").write_text(
        "stages:\n  each:\n    foreach: ${items}\n    do:\n"
        "      cmd: echo ${item} > out/${item}\n      deps: [source]\n      params: [lr]\n"
        "      outs: ['out/${item}': {cache: false}]\n"
    )
    (root / "out").mkdir()
    (root / "out/.gitkeep").touch()


def forget(side: Side) -> None:
    """As if nothing had ever run here."""
    for name in ("dvc.lock", ".dvc/cache", ".dvc/tmp/everloop"):
        place = side.root / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    for path in side.root.glob("s[1-9]*"):
        path.unlink()


def chains(folder: Path, times: int) -> Iterator[Pair]:
    both = sides(folder / "long", lambda root: chain(root, CHAIN))
    for side in both:
        side.run("repro", "-q")
        side.commit()
    yield pairs(f"repro, nothing to do, {CHAIN} in a chain", both, ["repro"], ("start", start), times=times)
    yield pairs(f"status, {CHAIN} in a chain", both, ["status"], ("start", start), times=times)
    yield pairs(f"dag, {CHAIN} in a chain", both, ["dag"], ("start", start), times=times)
    both = sides(folder / "short", lambda root: chain(root, SHORT_CHAIN))
    shell = script("; ".join(f"/bin/sh -c 'cp s{number} s{number + 1}'" for number in range(SHORT_CHAIN)))
    yield pairs(
        f"repro, {SHORT_CHAIN} in a chain from scratch", both, ["repro"], ("shell", shell), times=times, before=forget
    )


def independents(folder: Path, times: int) -> Iterator[Pair]:
    both = sides(folder / "true", lambda root: independent(root, SHORT_CHAIN))
    shell = script("; ".join(["/bin/sh -c true"] * SHORT_CHAIN))
    yield pairs(f"repro, {SHORT_CHAIN} times `true`", both, ["repro"], ("shell", shell), times=times)
    two = ["repro", "-j", "2"]
    yield pairs(f"repro -j 2, {SHORT_CHAIN} times `true`", both, ["repro"], ("shell", shell), times=times, mine=two)
    both = sides(folder / "sleep", lambda root: sleepers(root, 20))
    shell = script("; ".join(["/bin/sh -c 'sleep 0.2'"] * 20))
    yield pairs("repro, 20 times `sleep 0.2`", both, ["repro"], ("shell", shell), times=1)
    yield pairs("repro -j 2, 20 times `sleep 0.2`", both, ["repro"], ("shell", shell), times=1, mine=two)


def families(folder: Path, sizes: list[int], times: int) -> Iterator[Pair]:
    for stages in sizes:
        both = sides(folder / str(stages), lambda root, stages=stages: family(root, stages))  # type: ignore[misc]
        if stages > 200:
            # DVC takes minutes for so many; ours is the same lock.
            both[0].run("repro", "-q")
            shutil.copy(both[0].root / "dvc.lock", both[1].root / "dvc.lock")
            shutil.copytree(both[0].root / "out", both[1].root / "out", dirs_exist_ok=True)
        else:
            for side in both:
                side.run("repro", "-q")
        rounds = times if stages <= 200 else 1
        yield pairs(f"repro, nothing to do, {stages} of a family", both, ["repro"], ("start", start), times=rounds)
        yield pairs(f"dag --dot, {stages} of a family", both, ["dag", "--dot"], ("start", start), times=rounds)


MEASURED = """\
stages:
  train:
    cmd: cp params.json metrics.json && sleep 0
    params: [params.json: ]
    metrics: [metrics.json: {cache: false}]
"""


def measured(root: Path) -> None:
    (root / "dvc.yaml").write_text(MEASURED)
    (root / "params.yaml").write_text("lr: 0.1\n")
    (root / "params.json").write_text(json.dumps({"m": {f"k{number}": number for number in range(20)}}))
    (root / "metrics.json").write_text("{}")


def change(side: Side) -> None:
    path = side.root / "params.json"
    values = json.loads(path.read_text())
    values["m"]["k0"] += 1
    path.write_text(json.dumps(values))


def measures(folder: Path, times: int) -> Iterator[Pair]:
    both = sides(folder / "measures", measured)
    for side in both:
        side.run("repro", "-q")
        side.commit()
        change(side)
        side.run("repro", "-q")
    yield pairs("metrics diff", both, ["metrics", "diff"], ("start", start), times=times)
    yield pairs("params diff", both, ["params", "diff"], ("start", start), times=times)
    yield pairs("metrics show", both, ["metrics", "show"], ("start", start), times=times)


def show_slopes(lines: list[Pair]) -> None:
    """What one more of a kind costs, between the sizes."""
    groups: dict[str, list[tuple[int, Pair]]] = {}
    for line in lines:
        words = line.work.split(" ")
        numbers = [word for word in words if word.isdigit()]
        if numbers and "family" in words:
            groups.setdefault(line.work.replace(numbers[-1], "N"), []).append((int(numbers[-1]), line))
    for work, found in groups.items():
        for (less, before), (more, after) in itertools.pairwise(sorted(found, key=lambda each: each[0])):
            steps = [
                (statistics.median(b.cpu_s for b in after_costs) - statistics.median(a.cpu_s for a in before_costs))
                / (more - less)
                for before_costs, after_costs in ((before.mine, after.mine), (before.theirs, after.theirs))
            ]
            mine, theirs = (f"{step * 1e6:.0f} µs" for step in steps)
            print(f"{work}: {less} to {more}: CPU for each further one: {mine}; dvc {theirs}")


def main() -> None:
    kinds = ["chain", "independent", "family", "measures"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--stages", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--folder", type=Path, help="on the filesystem to measure; default: a temporary one")
    parser.add_argument("--only", choices=kinds, nargs="+", default=kinds)
    given = parser.parse_args()
    print(HEAD)
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=given.folder))
    lines: list[Pair] = []
    try:
        for kind in given.only:
            made = {
                "chain": lambda: chains(scratch, given.pairs),
                "independent": lambda: independents(scratch, given.pairs),
                "family": lambda: families(scratch, given.stages, given.pairs),
                "measures": lambda: measures(scratch, given.pairs),
            }[kind]()
            lines += show(made)
    finally:
        shutil.rmtree(scratch)
    show_slopes(lines)


if __name__ == "__main__":
    main()
