"""Registered models, their immutable versions and aliases, and the package format (an MLflow model directory).

Leaves traffic to `serving`. `registry.sql` (SQLAlchemy) and `registry.package` are imported by their full path.
"""

from everloop.registry.model import ModelPage, ModelVersion, PackageFile, RegisteredModel, Stage, VersionPage
from everloop.registry.store import RegistryStore

__all__ = [
    "ModelPage",
    "ModelVersion",
    "PackageFile",
    "RegisteredModel",
    "RegistryStore",
    "Stage",
    "VersionPage",
]
