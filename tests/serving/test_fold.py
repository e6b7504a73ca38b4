"""The fold gives the scorer labels exactly when `ingestion.labels` says that they are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contracts import LABEL_ORIGINS
from ingestion.labels import MATURED
from ingestion.workspace import Workspace
from serving.events import TransactionEvent
from serving.fold import Fold, due_labels, last_of
from tests.builders import DAY, START, build_snapshot, label, random_rows, transaction
from tests.serving.fakes import RecordingScorer

ANALYST = LABEL_ORIGINS.index("analyst")
BEFORE = (START - 1, 1, START - 1, b"")


def event(identifier: str, time: int, *, outcome: str = "approved", known_at: int | None = None) -> TransactionEvent:
    row = transaction(identifier, time, "account:a", "merchant:m", outcome=outcome, known_at=known_at)
    return TransactionEvent.from_row(row)


def play(fold: Fold, *events: TransactionEvent, alerts: tuple[str, ...] = ()) -> None:
    for item in events:
        scored = fold.score(item)
        fold.schedule(item, scored.position, is_alert=item.transaction_id in alerts)


def fresh(maturity: int = 7 * DAY) -> tuple[Fold, RecordingScorer]:
    scorer = RecordingScorer()
    return Fold(scorer, last=BEFORE, due=[], maturity=maturity), scorer


def test_an_event_matures_at_its_time_plus_the_maturity_and_not_before() -> None:
    fold, scorer = fresh()
    play(fold, event("a", START), event("b", START + 7 * DAY - 1), event("c", START + 7 * DAY))
    matured = ("label", (0, START + 7 * DAY, MATURED, False))
    assert scorer.seen == [("transaction", "a"), ("transaction", "b"), matured, ("transaction", "c")]


def test_declined_events_and_alerts_never_mature() -> None:
    fold, scorer = fresh()
    play(
        fold, event("a", START, outcome="declined"), event("b", START + 1), event("c", START + 30 * DAY), alerts=("b",)
    )
    assert [kind for kind, _ in scorer.seen] == ["transaction"] * 3


def test_an_explicit_label_by_then_keeps_an_event_from_maturing() -> None:
    fold, scorer = fresh()
    play(fold, event("a", START), event("b", START + 1))
    fold.label("a", 0, known_at=START + 7 * DAY, is_fraud=True, origin=ANALYST)
    fold.label("b", 1, known_at=START + 7 * DAY + 2, is_fraud=True, origin=ANALYST)
    play(fold, event("c", START + 8 * DAY))
    labels = [item for kind, item in scorer.seen if kind == "label"]
    assert labels == [
        (0, START + 7 * DAY, ANALYST, True),
        (1, START + 7 * DAY + 1, MATURED, False),
        (1, START + 7 * DAY + 2, ANALYST, True),
    ]


def test_an_event_that_is_not_after_the_last_one_is_refused() -> None:
    fold, _ = fresh()
    play(fold, event("b", START))
    with pytest.raises(ValueError, match="is not after"):
        fold.score(event("a", START))


def test_labels_that_are_due_after_a_snapshot(tmp_path: Path) -> None:
    rows = [
        transaction("matured", START, "account:a", "merchant:m"),
        transaction("declined", START + 5 * DAY, "account:a", "merchant:m", outcome="declined"),
        transaction("maturing", START + 6 * DAY, "account:a", "merchant:m"),
        transaction("alert", START + 7 * DAY, "account:a", "merchant:m"),
        transaction("reported", START + 8 * DAY, "account:a", "merchant:m"),
        transaction("later", START + 9 * DAY, "account:a", "merchant:m"),
    ]
    labels = [label("reported", START + 8 * DAY + 5), label("later", START + 30 * DAY)]
    snapshot = build_snapshot(Workspace.open(tmp_path), rows, labels=labels)
    assert last_of(snapshot) == (START + 9 * DAY, 1, START + 9 * DAY, b"later")
    due = due_labels(snapshot, unreviewed={"alert"})
    assert [(item.transaction_id.decode(), item.known_at - START, item.is_fraud) for item in due] == [
        ("maturing", 13 * DAY, False),
        ("later", 16 * DAY, False),
        ("later", 30 * DAY, True),
    ]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.2, 0.95))
def test_the_fold_of_the_rest_sees_each_label_when_the_whole_snapshot_does(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float
) -> None:
    """A snapshot of the first rows and a fold of the others: before each event, exactly the labels known by then."""
    rows, labels = random_rows(60, seed=seed, days=30)
    rows = [row | {"amount_minor": 667} if row["amount_minor"] == 666 else row for row in rows]  # 666 breaks the fake
    rows.sort(key=lambda row: (max(row["event_time"], row["known_at"]), row["event_time"], row["transaction_id"]))
    cut = int(len(rows) * share)
    folder = tmp_path_factory.mktemp("fold")
    whole = build_snapshot(Workspace.open(folder / "whole"), rows, labels=labels)
    there = {row["transaction_id"] for row in rows[:cut]}
    early = [item for item in labels if item["transaction_id"] in there]
    part = build_snapshot(Workspace.open(folder / "part"), rows[:cut], labels=early)
    scorer = RecordingScorer(num_before=cut)
    fold = Fold(scorer, last=last_of(part), due=due_labels(part), maturity=7 * DAY)
    for position, row in enumerate(rows[cut:], start=cut):
        item = TransactionEvent.from_row(row)
        fold.schedule(item, fold.score(item).position, is_alert=False)
        for known in labels:
            if known["transaction_id"] == row["transaction_id"]:
                is_fraud = known["label"] == "fraud"
                origin = LABEL_ORIGINS.index(known["origin"])
                fold.label(
                    row["transaction_id"], position, known_at=known["known_at"], is_fraud=is_fraud, origin=origin
                )
    horizon, end = last_of(part)[0], last_of(whole)[0]
    events = whole.label_events
    expected = sorted(
        (int(known_at), int(position), bool(is_fraud))
        for known_at, position, is_fraud in zip(events.known_at, events.position, events.is_fraud, strict=True)
        if horizon < known_at <= end
    )
    seen = [item for kind, item in scorer.seen if kind == "label"]
    assert sorted((known_at, position, is_fraud) for position, known_at, _, is_fraud in seen) == expected
    num_transactions = 0
    for kind, item in scorer.seen:
        if kind == "transaction":
            num_transactions += 1
        else:
            assert item[1] <= whole.arrays.available_at[cut + num_transactions]
            assert num_transactions == 0 or item[1] > whole.arrays.available_at[cut + num_transactions - 1]
