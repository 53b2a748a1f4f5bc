"""Imports from repositories whose own configuration does not lead to their data: recorded as the real DVC does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from everloop.cli.group import cli
from everloop.errors import InvalidError, NotFoundError
from everloop.workspace import Workspace
from tests.workspace.dvcpeer import commit, dvc, dvc_json, needs_dvc, run, write

pytestmark = needs_dvc

# How `import` is told where the data are; `{store}` is there, `{file}` is a configuration that says so.
WAYS = {
    "options of the default remote": ("--remote-config", "url={store}"),
    "options of a named remote": ("--remote", "other", "--remote-config", "url={store}"),
    "a file": ("--config", "{file}"),
    "a file and a remote in it": ("--config", "{file}", "--remote", "third"),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without a cache whose remotes lead nowhere; its data are in `store` beside it."""
    folder = tmp_path_factory.mktemp("reach") / "registry"
    Workspace.init(folder)
    write(folder, {"d/a": "1", "d/sub/b": "2"})
    dvc(folder, "add", "-q", "d")
    dvc(folder, "remote", "add", "-q", "-d", "store", str(folder.parent / "store"))
    dvc(folder, "push", "-q")
    for name in ("store", "other"):
        dvc(folder, "remote", "add", "-q", "-f", "-d", name, str(folder.parent / "nowhere"))
    (folder.parent / "config").write_text(
        "[core]\n    remote = store\n"
        + "".join(f"['remote \"{name}\"']\n    url = {folder.parent}/store\n" for name in ("store", "third"))
    )
    commit(folder)
    run(folder, "git", "tag", "v1")
    shutil.rmtree(folder / ".dvc/cache")
    return folder


def made(folder: Path) -> Path:
    Workspace.init(folder)
    commit(folder)
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_record_is_that_of_dvc_and_leads_to_the_data_again(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    places = {"store": registry.parent / "store", "file": registry.parent / "config"}
    words = ["import", str(registry), "d", "--rev", "v1", *(word.format(**places) for word in WAYS[way])]
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    monkeypatch.chdir(ours)
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    dvc(theirs, *words)
    assert (ours / "d.dvc").read_text() == (theirs / "d.dvc").read_text()
    assert dvc_json(ours, "status") == {}
    shutil.rmtree(ours / "d")
    shutil.rmtree(ours / ".dvc/cache")
    workspace = Workspace.open(ours)
    assert workspace.transfers.pull().fetched.failed == ()
    assert (ours / "d/sub/b").read_text() == "2"
    shutil.rmtree(ours / ".dvc/cache")
    assert workspace.imports.update(["d"], rev="v1").unchanged == ("d.dvc",)


def test_what_cannot_be_recorded_or_found_is_told(registry: Path, tmp_path: Path) -> None:
    workspace = Workspace.open(made(tmp_path / "ours"))
    config = registry.parent / "config"
    bring = workspace.imports.repository
    with pytest.raises(InvalidError, match="cannot be recorded all at once"):
        bring(str(registry), "d", workspace.root / "d", remote="third", config=config, remote_options={"url": "x"})
    with pytest.raises(NotFoundError, match="nothing"):
        bring(str(registry), "d", workspace.root / "d", config=registry / "nothing")
    assert not (workspace.root / "d.dvc").exists()
    bring(str(registry), "d", workspace.root / "d", config=config)
    config.rename(config.with_name("moved"))
    shutil.rmtree(workspace.root / ".dvc/cache")
    (failure,) = workspace.transfers.fetch().failed
    assert f"{config} does not exist" in failure.reason
    config.with_name("moved").rename(config)
