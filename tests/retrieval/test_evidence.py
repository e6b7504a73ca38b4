"""Each item of evidence can be made again, holds while the store says the same, and hashes all it says."""

from dataclasses import fields, replace

import pytest

from ingestion.contracts import PartyRef
from retrieval import tools
from retrieval.evidence import (
    Evidence,
    LabelFact,
    MemoFact,
    MissingFact,
    PathFact,
    ScoreFact,
    SharedIdentifier,
    SimilarCase,
    TransactionFact,
    UseFact,
    WindowStatistic,
)
from retrieval.investigation import investigate
from retrieval.reader import CaseReader
from tests.builders import DAY, HOUR, START
from tests.retrieval.worlds import (
    DARK,
    HIT_TIME,
    HOME,
    M1,
    M2,
    MULE,
    SHOP,
    VICTIM,
    World,
    attribute,
    hit_alert,
)

LIMITS = tools.Indicators()


@pytest.fixture(scope="module")
def evidence(world: World) -> tuple[Evidence, ...]:
    return investigate(world.context(attribute=attribute), hit_alert()).evidence


@pytest.fixture
def reader(world: World) -> CaseReader:
    return world.reader(HIT_TIME, attribute=attribute, alert=hit_alert().given)


def test_ids_count_from_one_and_every_item_holds(evidence: tuple[Evidence, ...], reader: CaseReader) -> None:
    assert [item.id for item in evidence] == [f"E{number}" for number in range(1, len(evidence) + 1)]
    assert len({item.content_hash for item in evidence}) == len(evidence)
    for item in evidence:
        assert item.holds(reader), item
        assert item.time <= HIT_TIME


def test_every_type_is_in_the_story(evidence: tuple[Evidence, ...]) -> None:
    types = {type(item) for item in evidence}
    assert types >= {TransactionFact, WindowStatistic, UseFact, SharedIdentifier, PathFact, ScoreFact, MemoFact}
    assert types >= {SimilarCase, MissingFact}


def test_a_changed_value_no_longer_holds(evidence: tuple[Evidence, ...], reader: CaseReader) -> None:
    changed = 0
    for item in evidence:
        for field in fields(item):
            value = getattr(item, field.name)
            if field.name in ("id", "time", "end") or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if field.name == "width" or (isinstance(item, SimilarCase) and field.name == "similarity"):
                continue  # what is asked, not what is found; the vectors are checked when the index is opened
            assert not replace(item, **{field.name: value + 1}).holds(reader), (item, field.name)
            changed += 1
    assert changed >= 20


def test_an_item_from_after_the_time_does_not_hold(world: World, evidence: tuple[Evidence, ...]) -> None:
    earlier = world.reader(HIT_TIME - 1, attribute=attribute, alert=hit_alert().given)
    assert not any(item.holds(earlier) for item in evidence)


def test_the_hash_covers_all_but_the_id(evidence: tuple[Evidence, ...]) -> None:
    for item in evidence:
        assert item.with_id("E99").content_hash == item.content_hash
        assert (
            replace(item, stance="missing" if item.stance != "missing" else "neutral").content_hash != item.content_hash
        )


def test_shared_identifier_counts_others_and_their_known_frauds(reader: CaseReader, world: World) -> None:
    (shared,) = tools.shared_identifier(reader, VICTIM, DARK, LIMITS)
    assert isinstance(shared, SharedIdentifier)
    assert (shared.num_others, shared.num_with_known_fraud, shared.others, shared.is_complete) == (1, 1, (MULE,), True)
    assert shared.stance == "supporting"
    before = tools.shared_identifier(world.reader(START + 29 * DAY), VICTIM, DARK, LIMITS)
    assert before[0].stance == "neutral"  # the fraud was not known then
    assert tools.shared_identifier(reader, VICTIM, HOME, LIMITS) == []  # its own device


def test_new_and_long_known_identifiers(reader: CaseReader) -> None:
    hit = reader.transaction("hit")
    assert hit is not None
    uses = {item.used: item for item in tools.identifiers(reader, hit, LIMITS) if isinstance(item, UseFact)}
    assert (uses[DARK].is_new, uses[DARK].stance, uses[DARK].first_known_at) == (True, "supporting", HIT_TIME)
    card = uses[PartyRef.parse("card:c1")]
    assert (card.is_new, card.stance, card.first_known_at) == (False, "contradicting", START + 10 * HOUR)


def test_a_transaction_without_identifiers_says_so(reader: CaseReader) -> None:
    plain = reader.transaction("c1")
    assert plain is not None
    (missing,) = tools.identifiers(reader, plain, LIMITS)
    assert isinstance(missing, MissingFact) and missing.what == "identifier"


def test_amount_against_history(reader: CaseReader) -> None:
    hit = reader.transaction("hit")
    assert hit is not None
    mean, highest = tools.amount_against_history(reader, hit, LIMITS)
    assert (mean.value, mean.num, mean.stance) == (1_000, 10, "supporting")
    assert (highest.value, highest.stance) == (1_000, "supporting")
    usual = reader.transaction("p39")
    assert usual is not None
    (own,) = tools.amount_against_history(reader, usual, LIMITS)
    assert (own.value, own.stance) == (1_000, "contradicting")
    early = reader.transaction("p06")
    assert early is not None
    assert tools.amount_against_history(reader, early, LIMITS) == []  # two earlier payments are no history


def test_new_and_familiar_counterparties(reader: CaseReader) -> None:
    hit, usual, second = (reader.transaction(name) for name in ("hit", "p39", "p03"))
    assert hit is not None and usual is not None and second is not None
    (first,) = tools.counterparty(reader, hit, LIMITS)
    assert isinstance(first, WindowStatistic)
    assert (first.value, first.counterparty, first.stance) == (0, M1, "supporting")
    (familiar,) = tools.counterparty(reader, usual, LIMITS)
    assert isinstance(familiar, WindowStatistic)
    assert (familiar.value, familiar.stance) == (13, "contradicting")
    assert tools.counterparty(reader, second, LIMITS) == []  # once before: says little


def test_cycle_and_known_frauds(reader: CaseReader) -> None:
    hit = reader.transaction("hit")
    assert hit is not None
    (cycle,) = tools.cycles(reader, [hit])
    assert isinstance(cycle, PathFact)
    assert cycle.parties == (M1, M2, VICTIM, M1)
    assert cycle.transaction_ids == ("c1", "c2", "hit")
    assert (cycle.started, cycle.ended, cycle.shape) == (HIT_TIME - 2 * HOUR, HIT_TIME, "cycle")
    assert replace(cycle, transaction_ids=("c2", "c1", "hit")).recompute(reader) is None
    (frauds,) = tools.known_frauds(reader, SHOP, LIMITS)
    assert isinstance(frauds, WindowStatistic)
    assert (frauds.value, frauds.width, frauds.stance) == (1, 30 * DAY, "supporting")
    assert tools.known_frauds(reader, VICTIM, LIMITS) == []


def test_labels_known_and_missing(world: World, reader: CaseReader) -> None:
    hit, bad = reader.transaction("hit"), reader.transaction("b2")
    assert hit is not None and bad is not None
    (missing,) = tools.label_facts(reader, hit)
    assert isinstance(missing, MissingFact)
    (known,) = tools.label_facts(reader, bad)
    assert isinstance(known, LabelFact)
    assert (known.label, known.origin, known.time, known.stance) == (
        "fraud",
        "chargeback",
        START + 30 * DAY,
        "supporting",
    )
    later = world.reader(HIT_TIME + 5 * DAY)
    assert not missing.holds(later)  # the label came


def test_attributions_are_the_strongest_and_rounded(reader: CaseReader) -> None:
    hit = reader.transaction("hit")
    assert hit is not None
    found = tools.attributions(reader, hit, LIMITS)
    assert [(item.feature, item.logit_change, item.stance) for item in found] == [  # type: ignore[attr-defined]
        ("amount", 2.25, "supporting"),
        ("source_count_1d", -0.125, "contradicting"),
    ]  # what changed nothing is left out


def test_json_has_times_and_windows_in_words(evidence: tuple[Evidence, ...]) -> None:
    window = next(item for item in evidence if isinstance(item, WindowStatistic) and item.width == DAY)
    body = window.as_dict()
    assert body["end"] == "2025-02-15T12:00:00Z"
    assert body["window_seconds"] == 86_400
    assert body["hash"] == window.content_hash
    assert "width" not in body
