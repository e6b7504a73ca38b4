"""The failures of `retrieval`."""

from __future__ import annotations

from ingestion.errors import ArtifactError, RingfenceError


class RetrievalError(RingfenceError):
    """Base of the failures of `retrieval`."""


class IndexRefused(RetrievalError, ArtifactError):
    """An index is damaged, or bound to another model or snapshot: it was not opened."""


class IndexTooNew(RetrievalError):
    """The index holds data from after the time that was asked about, so it may not answer."""


class EmbeddingError(RetrievalError):
    """A model gave vectors that cannot be indexed."""


class UnknownSubject(RetrievalError):
    """The alert's transaction or the party was not known at the time that was asked about."""
