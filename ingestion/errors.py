"""The base of every error that ringfence raises on purpose, and the failures of this folder.

A message says what, which value, why it matters and how to mend it. `exit_code` is what the command line
ends with; HTTP status lives in `serving` alone.
"""

from __future__ import annotations

from typing import Any, ClassVar


class RingfenceError(Exception):
    """A failure that a user can act on: `what` happened, and the `remedy`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles with its remedy, so that it crosses processes whole."""
        return _again, (type(self), self.what, self.remedy)


def _again(kind: type[RingfenceError], what: str, remedy: str) -> RingfenceError:
    return kind(what, remedy=remedy)


class UsageError(RingfenceError):
    """The caller's words are off: an unknown option value, setting or name."""

    exit_code = 2


class IngestionError(RingfenceError):
    """Base of the failures of `ingestion`."""


class DataContractError(IngestionError):
    """The data breaks the contract as a whole: too many bad rows, a missing column, too short a span."""

    exit_code = 3


class MappingError(DataContractError):
    """A mapping is wrong or does not fit the table."""


class ArtifactError(IngestionError):
    """An artefact is damaged, tampered with, or not complete: it is refused before it is opened."""


class RetryLater(IngestionError):
    """Something outside is missing for now (a server, a registry); nothing was half-done."""

    exit_code = 75


class GraphUnavailable(RetryLater):
    """The graph store cannot be reached."""


class GraphTimeout(RetryLater):
    """The graph server answers, but one read took too long and was ended: not a reason to leave the server."""
