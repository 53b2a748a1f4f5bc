"""What `import` and `update` share: take the bytes of a repository, then put data in place and write their record.

First the bytes come into the cache, then they are checked out, then the `.dvc` file is written, so a crash leaves the
old record or the new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from everloop.workspace import durable, dvcfile, yamlfile
from everloop.workspace.autostage import stage
from everloop.workspace.take import open_repository, take_from
from everloop.workspace.values import Content, DvcFile, Out, Reach

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

    from everloop.workspace.workspace import Workspace


def take_from_repository(
    workspace: Workspace,
    url: str,
    path: str,
    rev: str | None,
    reach: Reach,
    *,
    download: bool,
    jobs: int | None,
) -> tuple[Content | None, str]:
    """Take data of a repository into the cache; also the commit that they are of.

    Args:
        workspace: Whose cache.
        url: As a record has it.
        path: Inside of the repository.
        rev: None means the commit that is checked out there, or the main branch.
        reach: How its data are reached.
        download: False takes nothing; the content is None then.
        jobs: How many files to bring at a time.

    Raises: as `open_repository` and `take_from`.
    """
    where = found_url(workspace.root, url)
    # A folder's files may be changed at any time; what is recorded must be a commit.
    pinned = rev or ("HEAD" if Path(where).is_dir() else None)
    with open_repository(workspace, where, pinned, reach) as source:
        assert source.commit is not None
        source.entry(path)
        return take_from(workspace, source, path, jobs=jobs) if download else None, source.commit


def settle(
    workspace: Workspace,
    file: str,
    out: str,
    content: Content | None,
    data: CommentedMap,
    *,
    force: bool,
    restore: bool = True,
) -> DvcFile:
    """Check the data out and write the record."""
    with workspace.locked():
        (workspace.root / file).parent.mkdir(parents=True, exist_ok=True)
        if content is not None and restore:
            workspace.restore([Out(path=out, content=content)], force=force)
        workspace.keep_out_of_git(out)
        durable.write_atomically(workspace.root / file, yamlfile.dump(data))
        stage(workspace, [file])
    return dvcfile.read(workspace.root, file)


def found_url(root: Path, url: str) -> str:
    """An address of a record as it is found from anywhere: a relative path is meant from the workspace."""
    return str(root / url) if not Path(url).is_absolute() and (root / url).is_dir() else url
