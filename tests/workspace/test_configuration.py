from __future__ import annotations

from pathlib import Path

import pytest

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import Workspace, remotes
from everloop.workspace.configuration import Configuration, Level


@pytest.fixture
def configuration(workspace: Workspace, tmp_path: Path) -> Configuration:
    places = {"DVC_SYSTEM_CONFIG_DIR": str(tmp_path / "system"), "DVC_GLOBAL_CONFIG_DIR": str(tmp_path / "user")}
    return Configuration(workspace.layout.dvc_dir, places)


def test_the_strongest_level_counts(configuration: Configuration) -> None:
    for level in (Level.LOCAL, Level.SYSTEM, Level.PROJECT, Level.GLOBAL):
        configuration.set("core.remote", f"of-{level}", level)
    assert configuration.get("core.remote").value == "of-local"
    assert configuration.get("core.remote", Level.SYSTEM).value == "of-system"
    assert [setting.level for setting in configuration.settings()] == list(Level)
    configuration.unset("core.remote", Level.LOCAL)
    assert configuration.get("CORE.Remote").value == "of-project"


def test_what_is_not_set_is_told(configuration: Configuration) -> None:
    with pytest.raises(NotFoundError, match="not set"):
        configuration.get("core.remote")
    with pytest.raises(NotFoundError, match="not set"):
        configuration.unset("core.remote")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("core.remot", "a", "do you mean 'remote'"),
        ("cach.dir", "a", "do you mean 'cache'"),
        ("cache.type", "softlink", "reflink, hardlink, symlink, copy"),
        ("core.autostage", "yes", "true or false"),
        ("core.checksum_jobs", "0", "whole number"),
        ("remote", "a", "SECTION.OPTION"),
        ("a.b.c", "a", "SECTION.OPTION"),
    ],
)
def test_what_dvc_would_refuse_is_not_written(
    configuration: Configuration, name: str, value: str, message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        configuration.set(name, value)
    assert configuration.files[Level.PROJECT].read_text() == ""


def test_paths_are_meant_from_the_folder_and_written_relative_to_the_file(
    configuration: Configuration, workspace: Workspace
) -> None:
    configuration.set("cache.dir", "../shared", folder=workspace.root / "sub")
    assert "dir = ../shared\n" in configuration.files[Level.PROJECT].read_text()
    assert configuration.get("cache.dir").value == str(workspace.root / "shared")


def test_outside_of_a_workspace_there_are_two_levels(tmp_path: Path) -> None:
    configuration = Configuration(None, {"DVC_GLOBAL_CONFIG_DIR": str(tmp_path)})
    configuration.set("core.analytics", "false")
    assert (tmp_path / "config").read_text() == "[core]\n    analytics = false\n"
    with pytest.raises(NotFoundError, match="ever init"):
        configuration.set("core.analytics", "false", Level.LOCAL)


def test_a_remote_is_added_changed_renamed_and_removed(configuration: Configuration, workspace: Workspace) -> None:
    added = remotes.add(configuration, "Shared", "../store", default=True, folder=workspace.root)
    assert added == remotes.Remote(
        name="shared", url=str(workspace.root.parent / "store"), options=added.options, is_default=True
    )
    text = configuration.files[Level.PROJECT].read_text()
    assert text == "['remote \"shared\"']\n    url = ../../store\n[core]\n    remote = shared\n"
    remotes.modify(configuration, "shared", "jobs", "3")
    remotes.rename(configuration, "shared", "ours")
    assert remotes.find(configuration).options["jobs"] == "3"
    remotes.modify(configuration, "ours", "jobs", None)
    remotes.remove(configuration, "ours")
    assert configuration.settings() == []


def test_a_remote_of_that_name_is_replaced_only_by_force(configuration: Configuration) -> None:
    remotes.add(configuration, "a", "s3://one")
    remotes.modify(configuration, "a", "region", "eu-1")
    with pytest.raises(ConflictError, match="--force"):
        remotes.add(configuration, "a", "s3://two")
    assert remotes.add(configuration, "a", "s3://two", force=True).options == {"url": "s3://two"}


def test_secrets_go_to_their_own_level_and_show_as_stars(configuration: Configuration) -> None:
    remotes.add(configuration, "a", "https://me:word@host/x", default=True)
    remotes.modify(configuration, "a", "password", "se'cr\"et,#", level=Level.LOCAL)
    assert "password" not in configuration.files[Level.PROJECT].read_text()
    remote = remotes.find(configuration)
    assert remote.options["password"] == "se'cr\"et,#"
    assert remote.shown == {"url": "https://me:********@host/x", "password": "********"}
    assert [setting.shown for setting in configuration.settings(Level.LOCAL)] == ["********"]


def test_an_option_of_another_kind_of_remote_is_refused(configuration: Configuration) -> None:
    remotes.add(configuration, "a", "s3://one")
    with pytest.raises(InvalidError, match="no option 'password' of a remote at s3://one"):
        remotes.modify(configuration, "a", "password", "x")
    with pytest.raises(InvalidError, match="no remotes of the kind s4://"):
        remotes.add(configuration, "b", "s4://one")


def test_a_remote_below_another_one(configuration: Configuration) -> None:
    remotes.add(configuration, "a", "s3://bucket/x")
    remotes.modify(configuration, "a", "region", "eu-1")
    remotes.add(configuration, "b", "remote://a/y")
    found = remotes.find(configuration, "b")
    assert (found.url, found.options["region"]) == ("s3://bucket/x/y", "eu-1")
    remotes.add(configuration, "a", "remote://b/z", force=True)
    with pytest.raises(InvalidError, match="leads to no remote"):
        remotes.find(configuration, "b")


def test_a_missing_remote_is_named(configuration: Configuration) -> None:
    with pytest.raises(NotFoundError, match="ever remote add"):
        remotes.find(configuration)
    remotes.add(configuration, "a", "/x")
    with pytest.raises(NotFoundError, match="ever remote default a"):
        remotes.find(configuration)
    with pytest.raises(NotFoundError, match="there are: a"):
        remotes.find(configuration, "b")
    for verb in (remotes.remove, remotes.set_default):
        with pytest.raises(NotFoundError, match="'b'"):
            verb(configuration, "b")
