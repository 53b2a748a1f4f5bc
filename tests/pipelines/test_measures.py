"""Params and metrics of a workspace and of revisions, without the peer: see `tests/cli/test_measures_peer.py`."""

from __future__ import annotations

import datetime

import pytest

from everloop import pipelines
from everloop.errors import NotFoundError
from everloop.pipelines import RevisionScope
from everloop.workspace import Workspace


def write(workspace: Workspace, **files: str) -> None:
    for name, text in files.items():
        (workspace.root / name.replace("__", ".")).write_text(text)


def test_data_that_are_not_in_place_come_from_the_cache(workspace: Workspace) -> None:
    write(workspace, m__json='{"auc": 0.5}', dvc__yaml="metrics: [m.json, gone.json]\n")
    workspace.add(["m.json"])
    (workspace.root / "m.json").unlink()
    workspace.git.commit(["."], "Start")
    found = pipelines.show_metrics(workspace, scope=RevisionScope(all_branches=True))
    for name in ("workspace", "main"):
        assert found[name].files["m.json"].values == {"auc": 0.5}
        problem = found[name].files["gone.json"].problem
        assert problem is not None
        assert problem.kind == "FileNotFoundError"
    assert set(pipelines.without_same_workspace(workspace, found)) == {"main"}


def test_an_experiment_is_known_by_its_name(workspace: Workspace) -> None:
    git = workspace.git
    write(workspace, params__yaml="lr: 1\n")
    base = git.commit(["."], "Start")
    write(workspace, params__yaml="lr: 2\n")
    experiment = git.commit(["."], "Experiment")
    for name in ("quick-fox", "slow-fox"):
        git.update_ref(f"refs/exps/{base[:2]}/{base[2:]}/{name}", experiment)
    git.update_ref(f"refs/exps/aa/{'b' * 38}/slow-fox", base)
    changed = pipelines.diff_params(workspace, base, "quick-fox").files
    assert changed == {"params.yaml": {"lr": {"old": 1, "new": 2, "diff": 1}}}
    with pytest.raises(NotFoundError, match="several experiments"):
        pipelines.diff_params(workspace, base, "slow-fox")


def test_two_names_of_one_commit_are_compared(workspace: Workspace) -> None:
    write(workspace, params__yaml="lr: 1\n")
    workspace.git.commit(["."], "Start")
    assert pipelines.diff_params(workspace, "HEAD", "main").files == {}
    same = pipelines.diff_params(workspace, "HEAD", "main", with_unchanged=True).files
    assert same == {"params.yaml": {"lr": {"old": 1, "new": 1, "diff": 0}}}


def test_a_date_is_a_value_like_others(workspace: Workspace) -> None:
    write(workspace, params__yaml="day: 2026-01-02\n")
    workspace.git.commit(["."], "Start")
    write(workspace, params__yaml="day: 2026-01-03\n")
    (changes,) = pipelines.diff_params(workspace).files.values()
    assert changes == {"day": {"old": datetime.date(2026, 1, 2), "new": datetime.date(2026, 1, 3)}}


@pytest.mark.parametrize("text", ["a: &a {b: *a}", "a: &a [*a]"])
def test_an_alias_that_contains_itself_is_told(workspace: Workspace, text: str) -> None:
    write(workspace, m__yaml=text, dvc__yaml="metrics: [m.yaml]\n")
    problem = pipelines.show_metrics(workspace)[""].files["m.yaml"].problem
    assert problem is not None
    assert problem.message == "m.yaml: more than 100 levels"


def test_a_few_lines_do_not_become_any_number_of_values(workspace: Workspace) -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    write(workspace, params__yaml="\n".join(lines))
    problem = pipelines.show_params(workspace)[""].files["params.yaml"].problem
    assert problem is not None
    assert "more than 5,000,000 values" in problem.message


def test_before_the_first_commit_the_present_is_known(workspace: Workspace) -> None:
    write(workspace, params__yaml="lr: 1\n")
    assert pipelines.show_params(workspace)[""].files["params.yaml"].values == {"lr": 1}
