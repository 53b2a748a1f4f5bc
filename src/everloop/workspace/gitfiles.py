"""References, the index and worktrees of a Git repository, read out of its files where these say the same as Git.

A `git` process takes as long as a tenth of a small command, and most commands want to know no more than which commit is
checked out. Only files as Git 2 lays them out are read (its `files` backend); of anything else nothing is said here,
and `git.py` asks Git. Leaves objects to `gitobjects.py`, and every change to Git.

Source: gitrepository-layout(5), git-pack-refs(1), git-worktree(1).
"""

from __future__ import annotations

import os
from pathlib import Path

_OID_DIGITS = (40, 64)
# Of a loose reference; no name is so long.
_MOST_BYTES = 1 << 13
_SYMBOLIC = "ref: "
# In a configuration with none of these there is a working tree, and it is where `.git` is.
_MOVING = ("worktree", "include", "bare = true", "bare=true")
# A symbolic reference that names a symbolic one, and so on: Git gives up there, too.
_DEEPEST = 5


class GitFiles:
    """The files of one repository. Reads them anew each time, so it may be shared by threads.

    Attributes:
        own: The folder of the working tree at hand: HEAD and the index lie in it.
        shared: That of the repository: references of all its working trees.
        top: The folder that the working tree seems to begin at.
    """

    def __init__(self, own: Path, shared: Path, top: Path) -> None:
        self.own = own
        self.shared = shared
        self.top = top

    @classmethod
    def around(cls, folder: Path) -> GitFiles | None:
        """The repository that a folder is in the working tree of; None when its files are not such as are read here."""
        if "GIT_CEILING_DIRECTORIES" in os.environ:
            return None
        for place in (folder, *folder.parents):
            found = place / ".git"
            if found.is_dir():
                own = found
            elif found.is_file():
                own = place / found.read_text().removeprefix("gitdir: ").rstrip("\n")
            elif (place / "HEAD").is_file() and (place / "objects").is_dir():
                # A repository without a working tree, whatever lies around it.
                return None
            else:
                continue
            return cls._in(own, place)
        return None

    @classmethod
    def _in(cls, own: Path, top: Path) -> GitFiles | None:
        shared = own
        if (common := _text(own / "commondir")) is not None:
            shared = own / common.rstrip("\n")
        has_other_backend = (shared / "reftable").exists()
        if has_other_backend or not ((shared / "objects").is_dir() and (shared / "refs").is_dir()):
            return None
        return cls(own, shared, top)

    @property
    def index(self) -> Path:
        return self.own / "index"

    def has_own_top(self) -> bool:
        """Whether the working tree certainly begins at `top`; Git's configuration may say otherwise."""
        text = (_text(self.shared / "config") or "").lower()
        return self.own == self.shared and not any(word in text for word in _MOVING)

    def branch(self) -> str | None:
        """The reference that is checked out, as `refs/heads/main`; None when that is a commit, or cannot be told."""
        text = _text(self.own / "HEAD") or ""
        return text.removeprefix(_SYMBOLIC).strip() if text.startswith(_SYMBOLIC) else None

    def head(self) -> str | None:
        """The object that is checked out; None when it cannot be told."""
        return self._resolved(_text(self.own / "HEAD"), _DEEPEST)

    def refs(self, under: str) -> dict[str, str] | None:
        """The reference of a name, or those below it, `{name: object}`, sorted by name; None when they cannot be told.

        Args:
            under: As `refs/heads`, without a slash at its end.
        """
        found: dict[str, str] = {}
        # First what is loose: Git packs a reference before it removes its file, so none is missed.
        for name in _names_below(self.shared, under):
            oid = self._resolved(self._loose(name), 1)
            if oid is None:
                return None
            found[name] = oid
        return dict(sorted((self._packed(under) | found).items()))

    def tags(self) -> dict[str, str] | None:
        """As `refs` of tags, with the objects that they stand for in the end; None when only Git can tell."""
        # A loose one does not tell whether its object is a commit, or a tag that stands for one.
        if _names_below(self.shared, "refs/tags"):
            return None
        packed = self._packed("refs/tags")
        if packed and " fully-peeled " not in self._packed_text().partition("\n")[0]:
            return None
        found: dict[str, str] = {}
        name = ""
        for line in self._packed_text().splitlines():
            # What a tag stands for has the line after it.
            oid, _, name = (line[1:], "", name) if line[0] == "^" else line.partition(" ")
            found[name] = oid
        return {name: found[name] for name in sorted(packed)}

    def worktrees(self) -> dict[Path, Path]:
        """The further working trees, `{top folder: its folder in the repository}`, also such as are gone."""
        found = {}
        for own in sorted((self.shared / "worktrees").glob("*")):
            text = _text(own / "gitdir")
            if text is not None:
                found[(own / text.rstrip("\n")).parent.resolve()] = own
        return found

    def _resolved(self, text: str | None, depth: int) -> str | None:
        if text is None:
            return None
        if not text.startswith(_SYMBOLIC):
            oid = text.strip()
            return oid if len(oid) in _OID_DIGITS and not oid.strip("0123456789abcdef") else None
        name = text.removeprefix(_SYMBOLIC).strip()
        if depth == 0 or not name.startswith("refs/"):
            return None
        loose = self._loose(name)
        return self._resolved(loose, depth - 1) if loose is not None else self._packed(name).get(name)

    def _loose(self, name: str) -> str | None:
        # Without Python's own files and paths, because there may be thousands of them.
        try:
            descriptor = os.open(f"{self.shared}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.read(descriptor, _MOST_BYTES).decode("utf-8", "surrogateescape")
        except IsADirectoryError:
            return None
        finally:
            os.close(descriptor)

    def _packed(self, under: str) -> dict[str, str]:
        """The packed reference of a name, or those below it."""
        text = self._packed_text()
        # The file may be long, and most often has nothing that is looked for.
        if f" {under}" not in text:
            return {}
        lines = (line.partition(" ") for line in text.splitlines())
        return {name: oid for oid, _, name in lines if name == under or name.startswith(f"{under}/")}

    def _packed_text(self) -> str:
        return _text(self.shared / "packed-refs") or ""


def _names_below(top: Path, under: str) -> list[str]:
    """The loose reference of a name, or those below it."""
    if (top / under).is_file():
        return [under]
    found = []
    for folder, _, files in os.walk(top / under):
        place = os.path.relpath(folder, top)
        # Those with a lock's suffix are being written; none may have such a name.
        found += [f"{place}/{name}" for name in files if not name.endswith(".lock")]
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
