"""The workspace: a project's folder with its data under version, in DVC's formats byte for byte, beside Git.

Stages and what they make belong to the pipelines. Names that a small command does without are loaded when they are
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.workspace.git import Git
from everloop.workspace.values import (
    AddReport,
    Change,
    CheckoutReport,
    Content,
    DvcFile,
    Entry,
    Out,
    Revision,
    Snapshot,
)
from everloop.workspace.workspace import Workspace

if TYPE_CHECKING:
    from everloop.workspace.datastatus import DataStatus
    from everloop.workspace.importing import Imports
    from everloop.workspace.source import Source, open_source
    from everloop.workspace.transfers import Transfers
    from everloop.workspace.update import UpdateReport

__all__ = [
    "AddReport",
    "Change",
    "CheckoutReport",
    "Content",
    "DataStatus",
    "DvcFile",
    "Entry",
    "Git",
    "Imports",
    "Out",
    "Revision",
    "Snapshot",
    "Source",
    "Transfers",
    "UpdateReport",
    "Workspace",
    "open_source",
]

_HOMES = {
    "DataStatus": "everloop.workspace.datastatus",
    "Imports": "everloop.workspace.importing",
    "Source": "everloop.workspace.source",
    "Transfers": "everloop.workspace.transfers",
    "UpdateReport": "everloop.workspace.update",
    "open_source": "everloop.workspace.source",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'everloop.workspace' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
