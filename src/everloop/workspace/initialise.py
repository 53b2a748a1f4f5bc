"""Write the files that make a folder a workspace, as `dvc init` writes them."""

from __future__ import annotations

import shutil

from everloop.workspace import durable
from everloop.workspace.git import Git
from everloop.workspace.values import Layout

_GITIGNORE = "/config.local\n/tmp\n/cache\n"
_DVCIGNORE = """\
# Add patterns of files dvc should ignore, which could improve
# the performance. Learn more at
# https://dvc.org/doc/user-guide/dvcignore
"""


def write(layout: Layout, *, scm: bool) -> None:
    """Make the folder, the Git repository and `.dvc`; what is there already stays.

    Args:
        layout: Of the workspace.
        scm: False says in the configuration that there is no Git.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    if scm and not Git(layout.root).is_repository():
        Git(layout.root).init()
    layout.lock_dir.mkdir(parents=True, exist_ok=True)
    # DVC's place for its own memory of hashes depends on the modification time of this file.
    (layout.lock_dir / "btime").touch()
    durable.write_atomically(layout.dvc_dir / "config", b"" if scm else b"[core]\n    no_scm = True\n")
    durable.write_atomically(layout.dvc_dir / ".gitignore", _GITIGNORE.encode())
    if not (layout.root / ".dvcignore").exists():
        durable.write_atomically(layout.root / ".dvcignore", _DVCIGNORE.encode())


def forget_settings(layout: Layout) -> None:
    """Remove the configuration and everything temporary but the trash; the cache stays."""
    for name in ("config", "config.local"):
        (layout.dvc_dir / name).unlink(missing_ok=True)
    if layout.lock_dir.is_dir():
        for child in layout.lock_dir.iterdir():
            if child == layout.scratch_dir:
                continue
            if child.is_dir():
                shutil.rmtree(child)
            else:
                child.unlink()
