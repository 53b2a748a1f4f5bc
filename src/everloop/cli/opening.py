"""Open the workspace around the current folder as the settings want it."""

from __future__ import annotations

from everloop.config import Settings
from everloop.workspace import Workspace


def open_workspace() -> Workspace:
    """The workspace, whose trash remembers as much as the settings say."""
    workspace = Workspace.open()
    settings = Settings.load()
    workspace.trash.kept_days = settings.trash_days
    workspace.trash.kept_operations = settings.trash_operations
    return workspace
