"""What the DVC extension of VS Code and CML ask of pipelines and experiments, `ever` answers under the name `dvc`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from everloop.cli.standin import exit_code
from everloop.errors import NotFoundError, OutsideError
from tests.cli.standin import call, order_free
from tests.workspace.dvcpeer import DVC, commit, dvc, environment, needs_dvc, run, write

TRAIN = """
import json, pathlib, re
rate = float(re.search("lr: (.*)", pathlib.Path("params.yaml").read_text())[1])
pathlib.Path("model").write_text(str(rate))
pathlib.Path("metrics.json").write_text(json.dumps({"acc": 1 - rate, "loss": {"train": rate}}))
pathlib.Path("curve.csv").write_text("step,acc\\n" + "".join(f"{n},{n * rate}\\n" for n in range(3)))
"""
PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py, data]
    params: [lr]
    outs: [model]
    metrics:
    - metrics.json:
        cache: false
    plots:
    - curve.csv:
        x: step
        y: acc
"""

pytestmark = needs_dvc


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that ran, two experiments, remotes for data and Git, and changes in the workspace."""
    scene = tmp_path_factory.mktemp("tools")
    folder = scene / "repository"
    folder.mkdir()
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "init", "--quiet", "--bare", "../git")
    run(folder, "git", "remote", "add", "origin", "../git")
    dvc(folder, "init", "-q")
    dvc(folder, "remote", "add", "-q", "-d", "store", "../store")
    write(folder, {"params.yaml": "lr: 0.1\nbatch: 8\n", "train.py": TRAIN, "data/a": "1", "data/b": "2"})
    dvc(folder, "add", "-q", "data")
    write(folder, {"dvc.yaml": PIPELINE})
    dvc(folder, "repro", "-q")
    commit(folder)
    for name, rate in (("slow", "0.2"), ("fast", "0.3")):
        dvc(folder, "exp", "run", "-q", "-n", name, "-S", f"lr={rate}")
    write(folder, {"data/c": "3"})
    return folder


def cells(text: str) -> list[list[str]]:
    """The words of each line; how wide a table is drawn says nothing."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line.strip()]
    return [row for row in rows if set("".join(row)) - set("-")]


def told(text: str) -> Any:
    """JSON without templates, which are drawn anew here, and without an order that DVC does not keep either."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if key != "content"}
        return [bare(item) for item in value] if isinstance(value, list) else value

    return order_free(bare(json.loads(text)))


JSON = [
    "exp show --json",
    "exp show --no-fetch -n 3 --json",
    "exp show -A --json",
    "exp show --rev main -n 1 --json --hide-workspace",
    "data status --granular --unchanged --json",
    "plots diff HEAD slow fast -o .dvc/tmp/plots --split --json",
    "plots show --json --split",
    "metrics diff --json",
    "metrics diff HEAD slow --json",
    "metrics show -A --json",
    "params diff --json",
    "params diff slow fast --json --all",
    "exp diff slow fast --json",
    "diff HEAD slow --json",
    "diff slow fast --json --show-hash",
    "status --json",
]
TEXT = [
    "stage list",
    "stage list --name-only",
    "stage list --all",
    "exp list",
    "exp list --names-only",
    "exp show --csv",
    "exp show --md",
    "exp show --drop data|batch --md",
    "exp diff slow fast --md",
    "metrics diff --md",
    "metrics diff HEAD --all --precision 3",
    "metrics show --md",
    "params diff --md",
    "params diff HEAD slow",
    "diff --md",
    "dag --md",
    "dag --mermaid",
    "queue status",
    "plots templates",
    "config studio.token",
    "config core.nothing",
    "config --project core.remote",
    "remote list --local",
]


@pytest.mark.parametrize("words", JSON)
def test_json_is_the_same(stand_in: Path, repository: Path, words: str) -> None:
    ours, theirs = (call(tool, repository, *words.split()) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode == 0, ours.stderr
    assert told(ours.stdout) == told(theirs.stdout)


@pytest.mark.parametrize("words", TEXT)
def test_text_is_the_same(stand_in: Path, repository: Path, words: str) -> None:
    ours, theirs = (call(tool, repository, *words.split()) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode == 0, ours.stderr
    # DVC tells stages in the order of the disk.
    arranged = sorted if words == "stage list --all" else list
    assert arranged(cells(ours.stdout)) == arranged(cells(theirs.stdout))


@pytest.mark.parametrize("words", ["status --json", "root", "exp show --json", "data status --granular --json"])
def test_a_folder_inside_says_the_same(stand_in: Path, repository: Path, words: str) -> None:
    ours, theirs = (call(tool, repository / "data", *words.split()) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode == 0, ours.stderr
    if words == "root":
        assert ours.stdout == theirs.stdout == "..\n"
    else:
        assert told(ours.stdout) == told(theirs.stdout)


@pytest.mark.parametrize("template", ["linear", "simple"])
def test_a_plot_for_a_report_has_the_same_data(stand_in: Path, repository: Path, template: str) -> None:
    words = ("plots", "diff", "HEAD", "slow", "--targets", "curve.csv", "--show-vega", "-t", template)
    ours, theirs = (json.loads(call(tool, repository, *words).stdout) for tool in (stand_in, DVC))
    assert ours["data"] == theirs["data"]
    assert ours["title"] == theirs["title"]


WRONG = [
    "exp remove nothing",
    "exp apply nothing",
    "exp branch nothing name",
    "exp rename nothing name",
    "exp pull origin nothing",
    "exp push nowhere slow",
    "exp show --rev nothing --json",
    "exp diff nothing",
    "exp run nothing",
    "exp run --queue -S nothing=1",
    "queue kill nothing",
    "queue logs nothing -f",
    "repro nothing",
    "remote modify nothing url x",
    "remote rename nothing other",
    "remote remove nothing",
    "config --global core.remote",
    "push nothing",
    "pull nothing",
    "add nothing",
    "move nothing other",
    "remove nothing",
    "commit nothing",
    "diff nothing",
    "plots templates nothing",
    "init",
    "exp show --no-such-flag",
    "exp gc -f -w",
]


@pytest.mark.parametrize("words", WRONG)
def test_wrong_wishes_end_alike_and_say_so_on_stderr(stand_in: Path, repository: Path, words: str) -> None:
    ours, theirs = (call(tool, repository, *words.split()) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode != 0, ours.stderr + theirs.stderr
    assert ours.stdout == ""
    assert ours.stderr


@pytest.fixture(scope="module")
def broken(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a `dvc.yaml` that is no YAML."""
    scene = tmp_path_factory.mktemp("broken")
    folder = shutil.copytree(repository, scene / "repository", symlinks=True)
    environment(scene / "home")
    write(folder, {"dvc.yaml": "stages:\n  train:\n    cmd: [\n"})
    return folder


@pytest.mark.parametrize(
    "words", ["data status --granular --unchanged --json", "repro", "checkout", "exp run", "status --json", "push"]
)
def test_a_broken_pipeline_ends_alike(stand_in: Path, broken: Path, words: str) -> None:
    ours, theirs = (call(tool, broken, *words.split()) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode != 0
    assert "dvc.yaml, line 4" in ours.stderr
    assert ours.stdout == ""


def test_the_table_of_experiments_carries_the_error_of_a_broken_pipeline(stand_in: Path, broken: Path) -> None:
    ours, theirs = (json.loads(call(tool, broken, "exp", "show", "--json").stdout) for tool in (stand_in, DVC))
    assert ours[0].keys() == theirs[0].keys()
    assert ours[0]["error"].keys() == theirs[0]["error"].keys()
    assert ours[0]["data"] == theirs[0]["data"]
    assert order_free(ours[1:]) == order_free(theirs[1:])


@pytest.mark.parametrize(
    "words", ["root", "exp show --json", "data status --json", "stage list", "queue status", "pull"]
)
def test_outside_of_a_workspace_the_exit_code_says_so(stand_in: Path, tmp_path: Path, words: str) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    ours, theirs = (call(tool, folder, *words.split()) for tool in (stand_in, DVC))
    assert ours.returncode == theirs.returncode == 253
    assert ours.stdout == ""


@pytest.fixture
def pair(repository: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies, each with remotes of its own: for `ever` and for `dvc`."""
    for name in ("ever", "dvc"):
        shutil.copytree(repository.parent, tmp_path / name, symlinks=True)
    return tmp_path / "ever/repository", tmp_path / "dvc/repository"


def test_what_the_extension_changes_is_changed_alike(stand_in: Path, pair: tuple[Path, Path]) -> None:
    steps = """
        add data
        commit -f
        push
        pull data
        checkout -f
        remote add --local other ../other
        remote modify --local other url ../further
        remote rename --local other third
        config --local core.autostage true
        config --unset --local core.autostage
        config --local studio.token abc
        exp apply slow
        exp branch slow branch
        exp rename slow steady
        exp push origin steady
        exp push origin steady fast
        exp remove steady
        exp pull origin steady
        exp run --queue -S lr=0.5 -n later
        exp remove later
        exp run --queue -S lr=0.6 -n last
        exp remove --queue
        exp save -n kept
        queue stop
        queue stop --kill
        move data further
        move further data
        freeze train
        unfreeze train
    """
    for line in steps.strip().splitlines():
        codes = [call(tool, folder, *line.split()) for tool, folder in zip((stand_in, DVC), pair, strict=True)]
        assert [done.returncode for done in codes] == [0, 0], line + codes[0].stderr
    for words in ("exp show --json", "data status --json --granular --unchanged", "status --json"):
        left, right = (call(stand_in, folder, *words.split()).stdout for folder in pair)
        assert undated(told(left)) == undated(told(right)), words
    for path in (".dvc/config", "data.dvc", "dvc.lock", "params.yaml", ".gitignore"):
        assert (pair[0] / path).read_text() == (pair[1] / path).read_text()
    refs = [
        run(folder, "git", "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps/??", "refs/heads")
        for folder in pair
    ]
    assert refs[0] == refs[1]
    lists = [call(DVC, folder, "exp", "list", "origin", "--name-only").stdout.split() for folder in pair]
    assert sorted(lists[0]) == sorted(lists[1]) == ["fast", "steady"]


def undated(value: Any) -> Any:
    """Without what no two commits share."""
    if isinstance(value, dict):
        return {key: undated(item) for key, item in value.items() if key not in ("rev", "timestamp")}
    return sorted(map(undated, value), key=str) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (OutsideError("x"), ["root"], 253),
        (NotFoundError("x"), ["--cd", "data", "remote", "modify"], 251),
        (NotFoundError("x"), ["-q", "exp", "show"], 1),
        (NotFoundError("x"), ["exp", "apply", "show"], 255),
        (NotFoundError("x"), ["rm", "x"], 1),
        (NotFoundError("x"), ["verify"], 1),
        (OSError(28, "full"), ["repro"], 255),
        (NotFoundError("x"), [], 1),
    ],
)
def test_exit_codes_are_those_of_dvc(error: NotFoundError | OSError, words: list[str], code: int) -> None:
    assert exit_code(error, words) == code
