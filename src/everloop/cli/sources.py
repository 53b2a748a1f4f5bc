"""`ever list`, `du`, `get`, `get-url`: data of other repositories and addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import click

from everloop.cli.output import emit, hint, json_option
from everloop.cli.words import ManyWords, assignments
from everloop.errors import NotFoundError
from everloop.workspace import Entry, Source, Workspace, listing, open_source
from everloop.workspace.addresses import list_address
from everloop.workspace.configuration import Configuration, read_sections
from everloop.workspace.get import get, get_address
from everloop.workspace.objectid import digits
from everloop.workspace.origin import is_local, name_of, open_origin

Command = TypeVar("Command", bound=Callable[..., Any])


def rev_option(command: Command) -> Command:
    """Add `--rev`."""
    return click.option("--rev", metavar="REV", help="A branch, tag or commit.")(command)


def remote_option(command: Command) -> Command:
    """Add `--remote`, of another repository."""
    return click.option("--remote", metavar="NAME", help="The repository's remote that has its data.")(command)


def configuration_options(command: Command) -> Command:
    """Add `--config` and `--remote-config`; the function receives both, to be handed to `_source`."""
    words = click.option(
        "--remote-config",
        multiple=True,
        metavar="NAME=VALUE",
        help="Options for its remote that count more.",
    )
    file = click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False),
        help="A configuration file that counts more than the repository's own.",
    )
    return file(words(command))


def out_option(command: Command) -> Command:
    """Add `--out`."""
    return click.option("-o", "--out", metavar="PATH", help="Where to; a folder that is there gets it inside.")(command)


def force_option(command: Command) -> Command:
    """Add `--force`."""
    return click.option("-f", "--force", is_flag=True, help="Replace what lies there.")(command)


@click.command("list", cls=ManyWords)
@click.argument("url", default=".")
@click.argument("path", default="")
@rev_option
@remote_option
@configuration_options
@click.option("-R", "--recursive", is_flag=True, help="Also what lies deeper.")
@click.option("-T", "--tree", is_flag=True, help="Draw a tree.")
@click.option("-L", "--level", type=click.IntRange(min=0), help="How deep to look.")
@click.option("--dvc-only", is_flag=True, help="Only data under version.")
@click.option("--size", "with_size", is_flag=True, help="Show sizes.")
@click.option("--show-hash", is_flag=True, help="Show hashes.")
@json_option
def list_command(
    url: str,
    path: str,
    rev: str | None,
    remote: str | None,
    config: str | None,
    remote_config: tuple[str, ...],
    recursive: bool,
    tree: bool,
    level: int | None,
    dvc_only: bool,
    with_size: bool,
    show_hash: bool,
    as_json: bool,
) -> None:
    """List what a repository has at PATH: files in Git, and data under version.

    URL is a folder, or what `git clone` takes. Without --rev a folder is listed as it is now.

    \b
    Example:
      ever list . -R --dvc-only
      ever list https://github.com/iterative/example-get-started data --rev main
    """
    if tree and as_json:
        raise click.UsageError("--tree is for people, --json is not; choose one")
    with _source(url, rev, remote, config, remote_config) as source:
        if tree:
            branches = list(listing.list_tree(source, _inner(path), dvc_only=dvc_only, max_depth=level))
            names, found = list(_drawn(branches)), [entry for _, _, entry in branches]
        else:
            found = listing.list_entries(source, _inner(path), recursive=recursive, dvc_only=dvc_only, max_depth=level)
            names = [entry.path for entry in found]
    if found or as_json:
        lines = _lines(names, found, with_size, show_hash)
        emit([listing.entry_of(entry) for entry in found], as_json=as_json, text=lines)
    hint(f"ever get {url} PATH (bring it here), or ever import {url} PATH (and keep track of it)")


@click.command(cls=ManyWords)
@click.argument("url", default=".")
@click.argument("path", default="")
@rev_option
@remote_option
@configuration_options
@click.option("-s", "--summarize", is_flag=True, help="Only the whole.")
@json_option
def du(
    url: str,
    path: str,
    rev: str | None,
    remote: str | None,
    config: str | None,
    remote_config: tuple[str, ...],
    summarize: bool,
    as_json: bool,
) -> None:
    """Tell how many bytes what a repository has at PATH takes."""
    with _source(url, rev, remote, config, remote_config) as source:
        found = [(name or ".", size) for name, size in listing.usage(source, _inner(path), summarise=summarize)]
    width = max(len(f"{size:,}") for _, size in found)
    lines = [f"{size:>{width},}  {name}" for name, size in found]
    emit([{"path": name, "size": size} for name, size in found], as_json=as_json, text=lines)


@click.command("get", cls=ManyWords)
@click.argument("url")
@click.argument("path")
@rev_option
@remote_option
@configuration_options
@out_option
@click.option("--show-url", is_flag=True, help="Only print where the data are.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=8, help="How many files to bring at a time.")
@force_option
@json_option
def get_command(
    url: str,
    path: str,
    rev: str | None,
    remote: str | None,
    config: str | None,
    remote_config: tuple[str, ...],
    out: str | None,
    show_url: bool,
    jobs: int,
    force: bool,
    as_json: bool,
) -> None:
    """Bring a file or folder of a repository here. No workspace is needed, and nothing keeps track of it."""
    if show_url:
        with _source(url, rev, remote, config, remote_config) as source:
            where = source.address(_inner(path))
        emit({"url": where}, as_json=as_json, text=where)
        return
    target = target_of(out, path)
    with _source(url, rev, remote, config, remote_config) as source:
        n_files = get(source, _inner(path), target, force=force, jobs=jobs)
    emit({"path": str(target), "n_files": n_files}, as_json=as_json, text=f"brought {target} ({n_files:,} files)")


def jobs_option(command: Command) -> Command:
    """Add `--jobs`."""
    return click.option("-j", "--jobs", type=click.IntRange(min=1), help="How many files to bring at a time.")(command)


def fs_config_option(command: Command) -> Command:
    """Add `--fs-config`, whose words `assignments` reads."""
    return click.option(
        "--fs-config", multiple=True, metavar="KEY=VALUE ...", help="Options for the address, as those of a remote."
    )(command)


@click.command("get-url", cls=ManyWords)
@click.argument("url")
@click.argument("out", required=False)
@jobs_option
@fs_config_option
@force_option
@json_option
def get_url(
    url: str, out: str | None, jobs: int | None, fs_config: tuple[str, ...], force: bool, as_json: bool
) -> None:
    """Bring what lies at an address here: http(s)://, s3://, ssh://, ..., remote://NAME/path, or a path.

    \b
    Example:
      ever get-url s3://bucket/flights
      ever get-url ssh://host/data/rows.csv --fs-config user=ada
    """
    target = target_of(out, url)
    configuration = Configuration(_dvc_dir())
    origin = None if is_local(url) else open_origin(url, configuration, fs_config=assignments(fs_config))
    get_address(url, target, force=force, jobs=jobs, origin=origin)
    emit({"path": str(target)}, as_json=as_json, text=f"brought {target}")


@click.command("list-url", cls=ManyWords)
@click.argument("url")
@click.option("-R", "--recursive", is_flag=True, help="Also what lies deeper.")
@click.option("-T", "--tree", is_flag=True, help="Draw a tree.")
@click.option("-L", "--level", type=click.IntRange(min=1), help="How deep to look.")
@click.option("--size", "with_size", is_flag=True, help="Show sizes; those in buckets are not known.")
@click.option("--fs-config", multiple=True, metavar="NAME=VALUE", help="Options of the bucket, as endpointurl=….")
@json_option
def list_url(
    url: str, recursive: bool, tree: bool, level: int | None, with_size: bool, fs_config: tuple[str, ...], as_json: bool
) -> None:
    """List what lies at URL: a folder of this machine, s3://bucket/folder, gs://…, azure://…

    \b
    Example:
      ever list-url s3://our-data/raw --size
      ever list-url s3://our-data --fs-config endpointurl=http://minio:9000 -R
    """
    if tree and as_json:
        raise click.UsageError("--tree is for people, --json is not; choose one")
    depth = level if recursive or tree else 1
    found = list_address(url, max_depth=depth, options=assignments(fs_config))
    if tree:
        branches = _branches(found, url.rstrip("/").rpartition("/")[2] or url)
        names, found = list(_drawn(branches)), [entry for _, _, entry in branches]
    else:
        names = [entry.path for entry in found]
    emit([listing.entry_of(entry) for entry in found], as_json=as_json, text=_lines(names, found, with_size, False))
    hint(f"ever import-url {url}/NAME, or ever get-url {url}/NAME")


def _dvc_dir() -> Path | None:
    """Of the workspace around the current folder; None when there is none."""
    try:
        return Workspace.open().layout.dvc_dir
    except NotFoundError:
        return None


def _source(
    url: str, rev: str | None, remote: str | None, config: str | None, remote_config: tuple[str, ...]
) -> AbstractContextManager[Source]:
    given = read_sections(Path(config).absolute()) if config else None
    return open_source(url, rev, remote=remote, given=given, remote_options=assignments(remote_config))


def _inner(path: str) -> str:
    """A path as the repository has it."""
    return "" if path == "." else str(Path(path)).strip("/") if path else ""


def target_of(out: str | None, origin: str) -> Path:
    """Where something comes to, that has a name where it comes from."""
    if out is None:
        return Path(name_of(origin)).absolute()
    target = Path(out).absolute()
    return target / name_of(origin) if target.is_dir() else target


def _lines(names: list[str], found: list[Entry], with_size: bool, show_hash: bool) -> list[str]:
    """As `dvc list` prints them: the columns before the name have no heads."""
    sizes = [_size(entry) if with_size else "" for entry in found]
    hashes = [digits(entry.md5 or "-") if show_hash else "" for entry in found]
    size_width, hash_width = (max(map(len, cells), default=0) for cells in (sizes, hashes))
    rows = []
    for size, md5, name in zip(sizes, hashes, names, strict=True):
        before = [*([size.rjust(size_width)] if with_size else []), *([md5.ljust(hash_width)] if show_hash else [])]
        rows.append("  ".join([*before, name]))
    return rows


def _size(entry: Entry) -> str:
    """Bytes, from 1024 on with three digits and a letter: 139, 4.88k, 977k; nothing where it is not known."""
    value = float(entry.size_bytes or 0)
    if entry.size_bytes is None or (not value and entry.is_directory):
        return ""
    if value < 1024:
        return f"{value:.0f}"
    letters = iter("kMGTPEZ")
    letter = ""
    while value >= 999.5:
        value, letter = value / 1024, next(letters)
    return f"{value:.{2 - (value >= 9.995) - (value >= 99.95)}f}{letter}"


def _branches(found: list[Entry], name: str) -> list[tuple[int, bool, Entry]]:
    """Sorted entries as (depth, is the last of its folder, entry), with the folders that they lie in."""
    paths = {"/".join(entry.path.split("/")[:n]) for entry in found for n in range(1, entry.path.count("/") + 1)}
    known = {path: Entry(path=path, is_directory=True) for path in paths} | {entry.path: entry for entry in found}
    ordered = sorted(known, key=lambda path: path.split("/"))
    last = {path.rpartition("/")[0]: path for path in ordered}
    rows = [(path.count("/") + 1, last[path.rpartition("/")[0]] == path, known[path]) for path in ordered]
    return [(0, True, Entry(path=name, is_directory=True)), *rows]


def _drawn(branches: list[tuple[int, bool, Entry]]) -> Iterator[str]:
    """The lines of a tree."""
    rails: list[bool] = []
    for depth, is_last, entry in branches:
        name = entry.path.rpartition("/")[2] or "."
        if depth == 0:
            yield name
            continue
        del rails[depth - 1 :]
        above = "".join("    " if ended else "│   " for ended in rails)
        yield f"{above}{'└── ' if is_last else '├── '}{name}"
        rails.append(is_last)
