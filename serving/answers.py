"""What the API says of one transaction, and the alert it raises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from serving.alerts import Alert, alert_id
from serving.events import TransactionEvent
from serving.fold import Scored
from serving.intake import Fault
from serving.times import rfc3339


@dataclass(frozen=True, kw_only=True)
class ScoringPolicy:
    """What the release says about answers: names, threshold, the role whose party an alert is about."""

    release_id: str
    model_id: str
    threshold: float
    alert_role: str
    feature_names: tuple[str, ...]


def scored_answer(policy: ScoringPolicy, event: TransactionEvent, scored: Scored) -> dict[str, Any]:
    """The answer for a scored transaction; a feature that does not apply (absent party) is null."""
    is_alert = scored.probability >= policy.threshold
    values = (None if math.isnan(value) else value for value in scored.features.tolist())
    return {
        "transaction_id": event.transaction_id,
        "status": "scored",
        "release_id": policy.release_id,
        "model_id": policy.model_id,
        "event_time": rfc3339(event.event_time),
        "available_at": rfc3339(event.available_at),
        "score": scored.probability,
        "logit": scored.logit,
        "threshold": policy.threshold,
        "alert": is_alert,
        "alert_id": alert_id(event.transaction_id, policy.model_id) if is_alert else None,
        "features": dict(zip(policy.feature_names, values, strict=True)),
    }


def quarantined_answer(policy: ScoringPolicy, event: TransactionEvent, fault: Fault) -> dict[str, Any]:
    """The answer for a row that breaks the contract."""
    return {
        "transaction_id": event.transaction_id,
        "status": "quarantined",
        "release_id": policy.release_id,
        "reason": fault.reason,
        "field": fault.field,
        "remedy": fault.remedy,
    }


def alert_of(policy: ScoringPolicy, event: TransactionEvent, scored: Scored) -> Alert:
    """The alert of a transaction whose score is at or above the threshold."""
    return Alert(
        transaction_id=event.transaction_id,
        model_id=policy.model_id,
        release_id=policy.release_id,
        entity=event.roles()[policy.alert_role],
        available_at=event.available_at,
        event_time=event.event_time,
        amount_minor=event.amount_minor,
        currency=event.currency,
        score=scored.probability,
        threshold=policy.threshold,
        origin="api",
    )
