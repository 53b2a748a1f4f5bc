from __future__ import annotations

import shutil

import pytest

from everloop import pipelines
from everloop.errors import NotFoundError
from everloop.pipelines.freeze import set_frozen
from everloop.pipelines.restorable import from_run_cache
from everloop.pipelines.why import Verdict, Why, why
from everloop.workspace import Workspace

PIPELINE = """\
stages:
  prepare:
    cmd: cat data/* > ready
    deps: [data]
    params: [lr, other.json: [a.b]]
    outs: [ready]
  train:
    cmd: mkdir -p model && cp ready model/w
    deps: [ready]
    outs: [model]
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    for path, text in {
        "data/a": "a",
        "data/b": "b",
        "data/sub/c": "c",
        "params.yaml": "lr: 0.1\n",
        "other.json": '{"a": {"b": [1]}}',
        "dvc.yaml": PIPELINE.replace("cat data/*", "cat data/a"),
    }.items():
        (workspace.root / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / path).write_text(text)
    workspace.add(["data"])
    pipelines.repro(workspace)
    assert why(workspace) == []
    return workspace


def texts(answer: Why) -> list[str]:
    return [cause.text for cause in answer.causes]


def agrees_with_a_dry_run(workspace: Workspace) -> bool:
    would = {each.stage for each in pipelines.repro(workspace, dry=True).stages if each.outcome == "would run"}
    return would == {each.stage for each in why(workspace) if each.verdict is Verdict.WOULD_RUN}


def test_a_stage_that_is_up_to_date_says_so(project: Workspace) -> None:
    assert why(project, ["train"]) == [Why(stage="train", verdict=Verdict.UP_TO_DATE)]


def test_a_stage_that_never_ran(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text("stages:\n  a:\n    cmd: x\n    outs: [o]\n  b:\n    cmd: x\n")
    assert [texts(each) for each in why(workspace)] == [
        ["it has never run"],
        ["it has no dependencies and no outputs, so it runs every time", "it has never run"],
    ]


def test_params_are_told_with_both_values(project: Workspace) -> None:
    (project.root / "params.yaml").write_text("lr: 0.2\n")
    (project.root / "other.json").write_text("{}")
    prepare, train = why(project)
    assert texts(prepare) == [
        "parameter lr of params.yaml changed from 0.1 to 0.2",
        "parameter a.b of other.json is missing; it was [1]",
    ]
    assert (prepare.causes[0].key, prepare.causes[0].before, prepare.causes[0].after) == ("lr", 0.1, 0.2)
    assert texts(train) == ["prepare, which it depends on, would change"]
    (project.root / "other.json").write_text('{"a": {"b": [2]}}')
    assert agrees_with_a_dry_run(project)


def test_files_of_a_directory_are_named(project: Workspace) -> None:
    data = project.root / "data"
    (data / "a").write_text("other")
    (data / "sub/c").unlink()
    for number in range(7):
        (data / f"n{number}").write_text("n")
    (cause,) = why(project, ["prepare"])[0].causes
    assert cause.text == (
        "dependency data changed: 1 file changed (a); 7 files added (n0, n1, n2, n3, n4 and 2 more); "
        "1 file removed (sub/c)"
    )
    assert cause.files is not None
    assert cause.files.removed == ("sub/c",)
    assert agrees_with_a_dry_run(project)


def test_a_directory_whose_listing_is_gone(project: Workspace) -> None:
    (project.root / "data/a").write_text("other")
    shutil.rmtree(project.cache.root)
    (cause,) = (cause for cause in why(project, ["prepare"])[0].causes if cause.kind == "dep")
    assert "not known, because its former listing is not in the cache" in cause.text


def test_both_commands_are_shown(project: Workspace) -> None:
    file = project.root / "dvc.yaml"
    file.write_text(file.read_text().replace("cp ready model/w", "cp ready model/v"))
    (answer,) = why(project)
    text = "its command changed from `mkdir -p model && cp ready model/w` to `mkdir -p model && cp ready model/v`"
    assert (answer.verdict, texts(answer)) == (Verdict.WOULD_RUN, [text])


def test_a_changed_output_is_put_back_while_the_cache_has_it(project: Workspace) -> None:
    (project.root / "model/extra").write_text("1")
    (answer,) = why(project)
    assert (answer.verdict, texts(answer)) == (Verdict.WOULD_RESTORE, ["output model changed: 1 file added (extra)"])
    for file in (project.cache.root / "files").rglob("*"):
        if file.is_file() and not file.name.endswith(".dir"):
            file.unlink()
    verdicts = {each.stage: each.verdict for each in why(Workspace.open(project.root))}
    assert verdicts["train"] is Verdict.WOULD_RUN


def test_what_is_only_missing_is_restored_and_nothing_behind_it_runs(project: Workspace) -> None:
    (project.root / "ready").unlink()
    shutil.rmtree(project.root / "data")
    (answer,) = why(project)
    assert (answer.stage, answer.verdict) == ("prepare", Verdict.WOULD_RESTORE)
    assert texts(answer) == ["output ready is missing"]
    assert pipelines.repro(project).ran == ()


def test_a_frozen_stage_does_not_run(project: Workspace) -> None:
    (project.root / "params.yaml").write_text("lr: 0.2\n")
    set_frozen(project, "prepare", frozen=True)
    (answer,) = why(project)
    assert (answer.stage, answer.verdict) == ("prepare", Verdict.FROZEN)
    assert agrees_with_a_dry_run(project)
    (project.root / "ready").unlink()
    assert why(project, ["prepare"])[0].verdict is Verdict.WOULD_RESTORE


def test_a_run_that_nobody_remembers_is_not_restored(project: Workspace) -> None:
    (project.root / "params.yaml").write_text("lr: 0.2\n")
    assert why(project, ["prepare"])[0].verdict is Verdict.WOULD_RUN
    stage = next(each for each in pipelines.graph.load(project).stages if each.name == "prepare")
    assert not from_run_cache(project, stage)


def test_a_word_that_means_nothing_is_refused(project: Workspace) -> None:
    with pytest.raises(NotFoundError, match="nope"):
        why(project, ["nope"])
