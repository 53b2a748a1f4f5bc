"""Moving a model package between a folder and the object store, file by file, verified both ways."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from everloop.errors import InvalidError
from everloop.registry.model import PackageFile
from everloop.registry.package import read_package
from everloop.storage import ObjectStore


def put_package(folder: Path, put_file: Callable[[Path], str]) -> list[PackageFile]:
    """Store every file of a package and return its list, by path.

    Args:
        folder: the package; it is read and checked first.
        put_file: stores one file and returns its SHA-256, as `ObjectStore.put_file` does.

    Raises:
        NotFoundError, InvalidError: `folder` is not a sound package.
    """
    read_package(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        PackageFile(path=path.relative_to(folder).as_posix(), digest=put_file(path), size_bytes=path.stat().st_size)
        for path in files
    ]


def fetch_package(objects: ObjectStore, files: Sequence[PackageFile], folder: Path) -> Path:
    """Write a package's files under `folder`, which appears only when it is complete; return it.

    A folder that is there already is complete, so it is left as it is.

    Raises:
        NotFoundError: a file is not in the object store.
        InvalidError: there is no file, a file is damaged, or its path leaves the package.
    """
    if not files:
        raise InvalidError(
            "this version has no files here: they are at its source, if anywhere (`ever model show MODEL VERSION`)",
            hint="Log the model to a run, and register it from there.",
        )
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for file in files:
            parts = PurePosixPath(file.path).parts
            if not parts or file.path.startswith("/") or ".." in parts:
                raise InvalidError(f"package path {file.path!r} leaves the package")
            objects.fetch(file.digest, temporary.joinpath(*parts))
        try:
            temporary.rename(folder)
        except OSError:
            # Another process was first; its copy is as good.
            if not (folder / "MLmodel").exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def listing_digest(files: Sequence[PackageFile]) -> str:
    """Return the package digest of a listing; equal to `registry.package.package_digest` of its folder."""
    lines = "".join(f"{file.digest}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256(lines.encode()).hexdigest()
