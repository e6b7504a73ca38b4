"""Failures of `graphml`; each says what, which value, why and the remedy."""

from __future__ import annotations

from ingestion.errors import DataContractError, RingfenceError


class GraphmlError(RingfenceError):
    """Base of the failures of `graphml`."""


class TooLittleData(DataContractError, GraphmlError):
    """The snapshot is too short, or has too few known frauds, for the windows of a run (exit 3)."""


class ModelMismatch(GraphmlError):
    """A model is asked about a snapshot whose features or roles it was not trained on."""


class UnknownEntityType(GraphmlError):
    """A party is of a type that the model has never seen."""


class UnstableTraining(GraphmlError):
    """Steps of a training keep giving a loss that is no number, or a spike (exit 1)."""
