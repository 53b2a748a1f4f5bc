from __future__ import annotations

from pathlib import Path

import pytest

from everloop.errors import InvalidError
from everloop.workspace.config import read_config


@pytest.fixture
def dvc_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "project/.dvc"
    folder.mkdir(parents=True)
    return folder


def test_defaults(dvc_dir: Path) -> None:
    config = read_config(dvc_dir, {})
    assert config.cache_dir == dvc_dir / "cache"
    assert config.link_types == ("reflink", "copy")


def test_local_file_wins_and_paths_are_relative_to_the_file(dvc_dir: Path) -> None:
    (dvc_dir / "config").write_text('[cache]\n    dir = /far\n    type = "hardlink,symlink"\n')
    (dvc_dir / "config.local").write_text(
        "[cache]\n    dir = ../../shared cache\n['remote \"s\"']\n    url = s3://b#c\n"
    )
    config = read_config(dvc_dir, {})
    assert config.cache_dir == dvc_dir.parent.parent / "shared cache"
    assert config.link_types == ("hardlink", "symlink")


def test_user_file_is_read(dvc_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[cache]\ntype = copy\n")
    assert read_config(dvc_dir, {"DVC_GLOBAL_CONFIG_DIR": str(tmp_path)}).link_types == ("copy",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", "config"),
        ("[cache]\nshared = all\n", "cache.shared"),
    ],
)
def test_what_is_not_supported_is_named(dvc_dir: Path, text: str, named: str) -> None:
    (dvc_dir / "config").write_text(text)
    with pytest.raises(InvalidError, match=named):
        read_config(dvc_dir, {})
