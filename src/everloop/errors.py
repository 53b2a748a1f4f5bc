"""The families of errors that Everloop raises.

A message says what was asked, what was found and what to do next. Domain code raises one of these families and knows
no HTTP status and no exit code: each family is mapped once, to a status in `web.py`, to an exit code in `cli/`.
"""

from __future__ import annotations

from typing import ClassVar


class EverloopError(Exception):
    """Base of every error that Everloop raises on purpose.

    Args:
        message: What was asked and what was found, in one sentence.
        hint: What to do next; None when the message already says it.
    """

    family: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class NotFoundError(EverloopError):
    """The thing that was named does not exist."""

    family = "not_found"


class OutsideError(NotFoundError):
    """There is no workspace around the folder."""


class ConflictError(EverloopError):
    """The thing exists already with other content, or changed since it was read."""

    family = "conflict"


class InvalidError(EverloopError):
    """What came in is malformed: a field, a file, a name, a number out of range."""

    family = "invalid"


class TooLargeError(InvalidError):
    """What came in is larger than the limit that protects the process."""

    family = "too_large"


class DeniedError(EverloopError):
    """The actor may not do this."""

    family = "denied"


class UnavailableError(EverloopError):
    """A service or a resource that is needed does not answer now; trying again later may work."""

    family = "unavailable"


class NotInstalledError(EverloopError):
    """An optional dependency is needed; the hint names the extra to install."""

    family = "not_installed"


class FailedError(EverloopError):
    """Work that was started ended badly: a stage's command, a job, a gate that did not pass."""

    family = "failed"


FAMILIES: dict[str, type[EverloopError]] = {
    kind.family: kind
    for kind in (
        EverloopError,
        NotFoundError,
        ConflictError,
        InvalidError,
        TooLargeError,
        DeniedError,
        UnavailableError,
        NotInstalledError,
        FailedError,
    )
}
