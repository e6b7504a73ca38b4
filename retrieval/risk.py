"""Entity risk at a time: a rank of parties by the scores of their transactions, never called a probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ingestion.contracts import PartyRef
from retrieval.reader import History, ScoreReader
from retrieval.wording import DAY

WINDOW = 7 * DAY
#: How many transactions at the base rate a mean is shrunk by.
STRENGTH = 20


@dataclass(frozen=True, kw_only=True)
class Risk:
    """`value` from `num_scored` transactions of 7 days; None when none of them was scored."""

    value: float | None
    num_scored: int
    method: Literal["max", "shrunk_mean"]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"value": self.value, "num_scored": self.num_scored, "method": self.method, "window_days": 7}


def entity_risk(history: History, scores: ScoreReader, *, as_of: int, alert_role: str, base_rate: float) -> Risk:
    """DESIGN 4.1: the alert party's risk is the highest score of its transactions of 7 days, as given then; any
    other party's the mean shrunk to the base rate with strength 20.

    A party is an alert party when it stands in `alert_role` (`source`, `target` or a party type) in one of them.
    """
    recent = history.select(end=as_of, width=WINDOW)
    alerting = [item for item in recent if _party(item, alert_role) == history.ref]
    chosen = alerting or recent
    given = scores([item.transaction_id for item in chosen]) if chosen else {}
    values = [given[item.transaction_id] for item in chosen if item.transaction_id in given]
    if alerting:
        return Risk(value=max(values, default=None), num_scored=len(values), method="max")
    mean = (sum(values) + STRENGTH * base_rate) / (len(values) + STRENGTH)
    return Risk(value=mean if values else None, num_scored=len(values), method="shrunk_mean")


def _party(transaction: Any, role: str) -> PartyRef | None:
    if role in ("source", "target"):
        party: PartyRef = getattr(transaction, role)
        return party
    by_type: Mapping[str, PartyRef] = {party.type: party for party in transaction.parties}
    return by_type.get(role)
