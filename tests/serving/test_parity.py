"""Replaying rows through the API's state gives the batch's numbers: features bit for bit, logits within 1e-4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphml.context import GraphContext
from ingestion.workspace import Workspace
from serving.alerts import alerted_transactions
from serving.database import database
from serving.event_log import EventLog
from serving.intake import wall_clock
from serving.release import Release
from serving.scoring import Scoring
from serving.wiring import open_scoring
from tests.builders import build_snapshot
from tests.serving.served import MAPPING, Row, Served, protected, sequence


def open_state(served: Served) -> Scoring:
    log = EventLog(served.workspace.state / "events.db")
    state = open_scoring(served.workspace, Release.in_force(served.workspace), log)
    state.take_over()
    return state


def test_the_api_gives_the_scores_of_the_batch(served: Served, tmp_path: Path) -> None:
    state = open_state(served)
    end = sequence(served.later_rows[-1])[0]
    there = {row["transaction_id"] for row in served.rows}
    known = [item for item in served.labels if item["known_at"] <= end and item["transaction_id"] in there]
    horizon = sequence(served.rows[-1])[0]
    pending = sorted((item for item in known if item["known_at"] > horizon), key=lambda item: item["known_at"])
    answers = []
    for row in served.later_rows:
        while pending and pending[0]["known_at"] <= sequence(row)[0]:
            item = pending.pop(0)
            assert state.label(
                item["transaction_id"], label=item["label"], known_at=item["known_at"], origin=item["origin"]
            )
        answers += state.score([row])
    other = Workspace.open(tmp_path / "batch")
    (other.secrets).mkdir()
    (other.secrets / "token.key").write_text(served.workspace.secret("token.key"))
    rows: list[Row] = served.rows + served.later_rows
    with database(served.workspace) as engine:
        alerts = alerted_transactions(engine)  # of the night and of the API: neither side lets them mature
    assert any(answer["alert"] for answer in answers)
    whole = build_snapshot(
        other, protected(other, rows), labels=known, mapping=MAPPING.as_dict(), unreviewed_alerts=alerts
    )
    positions = np.arange(len(served.rows), len(rows))
    features = whole.features()[positions]
    logits = served.model.score_positions(GraphContext(whole), positions)
    names = whole.spec.names
    online = np.asarray([[answer["features"][name] for name in names] for answer in answers], np.float32)
    assert len(answers) == 1_000
    np.testing.assert_array_equal(online, features)
    assert np.abs(np.asarray([answer["logit"] for answer in answers]) - logits).max() <= 1e-4
    assert np.nansum(features[:, names.index("source_label_count_7d")]) > 0, "labels matured in what is compared"


def test_rows_of_the_snapshot_get_their_batch_scores(served: Served) -> None:
    state = open_state(served)
    answers = state.score(served.rows[-50:])
    positions = np.arange(len(served.rows) - 50, len(served.rows))
    logits = served.model.score_positions(GraphContext(served.snapshot), positions)
    assert [answer["logit"] for answer in answers] == pytest.approx(logits.tolist(), abs=1e-6)
    assert {answer["status"] for answer in answers} == {"scored"}


def test_personal_values_reach_the_vault_alone(served: Served) -> None:
    state = open_state(served)
    row = served.later_rows[0] | {
        "transaction_id": "new",
        "source_type": "account",
        "source_key": "DE89370400440532013000",
        "attributes": {"email": "someone@example.org", "country": "DE", "unmapped": "dropped-value"},
        "memo": "my card is 4111 1111 1111 1111",
    }
    state.score([row, row | {"transaction_id": "other", "event_time": 4 * wall_clock()}])
    personal = [b"DE89370400440532013000", b"someone@example.org", b"4111 1111", b"dropped-value"]
    root = served.workspace.root
    for path in root.rglob("*"):
        if path.is_file() and not path.name.startswith("vault.db"):
            content = path.read_bytes()
            assert not any(value in content for value in personal), path
    vault = b"".join(path.read_bytes() for path in root.glob("vault.db*"))
    assert personal[0] in vault and personal[1] in vault
