"""Replaying the log through the online scorer gives the batch: features to the bit, logits within 1e-4."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.errors import UnknownEntityType
from graphml.online import OnlineScorer
from ingestion.contracts import PartyRef
from tests.graphml.trained import ROWS, Replay, Trained

REPLAYED = 1_200


@pytest.mark.parametrize("row", ROWS)
def test_the_last_transactions_of_a_snapshot(trained: Trained, row: str) -> None:
    num = len(trained.graph)
    positions = range(num - REPLAYED, num)
    scorer = OnlineScorer(trained.snapshot, trained.model, row=row, up_to=positions[0], graph=trained.graph)
    scored = Replay(trained.snapshot, start=positions[0]).into(scorer, positions)
    batch = trained.model.score_positions(GraphContext(trained.graph), np.asarray(positions), row)
    features = trained.snapshot.features()[positions[0] :]
    assert [one.position for one in scored] == list(positions)
    assert all(one.features.tobytes() == features[i].tobytes() for i, one in enumerate(scored))
    assert np.abs(batch - [one.logit for one in scored]).max() < 1e-4
    probability = trained.model.probability(batch, row)
    assert [one.probability for one in scored] == pytest.approx(probability.tolist(), abs=1e-4)


def test_from_an_empty_start_through_growing_arrays(trained: Trained) -> None:
    scorer = OnlineScorer(trained.snapshot, trained.model, row="graphsage", up_to=0, graph=trained.graph)
    positions = range(2_200)  # twice past the spare room
    scored = Replay(trained.snapshot, start=0).into(scorer, positions)
    batch = trained.model.score_positions(GraphContext(trained.graph), np.asarray(positions), "graphsage")
    features = trained.snapshot.features()
    assert all(one.features.tobytes() == features[i].tobytes() for i, one in enumerate(scored))
    assert np.abs(batch - [one.logit for one in scored]).max() < 1e-4


def test_a_new_party_has_no_history_until_it_has_one(trained: Trained) -> None:
    scorer = OnlineScorer(trained.snapshot, trained.model, row="xgboost", graph=trained.graph)
    replay = Replay(trained.snapshot, start=len(trained.graph))
    last = replay.event(len(trained.graph) - 1)
    new = PartyRef(type="account", key="never seen")
    names = trained.snapshot.spec.names
    count = names.index("source_count_30d")
    for number in (1, 2, 3):
        event = replace(
            last,
            transaction_id=f"new-{number}",
            available_at=last.available_at + number,
            event_time=last.available_at + number,
            parties=last.parties | {"source": new},
        )
        scored = scorer.score(event)
        assert scored.features[count] == number  # the scored transaction counts itself
        assert scored.position == len(trained.graph) + number - 1


def test_many_new_parties_find_room(trained: Trained) -> None:
    scorer = OnlineScorer(trained.snapshot, trained.model, row="graphsage", graph=trained.graph)
    last = Replay(trained.snapshot, start=len(trained.graph)).event(len(trained.graph) - 1)
    for number in range(700):
        parties = {role: PartyRef(type="account", key=f"{role}-{number}") for role in ("source", "target")}
        time = last.available_at + number + 1
        scored = scorer.score(
            replace(last, transaction_id=f"n{number}", available_at=time, event_time=time, parties=parties)
        )
        assert np.isfinite(scored.logit)


def test_what_is_out_of_order_is_refused_and_changes_nothing(trained: Trained) -> None:
    num = len(trained.graph)
    scorer = OnlineScorer(trained.snapshot, trained.model, up_to=num - 10, graph=trained.graph)
    replay = Replay(trained.snapshot, start=num - 10)
    event = replay.event(num - 10)
    with pytest.raises(ValueError, match=r"is not after"):
        scorer.score(replay.event(num - 11))
    with pytest.raises(ValueError, match=r"No transaction at position"):
        scorer.observe_label(num - 10, known_at=event.available_at, is_fraud=True, origin=0)
    with pytest.raises(UnknownEntityType, match=r"of type 'spaceship', which .* has not met"):
        scorer.score(replace(event, parties=event.parties | {"target": PartyRef(type="spaceship", key="x")}))
    assert scorer.position == num - 10
    scorer.observe_label(5, known_at=event.available_at + 1, is_fraud=True, origin=0)
    with pytest.raises(ValueError, match="feed labels when they are due"):
        scorer.score(event)


def test_a_role_that_the_model_does_not_know_is_left_out(trained: Trained) -> None:
    num = len(trained.graph)
    replay = Replay(trained.snapshot, start=num - 1)
    event = replay.event(num - 1)
    plain, extended = (
        OnlineScorer(trained.snapshot, trained.model, up_to=num - 1, graph=trained.graph) for _ in range(2)
    )
    more = replace(event, parties=event.parties | {"browser": PartyRef(type="browser", key="b")})
    assert extended.score(more).logit == plain.score(event).logit


def test_a_stronger_label_of_the_same_time_wins_in_any_order(trained: Trained) -> None:
    num = len(trained.graph)
    replay = Replay(trained.snapshot, start=num - 1)
    event = replay.event(num - 1)
    partner = np.flatnonzero(trained.graph.entity[: num - 1, 0] == trained.graph.entity[num - 1, 0])[-1]
    logits = []
    for origins in ((0, 1), (1, 0)):
        scorer = OnlineScorer(trained.snapshot, trained.model, row="graphsage", up_to=num - 1, graph=trained.graph)
        for origin in origins:
            scorer.observe_label(int(partner), known_at=event.available_at, is_fraud=origin == 0, origin=origin)
        logits.append(scorer.score(event).logit)
    assert logits[0] == pytest.approx(logits[1], abs=1e-6)
