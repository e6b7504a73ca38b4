"""The investigation as a whole: what an analyst gets of the story, as of its time, with and without its parts."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from ingestion.contracts import PartyRef
from retrieval.errors import UnknownSubject
from retrieval.evidence import TransactionFact, UseFact, WindowStatistic
from retrieval.investigation import Investigation, investigate
from retrieval.nextcheck import next_check
from retrieval.terminal import show_investigation, show_similar
from tests.builders import DAY, HOUR, START, transaction
from tests.retrieval.test_reader import graph_transaction
from tests.retrieval.worlds import (
    DARK,
    HIT_TIME,
    INDEX_TIME,
    M1,
    MEMO,
    MULE,
    SHOP,
    VICTIM,
    World,
    attribute,
    hit_alert,
)


def scores(ids: object) -> dict[str, float]:
    return {one: 0.97 if one == "hit" else 0.01 for one in ids}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def found(world: World) -> Investigation:
    return investigate(world.context(attribute=attribute, scores=scores, release_id="release-1"), hit_alert())


def test_the_story_is_told(found: Investigation) -> None:
    told = [claim.text for claim in found.narrative]
    at = "2025-02-15 12:00:00 UTC"
    assert told == [
        f"Transaction tx:hit is a transfer of 500.00 EUR from account:victim to account:m1 at {at}, approved.",
        "The model gave tx:hit a score of 0.97; an alert needs at least 0.9.",
        "The feature amount, 500 where 10 is typical, moved the logit of tx:hit up by 2.25.",
        "The feature source_count_1d, 1 where 0.5 is typical, moved the logit of tx:hit down by 0.125.",
        "The memo of tx:hit holds text that reads like an instruction; it is shown as data and was not followed.",
        "The amount of tx:hit, 500.00 EUR, is 50 times the mean of 10.00 EUR over the 10 earlier transactions that "
        f"account:victim sent in the 30 days to {at}.",
        "Over the 10 earlier transactions that account:victim sent in the 30 days to "
        f"{at}, the highest amount was 10.00 EUR.",
        f"account:victim had no earlier transaction with account:m1 by {at}.",
        f"device:dark is new to account:victim: first seen together at {at}.",
        "device:dark of account:victim was used by 1 other party; 1 of them has a known fraud.",
        "Money moved in a cycle of 3 transactions from account:m1 to account:m2 to account:victim to account:m1, "
        f"between 2025-02-15 10:00:00 UTC and {at}, ending with tx:hit.",
        "account:victim was known with card:c1 since 2025-01-06 10:00:00 UTC.",
        f"account:victim sent 1 transaction in the 1 day to {at}.",
        f"account:victim sent 11 transactions in the 30 days to {at}.",
        f"There was no label of tx:hit by {at}.",
        "account:mule looks alike to account:victim (similarity 0.9245) and had 1 known fraud.",
        "account:good looks alike to account:victim (similarity 0.8358) and had no known fraud.",
    ]
    assert found.removed == ()
    assert found.missing == ()


def test_every_sentence_cites_evidence_that_is_there(found: Investigation) -> None:
    ids = {item.id for item in found.evidence}
    for claim in found.narrative:
        assert claim.evidence_ids
        assert set(claim.evidence_ids) <= ids


def test_planted_facts_are_covered(found: Investigation) -> None:
    """New device, its known fraud, new counterparty, unusual amount, cycle, hostile memo: all six are told."""
    told = " ".join(claim.text for claim in found.narrative)
    for planted in (
        "device:dark is new",
        "1 of them has a known fraud",
        "no earlier transaction with account:m1",
        "50 times",
        "cycle of 3",
        "reads like an instruction",
    ):
        assert planted in told


def test_subject_risk_similar_and_next_check(found: Investigation) -> None:
    assert (found.subject, found.party, found.as_of) == ("alert-00000000000a", VICTIM, HIT_TIME)
    assert found.risk is not None
    assert (found.risk.value, found.risk.num_scored, found.risk.method) == (0.97, 3, "max")  # hit, p39, p36
    assert [item.ref for item in found.similar] == [MULE, PartyRef.parse("account:good")]
    assert found.next_check.code == "check_shared_identifier"
    assert set(found.next_check.evidence_ids) <= {item.id for item in found.evidence}


def test_the_memo_is_in_the_evidence_alone(found: Investigation) -> None:
    body = found.as_dict()
    assert [item["text"] for item in body["evidence"] if item["type"] == "memo"] == [MEMO]
    body["evidence"] = []
    assert "previous instructions" not in orjson.dumps(body).decode()


def test_json_is_plain_and_times_are_rfc3339(found: Investigation) -> None:
    body = orjson.loads(orjson.dumps(found.as_dict()))
    assert body["as_of"] == "2025-02-15T12:00:00Z"
    assert body["release_id"] == "release-1"
    assert (body["score"], body["threshold"], body["model_id"]) == (0.97, 0.9, "model-0123456789ab")
    assert body["removed_statements"] == 0
    around = body["neighborhood"]
    names = {f"{node['type']}:{node['id']}": node for node in around["nodes"]}
    assert around["center"] == "account:victim"
    assert names["device:dark"]["known_frauds"] == 1
    assert names["account:victim"]["known_frauds"] == 0
    edges = {(edge["source"], edge["target"], edge["relation"]) for edge in around["edges"]}
    assert ("account:victim", "account:m1", "transacted") in edges
    assert ("account:victim", "device:dark", "uses") in edges
    assert all(source in names and target in names for source, target, _ in edges)


def test_nothing_of_after_the_alert_is_in_it(found: Investigation) -> None:
    text = orjson.dumps(found.as_dict()).decode()
    assert "later" not in text
    assert all(item.time <= HIT_TIME for item in found.evidence)


def test_a_party_as_of_two_times(world: World) -> None:
    context = world.context()
    now = investigate(context, VICTIM)
    assert now.as_of == context.now
    assert now.known_frauds[VICTIM] == 1  # the label of `hit` came on day 45
    assert any(isinstance(item, WindowStatistic) and item.measure == "known_frauds" for item in now.evidence)
    then = investigate(context, VICTIM, as_of=HIT_TIME - 1)
    assert then.known_frauds[VICTIM] == 0
    assert then.alert is None
    assert "hit" not in orjson.dumps(then.as_dict()).decode()
    assert all(claim.evidence_ids for claim in then.narrative)


def test_a_device_has_no_direction(world: World) -> None:
    told = [claim.text for claim in investigate(world.context(), DARK).narrative]
    assert "device:dark had 1 known fraud in the 30 days to 2025-02-25 12:00:00 UTC." not in told  # two: b2 and hit
    assert "device:dark had 2 known frauds in the 30 days to 2025-02-25 12:00:00 UTC." in told
    assert "device:dark was used by 2 parties; 2 of them have a known fraud." in told
    assert not [text for text in told if "sent" in text or "received" in text]


def test_who_was_not_known_then_is_refused(world: World) -> None:
    with pytest.raises(UnknownSubject, match="was not known"):
        investigate(world.context(), M1, as_of=INDEX_TIME)
    with pytest.raises(UnknownSubject, match="account:nobody"):
        investigate(world.context(), PartyRef.parse("account:nobody"))
    with pytest.raises(UnknownSubject, match="Transaction hit"):
        investigate(world.context(), replace(hit_alert(), time=HIT_TIME - 1))


def test_what_is_not_wired_is_said(world: World) -> None:
    bare = investigate(world.context(index=None), hit_alert())
    assert bare.missing == (
        "Similar parties were not looked up: there is no index.",
        "The score was not attributed to features: the model in force cannot say.",
        "No risk is shown: earlier scores were not read.",
    )
    assert bare.risk is None and bare.similar == ()
    early = investigate(world.context(), VICTIM, as_of=INDEX_TIME - 1)
    assert "after" in early.missing[0] and early.similar == ()


def test_an_alert_on_a_transaction_that_the_store_does_not_hold(world: World) -> None:
    new = graph_transaction(
        "api-1", HIT_TIME + 2 * DAY, target=M1, amount_minor=70_000, kind="transfer", parties=(DARK,)
    )
    alert = replace(hit_alert(), transaction_id="api-1", time=new.available_at, transaction=new)
    found = investigate(world.context(), alert)
    assert found.removed == ()
    assert isinstance(found.evidence[0], TransactionFact) and found.evidence[0].transaction == new
    assert "Transaction tx:api-1 is a transfer of 700.00 EUR" in found.narrative[0].text
    assert found.neighborhood.transactions[0] == new
    counts = {
        item.width: item.value for item in found.evidence if isinstance(item, WindowStatistic) and not item.without
    }
    assert counts[DAY] == 1  # `later`, a day before to the microsecond, lies outside the open start
    assert counts[30 * DAY] == 12  # p15 … p39 are nine; hit, later, api-1


def test_display_names_the_parties_for_those_who_may_see(found: Investigation) -> None:
    def display(ref: PartyRef) -> str:
        return "Vera Victim" if ref == VICTIM else str(ref)

    body = found.as_dict(display)
    assert body["party"] == {"type": "account", "id": "victim", "label": "Vera Victim"}
    assert "from Vera Victim to account:m1" in body["narrative"][0]["text"]
    assert "Vera" not in orjson.dumps(found.as_dict()).decode()


def test_the_alert_party_can_be_another_role(world: World) -> None:
    assert investigate(world.context(alert_role="target"), hit_alert()).party == M1
    assert investigate(world.context(alert_role="card"), hit_alert()).party == PartyRef.parse("card:c1")


def test_the_same_question_has_the_same_answer(world: World, found: Investigation) -> None:
    again = investigate(world.context(attribute=attribute, scores=scores, release_id="release-1"), hit_alert())
    assert again.as_dict() == found.as_dict()


def test_a_busy_center_is_capped_and_says_so(tmp_path: Path) -> None:
    rows = [transaction(f"t{i}", START + i, f"account:a{i}", "merchant:busy") for i in range(600)]
    world = World(tmp_path, rows, [])
    found = investigate(world.context(index=None), PartyRef.parse("merchant:busy"))
    assert found.neighborhood.capped == (PartyRef.parse("merchant:busy"),)
    assert len(found.neighborhood.transactions) == 30
    told = [claim.text for claim in found.narrative]
    assert any("received at least 500 transactions" in text for text in told) or any(
        "0 transactions" in t for t in told
    )
    assert found.removed == ()


def test_the_next_check_follows_the_strongest_evidence(world: World) -> None:
    found = investigate(world.context(), hit_alert())
    without_shared = [item for item in found.evidence if item.id not in found.next_check.evidence_ids]
    assert next_check(without_shared).code == "trace_cycle"
    only_new = [item for item in found.evidence if isinstance(item, UseFact)]
    assert next_check(only_new).code == "confirm_new_device"
    assert next_check([]).code == "confirm_purpose"


def test_the_terminal_shows_it_and_reads_no_markup(world: World, found: Investigation) -> None:
    console = Console(record=True, width=140, file=Path("/dev/null").open("w"))  # noqa: SIM115
    show_investigation(console, found)
    shown = console.export_text()
    for part in ("alert-00000000000a", "score 0.97", "[E1]", "device:dark", "Next best check", "account:mule", MEMO):
        assert part in shown
    rows = [transaction("t", START, "account:a", "merchant:[red]x[/red]\u001b[31m", memo="[bold]pay[/bold]\u001b[2J")]
    hostile = World(world.workspace.root / "hostile", rows, [])
    show_investigation(console, investigate(hostile.context(index=None), PartyRef.parse("account:a")))
    shown = console.export_text()
    assert "merchant:[red]x[/red][31m" in shown
    assert "\u001b" not in shown
    show_similar(console, "account:victim", ())
    assert "No party of the same type" in console.export_text()


def test_times_and_hours_of_the_fixture() -> None:
    assert HIT_TIME - START == 40 * DAY + 12 * HOUR
    assert SHOP.type == "merchant"
