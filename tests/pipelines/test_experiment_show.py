"""Experiments beside each other: read once, sorted, filtered, told as text, Markdown, CSV and as a page."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from everloop import pipelines
from everloop.cli.group import cli
from everloop.errors import FailedError, InvalidError, NotFoundError
from everloop.pipelines.experiments import diffing, grid, page, queueing, reading, rowfilter, running, showing, tables
from everloop.pipelines.experiments.grid import Choice
from everloop.pipelines.experiments.queueing import Wish
from everloop.pipelines.experiments.showing import Scope
from everloop.pipelines.experiments.states import Data, Dep, Executor, Range, Shown
from everloop.pipelines.tree import Tree
from everloop.workspace import Workspace
from tests.pipelines.scenes import git, make


@pytest.fixture
def scene(tmp_path: Path) -> Workspace:
    workspace = make(tmp_path / "project")
    pipelines.repro(workspace)
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-q", "-m", "ran")
    running.run(workspace, Wish(name="one", assignments=("lr=0.4",)))
    running.run_aside(workspace, Wish(name="two", assignments=("lr=0.2", "+new=x")))
    return workspace


def experiment(name: str, auc: object, lr: object = 0.1, **files: dict[str, object]) -> Range:
    metrics = {"m.json": {"data": {"auc": auc}}, **{path: {"data": values} for path, values in files.items()}}
    data = Data(
        rev=name * 40,
        timestamp="2020-01-02T03:04:05",
        params={"params.yaml": {"data": {"lr": lr, "deep": {"er": [1, 2.123456789]}}}},
        metrics=metrics,
        deps={"data": Dep(hash="abc", size=1, nfiles=None)},
    )
    return Range(revs=[Shown(rev=name * 40, name=name, data=data)], name=name)


def several(*experiments: Range) -> list[Shown]:
    base = Shown(rev="0" * 40, name="main", data=experiment("x", 0.5).tip.data, experiments=list(experiments))
    return [base]


def column(built: grid.Grid, header: str) -> tuple[object, ...]:
    (found,) = (each.values for each in built.columns if each.header == header)
    return found


def test_columns_are_metrics_then_params_then_dependencies() -> None:
    built = grid.build(several(experiment("a", 1)), Choice())
    assert [(each.kind, each.header) for each in built.columns] == [
        ("metric", "auc"),
        ("param", "lr"),
        ("param", "deep.er"),
        ("dep", "data"),
    ]


def test_a_name_of_several_files_has_the_file_before_it() -> None:
    built = grid.build(several(experiment("a", 1, other={"auc": 3})), Choice())
    assert [each.header for each in built.columns][:2] == ["m.json:auc", "other:auc"]
    assert column(built, "other:auc") == (None, 3)


def test_only_changed_keep_and_drop() -> None:
    shown = several(experiment("a", 1), experiment("b", 0.5))
    headers = [each.header for each in grid.build(shown, Choice(only_changed=True)).columns]
    assert headers == ["auc"]
    headers = [each.header for each in grid.build(shown, Choice(only_changed=True, keep=("l.",))).columns]
    assert headers == ["auc", "lr"]
    headers = [each.header for each in grid.build(shown, Choice(drop=("d", "auc"), keep=("data",))).columns]
    assert headers == ["lr", "data"]
    with pytest.raises(InvalidError, match="no pattern"):
        grid.build(shown, Choice(drop=("(",)))


def test_columns_that_tell_what_a_row_is_can_be_left_out() -> None:
    shown = several(experiment("a", 1), experiment("b", 2))
    built = grid.build(shown, Choice(drop=("Created", "typ")))
    assert tables.comma_separated(built).split("\r\n")[0].startswith("Experiment,rev,parent,")
    assert "Created" not in tables.text(built) + tables.markdown(built) + page.page(built, "x")
    assert "parent" not in tables.comma_separated(grid.build(shown, Choice(only_changed=True)))
    nothing = grid.build(shown, Choice(drop=(".",)))
    assert tables.text(nothing) == tables.markdown(nothing) == ""


def test_sorting_puts_those_without_a_value_last() -> None:
    shown = several(experiment("a", 2), experiment("b", None), experiment("c", 1), experiment("d", 3))
    names = [row.name for row in grid.build(shown, Choice(sort_by="auc")).rows]
    assert names == ["", "c", "a", "d", "b"]
    built = grid.build(shown, Choice(sort_by="m.json:auc", is_descending=True))
    assert [row.name for row in built.rows] == ["", "d", "a", "c", "b"]
    assert [row.kind for row in built.rows] == ["baseline", *["branch_commit"] * 3, "branch_base"]
    with pytest.raises(InvalidError, match="no column 'acu'") as told:
        grid.build(shown, Choice(sort_by="acu"))
    assert "auc" in str(told.value.hint)
    with pytest.raises(InvalidError, match="can be m"):
        grid.build(several(experiment("a", 1, other={"auc": 3})), Choice(sort_by="auc"))


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("", "abcd"),
        ("auc > 1", "bd"),
        ("metrics.auc >= 2 AND params.lr < 0.5", "b"),
        ("metric.m.json:auc = 3", "d"),
        ("m.json:auc != 3", "ab"),
        ("params.\"deep.er\" LIKE '[1,%' AND auc <= 1", "a"),
        ("lr = 'tree'", "c"),
        ("lr ILIKE 'TR_E'", "cd"),
        ("lr NOT IN (0.1, 'tree')", "d"),
        ("lr = true", "d"),
        ("lr = 1", ""),
        ("lr > 0", "ab"),
        ("auc IS NULL", "c"),
        ("auc IS NOT NULL AND lr IN (0.1, true)", "abd"),
        ("deps.data = 'abc' AND experiment IN ('a', 'd')", "ad"),
        ("State = 'queued'", ""),
        ("state is null and rev LIKE 'bbb%'", "b"),
        ("Created >= '2020-01-02' AND created < '2020-01-03' AND auc = 1", "a"),
    ],
)
def test_a_filter_leaves_the_experiments_that_meet_it(where: str, names: str) -> None:
    rows = [experiment("a", 1), experiment("b", 2), experiment("c", None, "tree"), experiment("d", 3, True)]
    left = rowfilter.filtered(several(*rows), where)
    assert "".join(each.name or "" for base in left for each in base.experiments or ()) == names


def test_a_baseline_stays_where_it_or_one_of_its_experiments_meets_the_filter() -> None:
    shown = several(experiment("a", 1))
    assert [base.experiments for base in rowfilter.filtered(shown, "auc = 0.5")] == [None]
    assert [row.name for row in grid.build(shown, Choice(where="auc = 1", sort_by="auc")).rows] == ["", "a"]
    assert grid.build(shown, Choice(where="auc = 7", sort_by="auc")).rows == ()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("metrics.acu > 1", "there is no column 'metrics.acu' to filter by at character 1"),
        ("lr < 1 AND nothing = 2", "no column 'nothing' to filter by at character 12"),
        ("params.auc > 1", "no column 'params.auc'"),
        ("auc", "expected a comparator at character 4, found the end"),
        ("auc > 'x'", "expected a number for 'auc' at character 7"),
        ("auc > 1 OR lr < 1", "expected AND"),
        ("created > 3", "expected a quoted time"),
        ("auc LIKE 3", "expected a quoted text"),
    ],
)
def test_a_filter_that_means_nothing_is_told_with_its_place(where: str, told: str) -> None:
    with pytest.raises(InvalidError, match=told):
        rowfilter.filtered(several(experiment("a", 1)), where)


def test_a_column_of_several_files_has_to_be_told_apart() -> None:
    shown = several(experiment("a", 1, other={"auc": 3}))
    with pytest.raises(InvalidError, match=r"can be m\.json:auc \(metric\), other:auc") as told:
        rowfilter.filtered(shown, "auc > 1")
    assert "metrics.m.json:auc" in str(told.value.hint)
    assert [base.experiments is None for base in rowfilter.filtered(shown, "metrics.other:auc > 1")] == [False]


def test_texts_are_escaped_where_they_would_break_the_table() -> None:
    built = grid.build(several(experiment("a", 1, "x|y\nz")), Choice())
    assert "x\\|y z" in tables.markdown(built)
    rows = list(csv.reader(io.StringIO(tables.comma_separated(built))))
    assert rows[2][rows[0].index("lr")] == "x|y\nz"


def test_numbers_are_rounded_for_people_not_for_programs() -> None:
    built = grid.build(several(experiment("a", 0.123456789)), Choice())
    assert "0.12346" in tables.text(built)
    assert "[1, '2.1235']" in tables.text(built)
    assert "0.12 " in tables.text(built, 2)
    assert "0.123456789" in tables.comma_separated(built)


class _Cells(HTMLParser):
    """The text of a page's cells, and whether a script or an image came in by them."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells and self.tags[-1] == "td":
            self.cells[-1] += data


def test_a_page_shows_everything_and_runs_nothing_that_is_in_it() -> None:
    evil = "<script>alert(1)</script>\"'><img src=x>"
    built = grid.build(several(experiment("a", 0.123456789, evil)), Choice())
    written = page.page(built, evil)
    parsed = _Cells()
    parsed.feed(written)
    assert evil in parsed.cells
    assert "0.12346" in parsed.cells
    assert parsed.tags.count("script") == 1
    assert "img" not in parsed.tags
    assert "http" not in written


def test_states_of_tasks_are_shown_and_can_be_hidden(scene: Workspace) -> None:
    queueing.put(scene, Wish(name="later", assignments=("lr=7",)))
    (scene.root / "train.py").write_text("raise SystemExit(1)")
    with pytest.raises(FailedError):
        running.run_aside(scene, Wish(name="bad"))
    _, head = showing.show(scene, Scope())
    assert head.experiments is not None
    states = {each.name: each.executor.state if each.executor else None for each in head.experiments}
    assert states == {"two": None, "one": None, "later": "queued", "bad": "failed"}
    later, bad = head.experiments[2], head.experiments[3]
    assert later.tip.data is not None
    assert later.tip.data.params["params.yaml"]["data"]["lr"] == 7
    assert later.tip.data.metrics == {}
    assert bad.tip.error is not None
    assert "exit code 1" in bad.tip.error.msg
    _, head = showing.show(scene, Scope(hide_queued=True, hide_failed=True))
    assert {each.name for each in head.experiments or ()} == {"two", "one"}


def test_what_is_remembered_is_what_is_read(scene: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = showing.show(scene, Scope())
    commits: list[str] = []
    read = reading.Reader.read

    def noting(reader: reading.Reader, tree: Tree, rev: str, **words: Any) -> Shown:
        commits.append(rev)
        return read(reader, tree, rev, **words)

    monkeypatch.setattr(reading.Reader, "read", noting)
    assert showing.show(scene, Scope()) == first
    assert commits == ["workspace"]
    assert showing.show(scene, Scope(is_fresh=True)) == first
    assert len(set(commits)) == 4
    memory = scene.layout.scratch_dir / "experiments/shown.msgpack"
    memory.write_bytes(memory.read_bytes()[:50])
    assert showing.show(scene, Scope()) == first


def test_what_could_not_be_read_is_read_again(scene: Workspace) -> None:
    text = (scene.root / "dvc.yaml").read_text().replace("        cache: false\n", "        cache: true\n")
    (scene.root / "dvc.yaml").write_text(text)
    git(scene.root, "rm", "-q", "--cached", "metrics.json")
    (scene.root / ".gitignore").write_text((scene.root / ".gitignore").read_text() + "/metrics.json\n")
    pipelines.repro(scene)
    git(scene.root, "add", "-A")
    git(scene.root, "commit", "-q", "-m", "cached metrics")
    content = scene.measure("metrics.json")
    assert content is not None
    held = scene.cache.path(content.md5)
    text = held.read_text()
    held.unlink()
    gone = showing.show(scene, Scope(hide_workspace=True))
    assert gone[0].data is not None
    assert "error" in gone[0].data.metrics["metrics.json"]
    held.write_text(text)
    back = showing.show(scene, Scope(hide_workspace=True))
    assert back[0].data is not None
    assert back[0].data.metrics["metrics.json"]["data"] == json.loads(text)


def test_without_a_commit_there_is_nothing_to_show(workspace: Workspace) -> None:
    assert showing.show(workspace, Scope()) == []
    assert diffing.diff(workspace) == {}


def test_diff_of_what_is_not_there_is_told(scene: Workspace) -> None:
    with pytest.raises(NotFoundError, match="'onee' is neither"):
        diffing.diff(scene, "onee")
    (scene.root / "dvc.yaml").write_text("stages: 1\n")
    with pytest.raises(InvalidError):
        diffing.diff(scene, "one")


def test_the_command_line(scene: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(scene.root)
    run = CliRunner().invoke
    told = run(cli, ["exp", "show", "--only-changed", "--sort-by", "lr"]).stdout.splitlines()
    assert [line.split()[0] for line in told[2:]] == ["workspace", "main", "├──", "└──"]
    assert told[4].endswith("x")
    assert "[two]" in told[4]
    assert run(cli, ["exp", "show", "--md", "--sha", "--no-pager"]).stdout.startswith("| Experiment")
    rows = list(csv.DictReader(io.StringIO(run(cli, ["exp", "show", "--csv"]).stdout)))
    assert [row["rev"] for row in rows][:2] == ["workspace", "main"]
    shown = json.loads(run(cli, ["exp", "show", "--json"]).stdout)
    # Both may be of the same second.
    assert {each["name"] for each in shown[1]["experiments"]} == {"two", "one"}
    words = ["exp", "show", "--filter", "params.lr < 0.3 AND experiment = 'two'"]
    (head,) = json.loads(run(cli, [*words, "--json"]).stdout)
    assert [each["name"] for each in head["experiments"]] == ["two"]
    kept = csv.DictReader(io.StringIO(run(cli, [*words, "--csv"]).stdout))
    assert [row["Experiment"] for row in kept] == ["", "two"]
    assert "one" not in run(cli, [*words, "--md"]).stdout
    assert run(cli, ["exp", "show", "--filter", "lr > 99"]).stdout == ""
    failed = run(cli, ["exp", "show", "--json", "--filter", "nothing > 99"])
    assert "no column 'nothing'" in str(failed.exception)
    assert run(cli, ["exp", "show", "--html", str(tmp_path / "x.html")]).exit_code == 0
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")
    differing = run(cli, ["exp", "diff", "one", "two"]).stdout.splitlines()
    assert differing[0].split() == ["Path", "Metric", "one", "two", "Change"]
    assert run(cli, ["exp", "diff", "one", "two", "--md", "--no-path"]).stdout.startswith("| Metric | one | two |")
    assert run(cli, ["exp", "diff", "one", "one"]).stdout == "nothing differs\n"
    assert run(cli, ["exp", "clean"]).stdout == "there is nothing to clean\n"


def test_the_shape_is_stable() -> None:
    ranged = Range(revs=[Shown(rev="r")], executor=Executor(state="queued", name="dvc-task"), name="n")
    assert msgspec.json.encode(ranged).decode() == (
        '{"revs":[{"rev":"r","name":null,"data":null,"error":null,"experiments":null}],'
        '"executor":{"state":"queued","name":"dvc-task","local":null},"name":"n"}'
    )
