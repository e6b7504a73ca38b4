"""Similar parties as of a time: who, why, and how they ended as known by then."""

from pathlib import Path

import numpy as np
import pytest

from ingestion.contracts import PartyRef
from retrieval.embedding import SnapshotEmbedder
from retrieval.errors import IndexTooNew, UnknownSubject
from retrieval.similar import MAX_COMPARED, Outcome, Profile, similar
from tests.builders import DAY, HOUR, START
from tests.retrieval.test_reader import graph_transaction
from tests.retrieval.worlds import HIT_TIME, INDEX_TIME, M1, MULE, VICTIM, World


def test_who_why_and_how_it_ended(world: World) -> None:
    found = similar(world.index(), world.reader(HIT_TIME), VICTIM, k=10)
    assert [item.ref for item in found] == [MULE, PartyRef.parse("account:good")]  # accounts, never itself
    mule, good = found
    assert mule.outcome == Outcome(num_known_frauds=1, last_known_at=START + 30 * DAY)
    assert good.outcome == Outcome(num_known_frauds=0, last_known_at=None)
    assert mule.reasons == ("share 1 identifier: device:dark", "share 1 counterparty: merchant:shop")
    assert "similar median amounts: 10.00 EUR and 10.00 EUR" in good.reasons
    assert 1 > mule.similarity > good.similarity


def test_outcome_and_reasons_are_as_of_then(world: World) -> None:
    index = world.index(as_of=START + 25 * DAY)
    before = similar(index, world.reader(START + 30 * DAY - 1), VICTIM, k=1)[0]
    assert before.outcome.num_known_frauds == 0
    assert before.reasons == ("share 1 counterparty: merchant:shop",)  # the device is shared from day 40 on
    after = similar(index, world.reader(START + 30 * DAY), VICTIM, k=1)[0]
    assert after.outcome.num_known_frauds == 1


def test_an_index_from_the_future_is_refused(world: World) -> None:
    index = world.index()
    similar(index, world.reader(INDEX_TIME), VICTIM)
    with pytest.raises(IndexTooNew, match="what was not known then"):
        similar(index, world.reader(INDEX_TIME - 1), VICTIM)


def test_parties_that_cannot_be_compared(world: World) -> None:
    index = world.index()
    with pytest.raises(UnknownSubject, match="was not known"):
        similar(index, world.reader(HIT_TIME), PartyRef.parse("account:nobody"))
    with pytest.raises(UnknownSubject, match="was not known"):
        similar(index, world.reader(INDEX_TIME), M1)
    with pytest.raises(UnknownSubject, match="has no vector"):
        similar(index, world.reader(HIT_TIME), M1)
    with pytest.raises(ValueError, match="at least one"):
        similar(index, world.reader(HIT_TIME), VICTIM, k=0)


def test_a_new_party_is_found_by_its_state_then(world: World) -> None:
    embed = SnapshotEmbedder(world.model, None, world.records)
    found = similar(world.index(), world.reader(HIT_TIME), M1, embed_query=embed)
    assert len(found) == 3
    raw = world.model.embed_entities(None, np.asarray([world.records.entity_id(M1)]), world.records.cut(HIT_TIME))
    expected = world.index().search(raw[0], 1, kind="account")[0]
    assert (found[0].ref, found[0].similarity) == (expected.ref, round(expected.similarity, 4))


def test_the_query_sees_nothing_after_the_time(world: World) -> None:
    embed = SnapshotEmbedder(world.model, None, world.records)
    assert embed(M1, HIT_TIME - 2 * HOUR - 1) is None
    before, then = embed(VICTIM, HIT_TIME - 1), embed(VICTIM, HIT_TIME)
    assert before is not None and then is not None and not np.array_equal(before, then)
    assert embed(PartyRef.parse("account:nobody"), HIT_TIME) is None


def test_the_same_question_has_the_same_answer(world: World, tmp_path: Path) -> None:
    first = similar(world.index(), world.reader(HIT_TIME), VICTIM)
    assert first == similar(world.index(), world.reader(HIT_TIME), VICTIM)
    assert first[0].as_dict()["last_fraud_known_at"] == "2025-02-05T00:00:00Z"


def test_reasons_one_by_one() -> None:
    night = [graph_transaction(f"n{i}", START + i * DAY + 2 * HOUR, amount_minor=1_000) for i in range(6)]
    other = PartyRef.parse("account:other")
    late = [
        graph_transaction(
            f"o{i}", START + i * DAY + 3 * HOUR, other, M1, 1_400, outcome="declined" if i < 3 else "approved"
        )
        for i in range(6)
    ]
    own, their = Profile.of(VICTIM, night), Profile.of(other, late)
    assert own.reasons(their) == (
        "similar median amounts: 10.00 EUR and 14.00 EUR",
        "both mostly active between 00:00 and 06:00 UTC",
    )
    apart = Profile.of(other, [graph_transaction(f"o{i}", START + 12 * HOUR, other, M1, 9_000) for i in range(6)])
    assert own.reasons(apart) == ()
    direct = Profile.of(other, [graph_transaction("d", START, VICTIM, other, 100)])
    both = Profile.of(VICTIM, [graph_transaction("d", START, VICTIM, other, 100)])
    assert both.reasons(direct)[0] == "dealt with each other in 1 transaction"
    declined = Profile.of(VICTIM, [graph_transaction(f"x{i}", START, outcome="declined") for i in range(5)])
    assert "declined often: 100% and 50% of the newest transactions" in declined.reasons(their)
    assert MAX_COMPARED == 200
