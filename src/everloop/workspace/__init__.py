"""The workspace: a project's folder with its data under version, in DVC's formats byte for byte, beside Git.

Stages and what they make belong to the pipelines.
"""

from everloop.workspace.datastatus import DataStatus
from everloop.workspace.git import Git
from everloop.workspace.importing import Imports
from everloop.workspace.source import Source, open_source
from everloop.workspace.transfers import Transfers
from everloop.workspace.update import UpdateReport
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
