"""Give files that share their bytes with the cache bytes of their own, before something writes to them."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path


def unprotect(path: Path) -> None:
    """Make a file, or each file of a directory, writable and independent of the cache, if it is not already."""
    if path.is_dir():
        for child in path.iterdir():
            unprotect(child)
        return
    found = path.stat()
    if found.st_nlink > 1:
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            shutil.copy2(path, aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    path.chmod(found.st_mode | 0o200)
