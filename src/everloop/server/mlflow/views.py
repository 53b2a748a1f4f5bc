"""What the searches of MLflow share: which lifecycle stages are looked at, and how much comes at once."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from everloop.tracking.run import View

ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=50_000)]

_VIEWS: dict[str | int, View] = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}
_VIEWS |= {1: "active", 2: "deleted", 3: "all"}


def to_view(asked: ViewType) -> View:
    return _VIEWS[asked]
