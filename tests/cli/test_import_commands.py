"""`ever add --to-remote`, `import`, `import-url`, `update` as commands: what goes together, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everloop.cli.group import cli
from everloop.workspace import Workspace


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/f").write_text("one")
    workspace = Workspace.init(tmp_path / "project")
    monkeypatch.chdir(workspace.root)
    ever("remote", "add", "-d", "store", "../store")
    return workspace.root


def ever(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "--to-remote", "a", "b"), "takes one target"),
        (("add", "--to-remote", "--no-commit", "a"), "takes one target"),
        (("add", "-r", "store", "a"), "go with --to-remote"),
        (("import-url", "--no-exec", "--no-download", "a"), "exclude each other"),
        (("import-url", "--no-exec", "--to-remote", "a"), "brings the bytes"),
        (("import-url", "-r", "store", "a"), "goes with --to-remote"),
        (("import", "--no-exec", "--no-download", "a", "b"), "exclude each other"),
        (("update", "--to-remote", "--no-download"), "brings the bytes"),
        (("get-url", "s3://b/a", "--fs-config", "region"), "expected NAME=VALUE"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_words_that_do_not_go_together(words: tuple[str, ...], said: str) -> None:
    done = ever(*words)
    assert done.exit_code == 2
    assert said in done.output


def test_what_goes_to_a_remote_is_told_and_a_pull_brings_it(root: Path) -> None:
    added = json.loads(ever("add", "--to-remote", "../plain/f", "-o", "sub/g", "--json").stdout)["added"]
    assert added[0]["path"] == "sub/g.dvc"
    assert "imported h" in ever("import-url", "--to-remote", "../plain/f", "h").stdout
    assert not (root / "sub/g").exists()
    assert ever("pull").exit_code == 0
    assert (root / "sub/g").read_text() == (root / "h").read_text() == "one"


def test_an_update_follows_the_address(root: Path) -> None:
    ever("import-url", "../plain/f", "h")
    assert "h.dvc: nothing new" in ever("update", "-R", ".").stdout
    (root.parent / "plain/f").write_text("two")
    assert "updated h.dvc" in ever("update", "h", "--no-download").stdout
    assert "updated h.dvc" in ever("update", "h").stdout
    assert (root / "h").read_text() == "two"


def test_a_secret_in_a_record_is_warned_of(root: Path) -> None:
    done = ever("import-url", "--no-exec", "ssh://host/f", "--fs-config", "user=ada", "password=secret")
    assert done.exit_code == 0, done.output
    assert "password is a secret" in done.stderr
    assert "password: secret" in (root / "f.dvc").read_text()


def test_what_cannot_be_reached_is_named(root: Path) -> None:
    for words, said in (
        (("import-url", "remote://none/f"), "remote://none/f leads to no remote"),
        (("import-url", "s3://b/f", "--fs-config", "regoin=x"), "do you mean 'region'"),
        (("import-url", "oss://b/f"), "oss:// are not supported"),
        (("add", "--to-remote", "-r", "none", "../plain/f"), "there is no remote 'none'"),
    ):
        done = ever(*words)
        assert done.exit_code == 1
        assert said in str(done.exception), done.exception
    assert not list(root.glob("?*.dvc"))
