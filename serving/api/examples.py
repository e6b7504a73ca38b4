"""The example of every operation in the OpenAPI document; a test checks each against its schema."""

from __future__ import annotations

from typing import Any

RELEASE = "release-4be1c7a90d52"
MODEL = "model-9a1f03c27be4"
ACCOUNT = {"type": "account", "key": "account_5f0c2a9be1d74c3380aa61f09c2d7e44"}
MERCHANT = {"type": "merchant", "key": "m-1042"}
DEVICE = {"type": "device", "key": "dev-88f1"}

TRANSACTION: dict[str, Any] = {
    "transaction_id": "tx-20250301-000017",
    "event_time": "2025-03-01T09:15:00Z",
    "source_type": "account",
    "source_key": "DE89370400440532013000",
    "target_type": "merchant",
    "target_key": "m-1042",
    "amount_minor": 12_950,
    "currency": "EUR",
    "kind": "payment",
    "outcome": "approved",
    "channel": "online",
    "parties": [DEVICE],
    "memo": "order 81232",
}
SCORED: dict[str, Any] = {
    "transaction_id": "tx-20250301-000017",
    "status": "scored",
    "release_id": RELEASE,
    "model_id": MODEL,
    "event_time": "2025-03-01T09:15:00Z",
    "available_at": "2025-03-01T09:15:00Z",
    "score": 0.8125,
    "logit": 1.4663,
    "threshold": 0.2177,
    "alert": True,
    "alert_id": "alert-0ae578d0e3e7",
    "features": {"amount": 129.5, "source_count_1d": 4.0},
}
QUARANTINED: dict[str, Any] = {
    "transaction_id": "tx-20250301-000018",
    "status": "quarantined",
    "release_id": RELEASE,
    "reason": "time_in_future",
    "field": "event_time",
    "remedy": "It lies ahead of our clock: check the zone and the clock of the sender.",
}
SCORE_REQUEST = {"transactions": [TRANSACTION, TRANSACTION | {"transaction_id": "tx-20250301-000018"}]}
SCORE_ANSWER = {"release_id": RELEASE, "results": [SCORED, QUARANTINED]}

ALERT: dict[str, Any] = {
    "id": "alert-0ae578d0e3e7",
    "transaction_id": "tx-20250301-000017",
    "model_id": MODEL,
    "release_id": RELEASE,
    "entity": ACCOUNT,
    "available_at": "2025-03-01T09:15:00Z",
    "event_time": "2025-03-01T09:15:00Z",
    "amount_minor": 12_950,
    "currency": "EUR",
    "score": 0.8125,
    "threshold": 0.2177,
    "origin": "api",
}
ALERT_PAGE = {"release_id": RELEASE, "alerts": [ALERT], "next_cursor": "pQ3nB0v7y1kXo2dZf6sUaVtbMTc0MDgyMDUwMF0"}
ALERT_ANSWER = {"release_id": RELEASE, "alert": ALERT}

PROFILE: dict[str, Any] = {
    "release_id": RELEASE,
    "entity": ACCOUNT,
    "as_of": "2025-03-01T09:15:00Z",
    "first_known_at": "2025-01-06T07:02:11Z",
    "last_available_at": "2025-03-01T09:15:00Z",
    "num_transactions": 42,
    "num_declined": 1,
    "num_counterparties": 17,
    "by_role": {"source": 40, "target": 2, "device": 0},
    "totals": [{"currency": "EUR", "count": 42, "amount_minor": 318_220}],
    "known_fraud": 0,
    "known_legitimate": 31,
    "risk": {"value": 0.8125, "num_scored": 6, "method": "max", "window_days": 7},
}
NEIGHBORHOOD: dict[str, Any] = {
    "release_id": RELEASE,
    "center": ACCOUNT,
    "as_of": "2025-03-01T09:15:00Z",
    "hops": 1,
    "limit": 50,
    "stale": False,
    "nodes": [{"entity": ACCOUNT, "hops": 0, "num_links": 43}, {"entity": MERCHANT, "hops": 1, "num_links": 911}],
    "transactions": [
        {
            "transaction_id": "tx-20250301-000017",
            "source": ACCOUNT,
            "target": MERCHANT,
            "event_time": "2025-03-01T09:15:00Z",
            "known_at": "2025-03-01T09:15:00Z",
            "available_at": "2025-03-01T09:15:00Z",
            "amount_minor": 12_950,
            "currency": "EUR",
            "kind": "capture",
            "outcome": "approved",
            "refers_to": "tx-20250228-000911",
            "parties": [DEVICE],
        }
    ],
    "uses": [{"user": ACCOUNT, "used": DEVICE, "first_known_at": "2025-02-11T18:40:09Z"}],
    "capped": [],
}
SIMILAR: dict[str, Any] = {
    "release_id": RELEASE,
    "entity": ACCOUNT,
    "as_of": "2025-03-01T09:15:00Z",
    "similar": [
        {
            "entity": {"type": "account", "key": "account_0b9e61d2f4c8473a95b0c7d1e2f38a66"},
            "similarity": 0.9713,
            "reasons": ["share 1 identifier: device:dev-88f1"],
            "num_known_frauds": 1,
            "last_fraud_known_at": "2025-02-20T10:00:00Z",
        }
    ],
}
INVESTIGATE_REQUEST = {"alert_id": "alert-0ae578d0e3e7"}
INVESTIGATION: dict[str, Any] = {
    "release_id": RELEASE,
    "investigation": {
        "id": "investigation-77c0a1d9b2e4",
        "release_id": RELEASE,
        "alert_id": "alert-0ae578d0e3e7",
        "entity": ACCOUNT,
        "as_of": "2025-03-01T09:15:00Z",
        "stale": False,
        "created_at": "2025-03-01T09:20:31Z",
        "findings": {"narrative": [{"text": "The device is new to the account [E3].", "evidence": ["E3"]}]},
    },
}
MODELS: dict[str, Any] = {
    "release_id": RELEASE,
    "models": [
        {
            "id": MODEL,
            "in_force": True,
            "snapshot_id": "snap-7c1d09aa42be5f30",
            "index_id": "index-51b2c7d09e3f",
            "served_row": "xgboost_neighbors",
            "threshold": 0.2177,
            "metrics": {"average_precision": 0.41},
        }
    ],
}
LIVE = {"status": "live"}
READY: dict[str, Any] = {
    "status": "ready",
    "release_id": RELEASE,
    "checks": [
        {"name": "state", "status": "ok", "detail": RELEASE},
        {"name": "graph", "status": "ok", "detail": "batch 1"},
        {"name": "index", "status": "ok", "detail": "index-51b2c7d09e3f"},
        {"name": "model", "status": "ok", "detail": MODEL},
        {"name": "release", "status": "ok", "detail": RELEASE},
    ],
}
VERSION = {"name": "ringfence", "version": "0.1.0", "release_id": RELEASE}
