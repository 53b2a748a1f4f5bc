from __future__ import annotations

import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError, NotFoundError
from everloop.pipelines import paramedit, params, parse_assignments, read_metrics, read_params, set_params
from everloop.pipelines.tree import FolderTree
from everloop.workspace import Workspace, valuefiles, yamledit


def test_yaml_is_1_2() -> None:
    values = valuefiles.parse("a: on\nb: 010\nc: 0o10\nd: 1e3\ne: yes\n", "p.yaml")
    assert values == {"a": "on", "b": 10, "c": 8, "d": 1000.0, "e": "yes"}


def test_json_and_toml_are_read(workspace: Workspace) -> None:
    (workspace.root / "p.json").write_text('{"a": {"b": [1, {"c": 2}]}}')
    loaded = params.load(FolderTree(workspace), "p.json")
    assert loaded is not None
    assert params.select(loaded, ["a.b.1.c", "a.x"]) == {"a.b.1.c": 2}
    assert params.select(valuefiles.parse("[a]\nb = 1.5\n", "p.toml"), None) == {"a": {"b": 1.5}}


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("p.json", "{", "p.json"),
        ("p.toml", "a = ", "p.toml"),
        ("p.yaml", "[1]", "must be a mapping"),
    ],
)
def test_what_cannot_be_a_parameter_is_named(name: str, text: str, named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        valuefiles.parse(text, name)


def test_a_date_is_refused_only_where_it_is_used() -> None:
    values = valuefiles.parse("day: 2013-01-01\nlr: 1\ndeep: {at: [2013-01-01]}\n", "p.yaml")
    assert params.select(values, ["lr"]) == {"lr": 1}
    with pytest.raises(InvalidError, match=r"p\.yaml: day is a date"):
        params.select(values, ["day"], "p.yaml")
    with pytest.raises(InvalidError, match=r"deep\.at is a date"):
        params.select(values, ["deep"])


def test_what_is_of_no_known_kind_is_yaml_as_for_dvc() -> None:
    assert valuefiles.parse("a: 1", "p.conf") == valuefiles.parse("a: 1", "p") == {"a": 1}
    assert valuefiles.parse("", "p.yaml") == valuefiles.parse("null", "p.json") == {}


def test_missing_file_has_no_values(workspace: Workspace) -> None:
    assert params.load(FolderTree(workspace), "p.json") is None


NAMES = st.text("abc", min_size=1, max_size=2)
NESTED = st.recursive(
    st.integers(), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3), max_leaves=8
).filter(lambda value: isinstance(value, dict))


@given(NESTED)
def test_every_flat_name_leads_to_its_value(values: dict[str, object]) -> None:
    for name, value in params.flatten(values).items():
        assert params.lookup(values, name) == value


def test_assignments_have_types() -> None:
    texts = ["train.lr=0.1", "a=true", "b=[1, x]", "c=", "d=null", "e=a=b", "+f=on"]
    assert parse_assignments(texts) == {
        "train.lr": 0.1, "a": True, "b": [1, "x"], "c": None, "d": None, "e": "a=b", "+f": "on",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["lr", "=1", "+=1", "a=[1"])
def test_malformed_assignment_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match=r"is not (of the form|YAML)"):
        parse_assignments([text])


def test_set_keeps_comments_and_order(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("# all\ntrain:\n  shuffle_labels: false  # for the bad challenger\n  lr: 0.1\nlist: [1, 2]\n")
    set_params(path, {"train.shuffle_labels": True, "list.1": 3, "+train.new.deep": "x"})
    assert path.read_text() == (
        "# all\ntrain:\n  shuffle_labels: true   # for the bad challenger\n"
        "  lr: 0.1\n  new:\n    deep: x\nlist: [1, 3]\n"
    )


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"train.lrr": 1}, "do you mean 'train.lr'"),
        ({"+train.lr.x": 1}, "'lr' is the value 0.1"),
        ({"zzz": 1}, "write \\+zzz"),
    ],
)
def test_wrong_name_changes_nothing(tmp_path: Path, values: dict[str, object], named: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {lr: 0.1}\n")
    with pytest.raises(InvalidError, match=named):
        set_params(path, values)
    assert path.read_text() == "train: {lr: 0.1}\n"


def test_set_in_files_of_any_kind(tmp_path: Path) -> None:
    for name, text, changed in [
        ("p.toml", "a = 1  # one\n", "a = 2  # one\n"),
        ("p.py", "a = 1  # one\n", "a = 2  # one\n"),
        ("p.json", '{"a": 1}', '{"a": 2}'),
        ("p.conf", "a: 1  # one\n", "a: 2  # one\n"),
    ]:
        (tmp_path / name).write_text(text)
        set_params(tmp_path / name, {"a": 2})
        assert (tmp_path / name).read_text() == changed
    with pytest.raises(NotFoundError, match="does not exist"):
        set_params(tmp_path / "p.yaml", {"a": 1})


def test_params_and_metrics_of_a_workspace_are_flat(workspace: Workspace) -> None:
    for name, text in {
        "params.yaml": "train: {lr: 0.1}\n",
        "more.json": '{"a": {"b": 1}}',
        "m.json": '{"auc": 0.5, "loss": 1}',
        "n.json": '{"loss": 2}',
        "dvc.yaml": "metrics: [n.json, absent.json]\n"
        "stages: {a: {cmd: x, params: [{more.json: [a]}], metrics: [m.json]}}",
    }.items():
        (workspace.root / name).write_text(text)
    assert read_params(workspace) == {"train.lr": 0.1, "more.json:a.b": 1}
    assert read_metrics(workspace) == {"auc": 0.5, "m.json:loss": 1, "n.json:loss": 2}


@pytest.mark.parametrize(
    "value", [5, 0.25, 1e-7, "text", "on", "1", "a: b", "", True, None, [1, "x"], {"deep": {"k": 2}}, "ü " * 50]
)
def test_a_plain_file_is_changed_as_the_reader_of_all_yaml_does(value: object) -> None:
    text = "lr: 0\nmodel:\n  depth: 3\n  names:\n  - a\n  - b\n"
    whole = yamledit.load_editable(text, "params.yaml")
    for place, key in ((whole, "lr"), (whole["model"], "depth"), (whole["model"]["names"], 1)):
        place[key] = copy.deepcopy(value)
    edits = [paramedit.Edit(key=key, value=copy.deepcopy(value)) for key in ("lr", "model.depth", "model.names.1")]
    assert paramedit.edited(text, "params.yaml", edits) == yamledit.dump(whole)
