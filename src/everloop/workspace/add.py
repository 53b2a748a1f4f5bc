"""Put files and directories under version: bytes into the cache, a `.dvc` file beside them, an entry in `.gitignore`.

The data stay where they are; nothing is moved away and copied back. Which paths a command line means is told by
`targets.py`, a part of a tracked directory is handled by `part.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.errors import ConflictError, InvalidError, NotFoundError
from everloop.workspace import dvcfile, objectid, part, targets
from everloop.workspace.autostage import stage
from everloop.workspace.git import Git
from everloop.workspace.values import AddReport, Content, DvcFile, Out
from everloop.workspace.walk import DVC_SUFFIX

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


def add(workspace: Workspace, paths: Iterable[str], *, commit: bool = True, relink: bool = True) -> AddReport:
    """Add the paths; see `Workspace.add`."""
    existing = workspace.dvc_files()
    made = targets.made_by_stages(workspace)
    whole: list[str] = []
    parts: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        holder = _holder(path, existing)
        _refuse_unfit(workspace, path, made, is_part=holder is not None)
        if holder is not None:
            parts.setdefault(holder, []).append(path)
        else:
            _refuse_overlap(path, existing)
            targets.refuse_unseen(workspace, path)
            whole.append(path)
    _refuse_tracked_by_git(workspace.root, whole)
    with workspace.locked(), workspace.claimed(writes=[*whole, *parts]):
        contents = _as_recorded(workspace, whole, existing)
        new = [path for path in whole if path not in contents]
        contents |= workspace.commit(new, relink=relink) if commit else _measured(workspace, new)
        reports = [_record(workspace, path, contents[path], existing) for path in whole]
        flattened, left_out = _not_kept(workspace, [(file.outs[0], [file.outs[0].path]) for file, _ in reports])
        for out, inner in parts.items():
            file = _file_of(out, existing)
            reports.append(part.update(workspace, file, out, inner, commit=commit, relink=relink))
            also = _not_kept(workspace, [(reports[-1][0].outs[0], inner)])
            flattened, left_out = flattened | also[0], left_out | also[1]
        stage(workspace, [file.path for file, is_new in reports if is_new])
    return AddReport(
        added=tuple(file for file, is_new in reports if is_new),
        unchanged=tuple(file for file, is_new in reports if not is_new),
        flattened=flattened,
        left_out=left_out,
    )


def _as_recorded(workspace: Workspace, paths: Sequence[str], existing: dict[str, DvcFile]) -> dict[str, Content]:
    """Data that DVC 2 has put under version, and that are whole as they were: they stay as they are, as with DVC."""
    recorded = {out.path: out for file in existing.values() for out in file.outs}
    return {
        path: out.content
        for path in paths
        if (out := recorded.get(path)) is not None
        and out.content is not None
        and objectid.is_legacy(out.content.md5)
        and workspace.change_of(out) is None
    }


def add_brought(workspace: Workspace, path: str, bring: Callable[[], Content]) -> AddReport:
    """Put data under version that are brought somewhere else than into the cache: only when they may lie at the path,
    and recorded only when all of them have arrived.

    Raises: as `Workspace.add`.
    """
    existing = workspace.dvc_files()
    holder = _holder(path, existing)
    if holder is not None:
        raise InvalidError(f"{path} lies inside {holder}, which is under version", hint=f"ever add {path}")
    if targets.describes_data(path) or path == ".":
        raise InvalidError(f"{path} cannot be data", hint="name another path: -o PATH")
    _refuse_made(path, targets.made_by_stages(workspace))
    _refuse_overlap(path, existing)
    _refuse_tracked_by_git(workspace.root, [path])
    content = bring()
    (workspace.root / path).parent.mkdir(parents=True, exist_ok=True)
    with workspace.locked(), workspace.claimed(writes=[path]):
        file, is_new = _record(workspace, path, content, existing)
        stage(workspace, [file.path] if is_new else [])
    return AddReport(added=(file,) if is_new else (), unchanged=() if is_new else (file,))


def _measured(workspace: Workspace, paths: Sequence[str]) -> dict[str, Content]:
    contents = {}
    for path in paths:
        content = workspace.measure(path)
        if content is None:
            raise NotFoundError(f"{path} does not exist in {workspace.root}")
        workspace.contents.seen(path).refuse_broken()
        contents[path] = content
    workspace.contents.save()
    return contents


def _record(workspace: Workspace, path: str, content: Content, existing: dict[str, DvcFile]) -> tuple[DvcFile, bool]:
    holders = (name for name, file in existing.items() if any(out.path == path for out in file.outs))
    name = next(holders, path + DVC_SUFFIX)
    before = existing.get(name)
    traits = workspace.contents.traits(path) if content.is_directory else None
    file = DvcFile(path=name, outs=(Out(path=path, content=content, traits=traits),))
    recorded = next((out for out in before.outs if out.path == path), None) if before else None
    workspace.keep_out_of_git(path)
    if recorded is not None and recorded.content == content and recorded.traits == traits:
        return file, False
    dvcfile.write(workspace.root, file)
    return file, True


def _not_kept(
    workspace: Workspace, looked: Iterable[tuple[Out, Sequence[str]]]
) -> tuple[dict[str, str], dict[str, str]]:
    """The links that the records have not, of the paths that were looked at: to files, and to folders."""
    flattened: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for out, paths in looked:
        if out.content is None or not out.content.is_directory:
            continue
        kept = out.traits.links if out.traits is not None else {}
        for path in paths:
            seen = workspace.contents.seen(path)
            for inner, target in sorted(seen.links.items()):
                full = f"{path}/{inner}" if inner else path
                if full.removeprefix(out.path + "/") not in kept:
                    (left_out if inner in seen.folder_links else flattened)[full] = target
    return flattened, left_out


def _holder(path: str, existing: dict[str, DvcFile]) -> str | None:
    """The tracked directory that the path lies in."""
    outs = (out.path for file in existing.values() for out in file.outs)
    return next((out for out in outs if path.startswith(out + "/")), None)


def _file_of(out: str, existing: dict[str, DvcFile]) -> DvcFile:
    return next(file for file in existing.values() if any(each.path == out for each in file.outs))


def _refuse_unfit(workspace: Workspace, path: str, made: dict[str, str], *, is_part: bool) -> None:
    if path == ".":
        raise InvalidError("the workspace itself cannot be added", hint="add the folders of data in it by name")
    target = workspace.root / path
    # A file that is gone from a tracked directory is added as gone.
    if not target.exists() and not is_part:
        raise NotFoundError(f"{path} does not exist in {workspace.root}")
    if targets.describes_data(path):
        raise InvalidError(f"{path} describes data; it belongs into Git", hint=f"git add {path}")
    if workspace.dvcignore.ignores_or_parent(path, is_directory=target.is_dir()):
        raise InvalidError(f"{path} is excluded by a .dvcignore file", hint="change the pattern there")
    _refuse_made(path, made)


def _refuse_made(path: str, made: dict[str, str]) -> None:
    for other, maker in made.items():
        if path == other or path.startswith(other + "/") or other.startswith(path + "/"):
            where = "is" if path == other else "lies inside" if path.startswith(other) else "contains"
            raise InvalidError(
                f"{path} {where} the output {other} of a stage in {maker}",
                hint="run the stage (ever repro), or take what lies there as its result (ever commit)",
            )


def _refuse_overlap(path: str, existing: dict[str, DvcFile]) -> None:
    for file in existing.values():
        for out in file.outs:
            if out.path.startswith(path + "/"):
                raise InvalidError(
                    f"{path} contains {out.path}, which {file.path} has under version",
                    hint=f"remove {file.path} first, or add the other parts of {path} one by one",
                )
            if out.path == path and file.is_import:
                raise InvalidError(f"{path} was imported by {file.path}; adding it would cut it off from its source")


def _refuse_tracked_by_git(root: Path, paths: list[str]) -> None:
    git = Git(root)
    if not paths or not git.is_repository():
        return
    tracked = git.tracked(paths)
    if tracked:
        raise ConflictError(
            f"{tracked[0]} is tracked by Git already, {len(tracked)} file(s) in all",
            hint=f"take it out of Git, the file itself stays: git rm -r --cached {' '.join(paths)}",
        )
