"""The workspace: a project's folder with its data under version, in DVC's formats byte for byte, beside Git.

Stages and what they make belong to the pipelines.
"""

from everloop.workspace.git import Git
from everloop.workspace.values import AddReport, Change, CheckoutReport, Content, DvcFile, Out
from everloop.workspace.workspace import Workspace

__all__ = ["AddReport", "Change", "CheckoutReport", "Content", "DvcFile", "Git", "Out", "Workspace"]
