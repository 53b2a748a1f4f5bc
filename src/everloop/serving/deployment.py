"""What an endpoint serves: its deployment, one immutable revision after the other."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of one model that an endpoint runs, from one revision to the next.

    The champion answers. The shadows score the same rows and are only recorded. `previous` is the champion before this
    one, kept loaded so that going back needs no load; None for an endpoint's first champion.
    """

    endpoint: str
    model: str
    champion: int
    revision: int
    """Counts up from 1 with every change of the endpoint."""
    changed_at: datetime
    previous: int | None = None
    shadows: tuple[int, ...] = ()
    reason: str = ""
    actor: str = ""

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version to keep loaded: champion first, then shadows, then the previous champion."""
        wanted = (self.champion, *self.shadows, *(() if self.previous is None else (self.previous,)))
        return tuple(dict.fromkeys(wanted))
