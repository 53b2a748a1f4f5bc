"""Registered models, their immutable versions and aliases, and the package format (an MLflow model directory).

Leaves traffic to `serving`. `registry.sql` (SQLAlchemy) and `registry.package` are imported by their full path.
"""

from everloop.registry.model import ModelVersion, PackageFile, RegisteredModel
from everloop.registry.store import RegistryStore

__all__ = ["ModelVersion", "PackageFile", "RegisteredModel", "RegistryStore"]
