"""Make paths of the workspace hold what their records say, out of the cache.

Every byte is verified against its hash on the way. What is in the way is overwritten only when the cache has it too,
unless forced.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, NotFoundError
from everloop.workspace import durable, hashing, links
from everloop.workspace.cache import Cache, corrupt
from everloop.workspace.state import CLOCK_TICK_NS
from everloop.workspace.values import CheckoutReport, Content, Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What restoring one out takes.

    Attributes:
        write: `{path below the out: md5}`; the path of the out itself is "".
        remove: Paths below the out.
    """

    out: Out
    content: Content
    write: dict[str, str]
    remove: list[str]


def restore(workspace: Workspace, outs: Iterable[Out], *, force: bool) -> CheckoutReport:
    """Restore the outs; see `Workspace.restore`. Nothing is touched before all of them are known to be possible."""
    plans, unchanged, obstacles, missing = [], [], list[str](), dict[str, str]()
    for out in outs:
        if out.content is None or not out.is_cached:
            continue
        plan = _plan(workspace, out, out.content, obstacles)
        if plan is None:
            unchanged.append(out.path)
            continue
        plans.append(plan)
        missing.update(dict.fromkeys((md5 for md5 in plan.write.values() if not workspace.cache.has(md5)), out.path))
    if missing:
        md5, path = next(iter(missing.items()))
        raise NotFoundError(
            f"{len(missing)} object(s) of {path} are not in the cache {workspace.cache.root}, the first is {md5}",
            hint="bring them there (dvc pull), or make the data again (ever repro)",
        )
    if obstacles and not force:
        raise ConflictError(
            f"{len(obstacles)} file(s) hold changes that are nowhere else, the first is {obstacles[0]}",
            hint="keep them (ever add, ever repro) or overwrite them (ever checkout --force)",
        )
    if plans:
        _remove_leftovers(workspace.layout.scratch_dir)
    for plan in plans:
        _carry_out(workspace, plan)
    workspace.contents.save()
    return CheckoutReport(restored=tuple(plan.out.path for plan in plans), unchanged=tuple(unchanged))


def _plan(workspace: Workspace, out: Out, content: Content, obstacles: list[str]) -> _Plan | None:
    if content.is_directory and not workspace.cache.has(content.md5):
        if workspace.contents.measure(out.path) == content:
            return None
        return _Plan(out=out, content=content, write={"": content.md5}, remove=[])
    wanted = workspace.cache.read_directory(content.md5) if content.is_directory else {"": content.md5}
    target = workspace.root / out.path
    present = workspace.contents.files(out.path)
    write = {path: md5 for path, md5 in wanted.items() if present.get(path) != md5}
    remove = [path for path in present if path not in wanted]
    is_right_kind = target.is_dir() == content.is_directory and target.exists()
    if not write and not remove and is_right_kind:
        return None
    for path in (*remove, *(path for path in write if path in present)):
        if not workspace.cache.has(present[path]):
            obstacles.append(f"{out.path}/{path}" if path else out.path)
    return _Plan(out=out, content=content, write=write, remove=remove)


def _carry_out(workspace: Workspace, plan: _Plan) -> None:
    target = workspace.root / plan.out.path
    scratch = _scratch_beside(workspace.layout.scratch_dir, target)
    try:
        ready: list[tuple[Path, str, str]] = []
        for number, (path, md5) in enumerate(plan.write.items()):
            aside = scratch / str(number)
            _materialise(workspace.cache, md5, aside, is_executable=plan.content.is_executable)
            ready.append((aside, path, md5))
        durable.sync_all(scratch, [aside for aside, _, _ in ready])
        for path in plan.remove:
            _remove(target, path)
        if plan.content.is_directory:
            target.mkdir(parents=True, exist_ok=True)
        for aside, path, md5 in ready:
            _put_in_place(workspace, aside, plan.out.path + (f"/{path}" if path else ""), md5)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_leftovers(scratch_dir: Path) -> None:
    """Remove what a crash has left: whoever holds the workspace's lock is the only one who makes such folders."""
    for leftover in scratch_dir.glob(".*.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover)


def _scratch_beside(scratch_dir: Path, target: Path) -> Path:
    """A private folder on the filesystem of the target: a rename must not cross to another one."""
    scratch_dir.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    same = scratch_dir.stat().st_dev == target.parent.stat().st_dev
    scratch = (scratch_dir if same else target.parent) / f".{secrets.token_hex(8)}.tmp"
    scratch.mkdir()
    return scratch


def _materialise(cache: Cache, md5: str, aside: Path, *, is_executable: bool) -> None:
    source = cache.path(md5)
    for link_type in cache.link_types:
        if link_type == "hardlink" and not is_executable and links.hardlink(source, aside):
            _verify(source, aside, md5)
            return
        if link_type == "reflink" and links.reflink(source, aside):
            _verify(source, aside, md5)
            break
        if link_type == "copy":
            with source.open("rb", buffering=0) as stream, aside.open("xb", buffering=0) as sink:
                copied, _ = hashing.md5_of_stream(stream, sink)
            if copied != md5:
                raise corrupt(source)
            break
    else:
        raise ConflictError(
            f"none of cache.type {', '.join(cache.link_types)} works between {source} and {aside.parent}",
            hint="allow copies: dvc config cache.type reflink,copy",
        )
    if is_executable:
        aside.chmod(aside.stat().st_mode | 0o111)
    # A little in the past, so that a change by the user right after this one has another modification time for certain.
    past_ns = time.time_ns() - 2 * CLOCK_TICK_NS
    os.utime(aside, ns=(past_ns, past_ns | 1))


def _verify(source: Path, aside: Path, md5: str) -> None:
    if hashing.md5_of_file(aside) != md5:
        raise corrupt(source)


def _put_in_place(workspace: Workspace, aside: Path, path: str, md5: str) -> None:
    final = workspace.root / path
    if final.is_dir() and not final.is_symlink():
        # Its files were removed before; what is left are ignored files, which only rmdir is careful with.
        _remove_empty_folders(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    found = aside.stat()
    aside.replace(final)
    workspace.contents.remember(path, found, md5)


def _remove(target: Path, path: str) -> None:
    doomed = target / path if path else target
    doomed.unlink()
    parent = doomed.parent
    while path and parent != target and not any(parent.iterdir()):
        parent.rmdir()
        parent = parent.parent


def _remove_empty_folders(folder: Path) -> None:
    for child in folder.iterdir():
        if stat.S_ISDIR(child.lstat().st_mode):
            _remove_empty_folders(child)
    try:
        folder.rmdir()
    except OSError as error:
        raise ConflictError(f"{folder} is in the way of a file and holds ignored files", hint="move it away") from error
