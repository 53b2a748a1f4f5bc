"""Bytes and rows: the database engine and its migrations, the object store, and operations over HTTP.

Leaves every table to the room that owns it. Only the light names are here; `storage.database` and `storage.migrations`
(which load SQLAlchemy and alembic) are imported by the server-side rooms by their full path.
"""

from everloop.storage.http import HttpClient
from everloop.storage.objects import ObjectStore
from everloop.storage.operation import Operation, operation, operations_of
from everloop.storage.remote import remote

__all__ = ["HttpClient", "ObjectStore", "Operation", "operation", "operations_of", "remote"]
