"""Let Git call Everloop: hooks at commit, checkout and push, and the merge driver.

The hooks are those of `dvc install`. Somebody else's hook is never overwritten.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.errors import ConflictError, InvalidError
from everloop.workspace import durable, yamlfile
from everloop.workspace.git import Git
from everloop.workspace.yamlfile import read_text

if TYPE_CHECKING:
    from everloop.workspace.workspace import Workspace

DRIVER = "everloop"
_PATTERNS = ("*.dvc", "dvc.lock")
_DVC_HOOK = "dvc git-hook"
TOOL_FILE = ".pre-commit-config.yaml"


class InstallReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `install` wrote.

    Attributes:
        hooks: Written now, or before.
        kept: Hooks of DVC's that do the same and stay.
        attributes: The file that names the merge driver; to be committed.
    """

    hooks: tuple[str, ...]
    kept: tuple[str, ...]
    attributes: str


def install(
    workspace: Workspace, *, hooks: tuple[str, ...], command: str = "ever", use_pre_commit_tool: bool = False
) -> InstallReport:
    """Install hooks and merge driver; see `Workspace.install`."""
    git = workspace.git
    if not git.is_repository():
        raise InvalidError(f"{workspace.root} is not in a Git repository, so there is nothing to install into")
    attributes = workspace.root / ".gitattributes"
    if use_pre_commit_tool:
        is_written = _configure_tool(git.top() / TOOL_FILE, hooks, command)
        _install_driver(git, attributes, command)
        return InstallReport(
            hooks=hooks if is_written else (), kept=() if is_written else hooks, attributes=str(attributes)
        )
    folder = _hooks_folder(git)
    written, kept = [], []
    for name in hooks:
        path = folder / name
        there = read_text(path) if path.exists() else ""
        if _DVC_HOOK in there:
            kept.append(name)
        elif there in ("", _script(name, command)):
            written.append(name)
        else:
            raise ConflictError(
                f"{path} exists already, and is not ours",
                hint=f'add this line to it yourself: {command} git-hook {name} "$@"',
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name in written:
        durable.write_atomically(folder / name, _script(name, command).encode())
        (folder / name).chmod(0o755)
    _install_driver(git, attributes, command)
    return InstallReport(hooks=tuple(written), kept=tuple(kept), attributes=str(attributes))


def _configure_tool(path: Path, hooks: tuple[str, ...], command: str) -> bool:
    """Add the hooks to the configuration of the pre-commit tool; False when DVC's own are there, which do the same."""
    data = yamlfile.load_editable_mapping(path) if path.exists() else yamlfile.new_mapping()
    repositories = data.setdefault("repos", [])
    if not isinstance(repositories, list) or not all(isinstance(each, dict) for each in repositories):
        raise InvalidError(f"{path}: repos must be a list of mappings")
    ids = {hook.get("id") for each in repositories for hook in each.get("hooks") or () if isinstance(hook, dict)}
    if {f"dvc-{name}" for name in hooks} <= ids:
        return False
    ours = [
        {
            "id": f"ever-{name}",
            "name": f"ever {name}",
            "entry": f"{command} git-hook {name}",
            "language": "system",
            "stages": [name],
            "always_run": True,
            "pass_filenames": False,
            "verbose": True,
        }
        for name in hooks
        if f"ever-{name}" not in ids
    ]
    if ours:
        repositories.append({"repo": "local", "hooks": ours})
        durable.write_atomically(path, yamlfile.dump(data))
    return True


def _script(name: str, command: str) -> str:
    return f'#!/bin/sh\nexec {command} git-hook {name} "$@"\n'


def _hooks_folder(git: Git) -> Path:
    for scope in ("--local", "--global"):
        chosen = git.setting("core.hooksPath", scope)
        if chosen:
            return git.top() / Path(chosen).expanduser()
    return Path(git.ask("rev-parse", "--path-format=absolute", "--git-common-dir").rstrip("\n")) / "hooks"


def _install_driver(git: Git, attributes: Path, command: str) -> None:
    text = read_text(attributes) if attributes.exists() else ""
    merges = [line.split() for line in text.splitlines() if "merge=" in line]
    drivers = {DRIVER} | {"dvc" for words in merges if "merge=dvc" in words}
    for name in sorted(drivers):
        # A colleague with DVC alone has `merge=dvc` in the attributes: here, in this clone, it is done by us.
        git.configure(f"merge.{name}.name", "merges .dvc and dvc.lock by entry")
        git.configure(f"merge.{name}.driver", f"{command} merge-driver %O %A %B %P")
    taken = {words[0] for words in merges}
    lines = [f"{pattern} merge={DRIVER}\n" for pattern in _PATTERNS if pattern not in taken]
    if lines:
        if text and not text.endswith("\n"):
            text += "\n"
        durable.write_atomically(attributes, (text + "".join(lines)).encode())
