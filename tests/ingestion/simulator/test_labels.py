from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import numpy as np
import pytest

from ingestion.contracts import LABEL_ORIGINS, LABELS
from ingestion.simulator.config import LabelConfig, SimulatorConfig
from ingestion.simulator.simulate import SimulatedTables, simulate

DAY = dt.timedelta(days=1)


def joined(tables: SimulatedTables) -> list[dict[str, Any]]:
    """Labels with the columns of their transactions and truths, `event_…` for what both have."""
    facts = {
        row["transaction_id"]: row | {"arrived": row["known_at"], "is_fraud": fact["is_fraud"]}
        for row, fact in zip(tables.transactions.to_pylist(), tables.truth.to_pylist(), strict=True)
    }
    return [facts[label["transaction_id"]] | label for label in tables.labels.to_pylist()]


@pytest.fixture(scope="module")
def many() -> SimulatedTables:
    """Many frauds and no cut by the end of the data for most of them."""
    return simulate(SimulatorConfig(num_transactions=40_000, days=90, fraud_rate=0.1, lookalike_rate=0.0, seed=1))


def test_every_label_fits_the_contract(many: SimulatedTables) -> None:
    end = many.config.start + DAY * many.config.days
    for label in joined(many):
        assert label["label"] in LABELS
        assert label["origin"] in LABEL_ORIGINS and label["origin"] != "matured"
        assert label["arrived"] < label["known_at"] < end
        assert (label["reviewer"] is not None) == (label["origin"] == "analyst")
        assert label["reason"]
    times = many.labels["known_at"].to_pylist()
    assert times == sorted(times)


def test_never_reported_share_is_honoured(many: SimulatedTables) -> None:
    old = many.config.start + DAY * 60  # older frauds have had their time to be reported
    frauds = {
        row["transaction_id"]
        for row, fact in zip(many.transactions.to_pylist(), many.truth.to_pylist(), strict=True)
        if fact["is_fraud"] and row["event_time"] < old
    }
    reported = {label["transaction_id"] for label in joined(many) if label["label"] == "fraud"} & frauds
    assert len(reported) / len(frauds) == pytest.approx(0.85, abs=0.05)


def test_chargebacks_lag_by_days_and_are_capped(many: SimulatedTables) -> None:
    lags = [
        (label["known_at"] - label["arrived"]) / DAY
        for label in joined(many)
        if label["origin"] == "chargeback" and label["is_fraud"] and label["event_time"].month <= 2
    ]
    assert np.median(lags) == pytest.approx(3.0, rel=0.15)
    assert max(lags) <= 20
    assert np.quantile(lags, 0.9) / np.median(lags) == pytest.approx(np.exp(1.2816 * 0.6), rel=0.2)


def test_the_cap_cuts_long_lags() -> None:
    labels = LabelConfig(chargeback_lag_median_days=3.0, max_lag_days=4.0)
    tables = simulate(SimulatorConfig(num_transactions=20_000, fraud_rate=0.05, labels=labels))
    lags = [(label["known_at"] - label["arrived"]) / DAY for label in joined(tables) if label["origin"] == "chargeback"]
    assert max(lags) == pytest.approx(4.0)


def test_origins_follow_the_kind_of_transaction(many: SimulatedTables) -> None:
    origins = Counter(
        (label["kind"], label["origin"]) for label in joined(many) if label["is_fraud"] and label["label"] == "fraud"
    )
    assert {origin for kind, origin in origins if kind == "transfer"} == {"analyst"}
    assert {origin for kind, origin in origins if kind == "authorisation"} == {"rule"}
    assert origins["payment", "chargeback"] > origins["payment", "rule"] > 0


def test_some_labels_are_wrong_and_a_part_is_corrected() -> None:
    labels = LabelConfig(dispute_rate=0.02, dispute_corrected_share=0.5)
    tables = simulate(SimulatorConfig(num_transactions=40_000, days=90, fraud_rate=0, labels=labels))
    found = joined(tables)
    disputes = {label["transaction_id"] for label in found if label["label"] == "fraud"}
    early = {label["transaction_id"] for label in found if label["event_time"] < tables.config.start + DAY * 60}
    corrected = {label["transaction_id"] for label in found if label["reason"] == "Dispute withdrawn after a call"}
    assert corrected < disputes
    assert len(corrected & early) / len(disputes & early) == pytest.approx(0.5, abs=0.1)
    times = {(label["transaction_id"], label["label"]): label["known_at"] for label in found}
    assert all(times[item, "legitimate"] > times[item, "fraud"] for item in corrected)


def test_analysts_clear_honest_transactions_and_sometimes_a_fraud(many: SimulatedTables) -> None:
    cleared = [label for label in joined(many) if label["label"] == "legitimate" and label["origin"] == "analyst"]
    wrong = sum(label["is_fraud"] for label in cleared)
    assert 0 < wrong < len(cleared)
    honest = len(many.truth) - many.config.num_frauds
    reviewed = sum(label["reason"].startswith("Reviewed") and not label["is_fraud"] for label in cleared)
    assert reviewed / honest == pytest.approx(0.002, rel=0.35)


def test_nothing_is_reported_when_nothing_is_ever_reported() -> None:
    labels = LabelConfig(never_reported_share=1.0, dispute_rate=0.0, review_rate=0.0)
    tables = simulate(SimulatorConfig(num_transactions=5_000, days=30, fraud_rate=0.05, labels=labels))
    assert tables.labels.num_rows == 0
