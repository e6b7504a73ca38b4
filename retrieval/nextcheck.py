"""The next best check: what an analyst would do next, chosen by rule from the evidence, never by a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval.evidence import (
    Evidence,
    LabelFact,
    PathFact,
    SharedIdentifier,
    UseFact,
    WindowStatistic,
)


@dataclass(frozen=True, kw_only=True)
class NextCheck:
    """A check by code, in words, with the evidence that calls for it."""

    code: str
    text: str
    evidence_ids: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"code": self.code, "text": self.text, "evidence_ids": list(self.evidence_ids)}


def next_check(evidence: Sequence[Evidence]) -> NextCheck:
    """The first rule, in order of how much its answer would tell, that supporting evidence calls for."""
    supporting = [item for item in evidence if item.stance == "supporting"]
    for code, text, calls in _RULES:
        chosen = [item.id for item in supporting if calls(item)]
        if chosen:
            return NextCheck(code=code, text=text, evidence_ids=tuple(chosen))
    return NextCheck(
        code="confirm_purpose", text="Ask the paying party, by a known contact, what it was for.", evidence_ids=()
    )


def _is_fraud_label(item: Evidence) -> bool:
    return isinstance(item, LabelFact) and item.label == "fraud"


def _is_shared(item: Evidence) -> bool:
    return isinstance(item, SharedIdentifier) and item.num_with_known_fraud > 0


def _is_cycle(item: Evidence) -> bool:
    return isinstance(item, PathFact)


def _is_new_use(item: Evidence) -> bool:
    return isinstance(item, UseFact) and item.is_new


def _measures(*names: str) -> Callable[[Evidence], bool]:
    def calls(item: Evidence) -> bool:
        return isinstance(item, WindowStatistic) and item.measure in names

    return calls


_RULES: tuple[tuple[str, str, Callable[[Evidence], bool]], ...] = (
    ("review_known_fraud", "Read the confirmed fraud's case first: this one may continue it.", _is_fraud_label),
    ("check_shared_identifier", "Look at the other users of the shared identifier and their cases.", _is_shared),
    ("trace_cycle", "Trace the money around the cycle and ask each party for its purpose.", _is_cycle),
    ("review_counterparty_frauds", "Read the known frauds of the same parties and compare.", _measures("known_frauds")),
    ("check_card_testing", "Look for the same card or device in other declined attempts.", _measures("declined")),
    ("check_zero_amounts", "Find what followed the attempts of zero amount.", _measures("zero_amount")),
    ("confirm_new_device", "Confirm the new device or address with the paying party, by a known contact.", _is_new_use),
    (
        "review_fan",
        "List the counterparties of the day and look for common ones.",
        _measures("distinct_counterparties"),
    ),
    ("confirm_burst", "Confirm the burst of transactions with the party, by a known contact.", _measures("count")),
    ("confirm_amount", "Confirm the unusual amount, by a known contact.", _measures("amount_mean", "amount_max")),
    ("review_refunds", "Match the refunds to their purchases.", _measures("refunds")),
)
