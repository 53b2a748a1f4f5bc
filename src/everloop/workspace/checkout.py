"""Make paths of the workspace hold what their records say, out of the cache.

Every byte is verified against its hash on the way; only a link to the very file that was verified before is not
read again. What is in the way is overwritten only when the cache has it too,
unless forced.
"""

from __future__ import annotations

import itertools
import os
import stat
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop import progress
from everloop.errors import ConflictError, NotFoundError
from everloop.workspace import arrangement, durable, hashing, links, objectid, scratch, slices
from everloop.workspace.arrangement import Arrangement
from everloop.workspace.cache import Cache, corrupt
from everloop.workspace.state import CLOCK_TICK_NS, Identity, Listing, identity
from everloop.workspace.traits import Seen
from everloop.workspace.values import CheckoutReport, Content, Out

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# Up to this size an object is read at once.
_SMALL_BYTES = 1 << 20
# Identity of a written file, and whether its bytes were verified; packed, because there may be millions of them.
_WRITTEN = struct.Struct("<Qqq?")


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What restoring one out takes.

    Attributes:
        write: `{path below the out: md5}`; the path of the out itself is "".
        remove: Paths below the out.
        replaced: What lies now where something is written or removed, `{path below the out: md5}`.
        arrangement: What else the record says of a directory.
        is_remade: The bytes are right already; only the way in which files share them with the cache changes.
        linked: Links that are in the listing, as a file with the bytes of its target: `{path below the out: md5}`.
    """

    out: Out
    content: Content
    write: dict[str, str]
    remove: list[str]
    replaced: dict[str, str] = {}
    arrangement: Arrangement = Arrangement()
    linked: dict[str, str] = {}
    is_remade: bool = False


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
        missing.update(dict.fromkeys(sorted(workspace.cache.absent(plan.write.values())), out.path))
    if missing:
        md5, path = next(iter(missing.items()))
        raise NotFoundError(
            f"{len(missing)} object(s) of {path} are not in the cache {workspace.cache.root}, the first is {md5}",
            hint="bring them there (ever pull), or make the data again (ever repro)",
        )
    if obstacles and not force:
        raise ConflictError(
            f"{len(obstacles)} file(s) hold changes that are nowhere else, the first is {obstacles[0]}",
            hint="keep them (ever add, ever repro) or overwrite them (ever checkout --force)",
        )
    if plans:
        _keep_replaced(workspace, plans)
    for plan in plans:
        _carry_out(workspace, plan)
    workspace.contents.save()
    written = [path in plan.replaced for plan in plans for path in (*plan.write, *plan.linked)]
    return CheckoutReport(
        restored=tuple(plan.out.path for plan in plans),
        unchanged=tuple(unchanged),
        n_added=written.count(False),
        n_modified=written.count(True) + sum(len(plan.arrangement.to_mark) for plan in plans),
        n_deleted=sum(len(plan.remove) for plan in plans),
    )


def _plan(workspace: Workspace, out: Out, content: Content, obstacles: list[str]) -> _Plan | None:
    held = workspace.contents.like(content.md5).look(out.path)
    if held is not None and held.content.md5 == content.md5:
        return _plan_traits(workspace, out, content)
    if content.is_directory and not workspace.cache.has(content.md5):
        return _Plan(out=out, content=content, write={"": content.md5}, remove=[])
    wanted = workspace.cache.read_directory(content.md5) if content.is_directory else {"": content.md5}
    present = held.files() if held is not None else {}
    seen = workspace.contents.seen(out.path) if held is not None and held.content.is_directory else Seen()
    arranged = arrangement.arrange(out.traits, seen, wanted, present) if content.is_directory else Arrangement()
    # All of them where nothing is there: a million files do not fit in memory many times.
    is_all = not present and not arranged.stale and not arranged.recorded
    write = (
        wanted
        if is_all
        else {
            path: md5
            for path, md5 in wanted.items()
            if (present.get(path) != md5 or path in arranged.stale) and path not in arranged.recorded
        }
    )
    linked = {path: wanted[path] for path in arranged.links if path in wanted}
    remove = [path for path in present if path not in wanted and path not in arranged.recorded]
    gone = (*remove, *(path for path in write if path in present), *(path for path in linked if path in present))
    replaced = {path: present[path] for path in gone}
    obstacles += [_below(out, path) for path in _only_here(workspace, out.path, replaced)]
    return _Plan(
        out=out,
        content=content,
        write=write,
        remove=remove,
        replaced=replaced,
        arrangement=arranged,
        linked=linked,
    )


def _plan_traits(workspace: Workspace, out: Out, content: Content) -> _Plan | None:
    """What it takes where the bytes are right; None when nothing is missing, or nobody knows what the traits are of."""
    if out.traits is None or workspace.contents.traits(out.path) == out.traits:
        return None
    if not content.is_directory or not workspace.cache.has(content.md5):
        return None
    files = workspace.cache.read_directory(content.md5)
    arranged = arrangement.arrange(out.traits, workspace.contents.seen(out.path), files, files)
    if not arranged.has_work:
        return None
    linked = {path: files[path] for path in arranged.links if path in files}
    return _Plan(out=out, content=content, write={}, remove=[], replaced=linked, arrangement=arranged, linked=linked)


def _only_here(workspace: Workspace, path: str, replaced: dict[str, str]) -> list[str]:
    """The files whose bytes the cache has under no id, neither of the one kind nor of the other."""
    lost = workspace.cache.absent(replaced.values())
    names = [name for name, md5 in replaced.items() if md5 in lost]
    is_legacy = any(objectid.is_legacy(md5) for md5 in lost)
    if not names or not (is_legacy or workspace.cache.has_legacy()):
        return names
    others = workspace.contents.like(None if is_legacy else objectid.LEGACY).files(path)
    return [name for name in names if not workspace.cache.has(others[name])]


def _keep_replaced(workspace: Workspace, plans: Sequence[_Plan]) -> None:
    """Let `ever undo` bring back what is there now."""
    before = {_below(plan.out, path): md5 for plan in plans for path, md5 in plan.replaced.items()}
    links = {_below(plan.out, path): link for plan in plans for path, link in plan.arrangement.in_the_way.items()}
    if before or links:
        after = {_below(plan.out, path): md5 for plan in plans for path, md5 in (plan.write | plan.linked).items()}
        made = [_below(plan.out, path) for plan in plans for path in plan.arrangement.made if path not in plan.linked]
        workspace.trash.note("checkout", before, after, links=links, made=made)
        workspace.trash.prune()


def _below(out: Out, path: str) -> str:
    return f"{out.path}/{path}" if path else out.path


def _carry_out(workspace: Workspace, plan: _Plan) -> None:
    target = workspace.root / plan.out.path
    with scratch.beside(workspace.layout.scratch_dir, target) as folder:
        if plan.content.is_directory and not os.path.lexists(target):
            (folder / "tree").mkdir()
            written = _write(workspace, plan, folder / "tree", list(plan.write))
            arrangement.make_links(folder / "tree", plan.arrangement)
            arrangement.finish(folder / "tree", plan.arrangement, workspace.layout.scratch_dir, workspace.cache)
            # Nothing was there, so the whole of it appears at once.
            (folder / "tree").rename(target)
        else:
            names = [str(number) for number in range(len(plan.write))]
            written = _write(workspace, plan, folder, names)
            # What replaces something must be on the disk before; a new file that a power cut takes is made again.
            durable.sync_all(folder, [folder / name for name in names])
            if plan.is_remade:
                _require_same(workspace, plan)
            for path in plan.remove:
                _remove(target, path)
            if plan.content.is_directory:
                target.mkdir(parents=True, exist_ok=True)
            arrangement.clear(target, plan.arrangement)
            for name, path in zip(names, plan.write, strict=True):
                _put_in_place(folder / name, target / path if path else target)
            arrangement.make_links(folder / "links", plan.arrangement)
            for path in plan.arrangement.links:
                _put_in_place(folder / "links" / path, target / path)
            arrangement.finish(target, plan.arrangement, workspace.layout.scratch_dir, workspace.cache)
    _remember(workspace, plan, written)


def remake(workspace: Workspace, path: str, content: Content, files: Mapping[str, str]) -> None:
    """Make files that are right already anew out of the cache, linked as `cache.type` says now.

    Args:
        workspace: Locked by the caller.
        path: Of the data.
        content: What is there.
        files: Which files of it, `{path below it: md5}`; a file that is no directory is "".

    Raises:
        ConflictError: The data changed meanwhile; they stay.
        FailedError: A cache object is damaged; the files stay.
    """
    executable = frozenset(workspace.contents.seen(path).executable)
    plan = _Plan(
        out=Out(path=path, content=content),
        content=content,
        write=dict(files),
        remove=[],
        arrangement=Arrangement(executable=executable),
        is_remade=True,
    )
    _carry_out(workspace, plan)


def _require_same(workspace: Workspace, plan: _Plan) -> None:
    held = workspace.contents.measure(plan.out.path)
    if held is None or held.md5 != plan.content.md5:
        raise ConflictError(
            f"{plan.out.path} changed while it was linked to the cache, so it stays as it is",
            hint="try again when nothing writes to it",
        )


def _write(workspace: Workspace, plan: _Plan, folder: Path, names: Sequence[str]) -> Listing:
    """Write the plan's files into a folder, under names of the caller, several at once; what they are now."""
    for parent in dict.fromkeys(name.rpartition("/")[0] for name in names):
        (folder / parent).mkdir(parents=True, exist_ok=True)
    paths, md5s = list(plan.write), list(plan.write.values())
    executable = plan.arrangement.executable if plan.content.is_directory else paths * plan.content.is_executable
    average = plan.content.size_bytes // max(plan.content.n_files or 1, 1)
    # A link moves no bytes.
    moved = 0 if workspace.cache.link_types[0] in ("hardlink", "symlink") else average
    with progress.phase("checking out", len(names), moved * len(names) or None) as phase:
        written = slices.each(
            lambda places: [
                b"".join(
                    _WRITTEN.pack(
                        *_materialise(
                            workspace.cache, md5s[at], f"{folder}/{names[at]}", is_executable=paths[at] in executable
                        )
                    )
                    for at in places
                )
            ],
            range(len(names)),
            item_bytes=average,
            is_forkable=True,
            told=progress.batches(phase, lambda places: moved * len(places)),
        )
    listing = Listing()
    is_linked = bytearray()
    found = itertools.chain.from_iterable(map(_WRITTEN.iter_unpack, written))
    for path, (inode, time_ns, size, is_verified) in zip(paths, found, strict=True):
        listing.append(path, (inode, time_ns, size))
        is_linked.append(not is_verified)
    del written, found
    if any(is_linked):
        # A link to an object is the file that was verified before, unless its stat tells otherwise.
        known = workspace.contents.like(plan.content.md5).verified(plan.out.path, listing)
        unknown = [at for at, md5 in enumerate(known) if is_linked[at] and md5 != md5s[at]]
        hashed = slices.each(
            lambda places: [hashing.md5_of_file(f"{folder}/{names[at]}", md5s[at]) for at in places],
            unknown,
            is_forkable=True,
        )
        for at, md5 in zip(unknown, hashed, strict=True):
            if md5 != md5s[at]:
                raise corrupt(workspace.cache.path(md5s[at]))
    return listing


def _remember(workspace: Workspace, plan: _Plan, written: Listing) -> None:
    contents = workspace.contents.like(plan.content.md5)
    if plan.content.is_directory:
        md5s = [*plan.write.values(), *plan.linked.values()]
        for path in plan.linked:
            written.append(path, identity((workspace.root / plan.out.path / path).stat()))
        contents.remember_directory(plan.out.path, written, md5s, plan.remove, plan.content.md5)
    else:
        contents.remember(plan.out.path, (workspace.root / plan.out.path).stat(), plan.content.md5)


def _materialise(cache: Cache, md5: str, aside: str, *, is_executable: bool) -> tuple[int, int, int, bool]:
    """Make one file out of an object; its identity now, and whether its bytes were verified on the way."""
    source = cache.place(md5)
    for link_type in cache.link_types:
        if link_type == "hardlink" and not is_executable and links.hardlink(source, aside):
            return *identity(os.stat(aside)), False  # noqa: PTH116  a Path for each file costs more than its stat
        if link_type == "symlink" and not is_executable and links.symlink(source, aside):
            return *identity(os.stat(aside)), False  # noqa: PTH116
        if link_type == "reflink" and cache.reflink(source, aside):
            _verify(cache, md5, aside)
            return *_finish(aside, is_executable=is_executable), True
        if link_type == "copy":
            return *_copy(cache, md5, aside, is_executable=is_executable), True
    if is_executable:
        # A second name has the mode of the first, and the cache's objects are not executable.
        return *_copy(cache, md5, aside, is_executable=True), True
    raise ConflictError(
        f"none of cache.type {', '.join(cache.link_types)} works between {source} and {aside}",
        hint="allow copies: dvc config cache.type reflink,copy",
    )


def _copy(cache: Cache, md5: str, aside: str, *, is_executable: bool) -> Identity:
    place = cache.place(md5)
    source = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size_bytes = os.fstat(source).st_size
        if size_bytes <= _SMALL_BYTES:
            data = os.read(source, size_bytes)
            if hashing.md5_of(data, md5) != md5:
                raise corrupt(Path(place))
        target = os.open(aside, _WRITE_NEW, 0o777 if is_executable else 0o666)
        try:
            if size_bytes <= _SMALL_BYTES:
                hashing.write_all(target, data)
            elif hashing.md5_of_copy(source, target, size_bytes, md5) != md5:
                raise corrupt(Path(place))
            return _finish(target, is_executable=is_executable)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _finish(file: int | str, *, is_executable: bool) -> Identity:
    if is_executable:
        os.chmod(file, os.stat(file).st_mode | 0o111)  # noqa: PTH101, PTH116, S103  as the user's file was
    # A little in the past, so that a change by the user right after this one has another modification time for certain.
    past_ns = time.time_ns() - 2 * CLOCK_TICK_NS
    os.utime(file, ns=(past_ns, past_ns | 1))
    return identity(os.stat(file))  # noqa: PTH116  a descriptor, most of the time


def _verify(cache: Cache, md5: str, aside: str) -> None:
    if hashing.md5_of_file(aside, md5) != md5:
        raise corrupt(cache.path(md5))


def _put_in_place(aside: Path, final: Path) -> None:
    if final.is_dir() and not final.is_symlink():
        # Its files were removed before; what is left are ignored files, which only rmdir is careful with.
        _remove_empty_folders(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    aside.replace(final)


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
