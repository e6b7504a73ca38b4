"""Bodies of `POST /v1/transactions:score`; the transaction is derived from the contract, within limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ingestion.contracts import TRANSACTION, pydantic_model
from serving.api.fields import Answer, ExactInt, Key, Time, TimeText, TypeName

MAX_TRANSACTIONS = 1_000
_MAX_PARTIES = 16
_Text = Annotated[str, StringConstraints(strict=True, max_length=4_096)]
_Value = Annotated[str, StringConstraints(strict=True, max_length=1_024)]
_Currency = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Z]{3}$")]


class PartyIn(BaseModel):
    """A further party of a transaction."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: TypeName = Field(description="Entity type, e.g. device", examples=["device"])
    key: Key = Field(description="Key of the party", examples=["dev-88f1"])


#: One transaction as the API takes it: the contract, original keys, closed limits.
TransactionIn: type[BaseModel] = pydantic_model(
    "TransactionIn",
    TRANSACTION,
    defaults={"known_at": None, "outcome": "approved", "channel": "unknown", "parties": []},
    types={
        "string": Key,
        "int64": ExactInt,
        str(TRANSACTION.field("event_time").type): Time,
        "known_at": Time | None,
        "source_type": TypeName,
        "target_type": TypeName,
        "currency": _Currency,
        "memo": _Text,
        "parties": Annotated[list[PartyIn], Field(max_length=_MAX_PARTIES)],
        "attributes": Annotated[dict[str, _Value], Field(max_length=64)],
    },
)


class ScoreRequest(BaseModel):
    """Transactions to score, in any order; the answers come in the same order."""

    model_config = ConfigDict(extra="forbid")
    transactions: list[TransactionIn] = Field(  # type: ignore[valid-type]  # the model is made from the Arrow schema
        min_length=1, max_length=MAX_TRANSACTIONS
    )


class ScoredTransaction(BaseModel):
    """A transaction that was scored, as of its own place in the sequence."""

    transaction_id: str
    status: Literal["scored"]
    release_id: str = Field(description="Release that gave the score; a repeated request gets the first answer again")
    model_id: str
    event_time: TimeText
    available_at: TimeText = Field(description="When it could have been known: it sees what was available by then")
    score: float = Field(description="Calibrated probability of fraud", ge=0, le=1)
    logit: float
    threshold: float
    alert: bool = Field(description="Whether the score is at or above the threshold")
    alert_id: str | None
    features: dict[str, float | None] = Field(description="Values that went into the model; null for an absent party")


class QuarantinedTransaction(BaseModel):
    """A transaction that fits the schema but breaks the contract: it is kept apart and not scored."""

    transaction_id: str
    status: Literal["quarantined"]
    release_id: str
    reason: str = Field(description="Code of the rule that was broken")
    field: str | None
    remedy: str


class ScoreAnswer(Answer):
    """One result a transaction, in order."""

    results: list[Annotated[ScoredTransaction | QuarantinedTransaction, Field(discriminator="status")]]


def rows_of(request: ScoreRequest) -> list[dict[str, Any]]:
    """Logical rows with times in µs."""
    return [dict(transaction) | {"parties": _parties(transaction)} for transaction in request.transactions]


def _parties(transaction: Any) -> list[dict[str, str]]:
    return [{"type": party.type, "key": party.key} for party in transaction.parties]
