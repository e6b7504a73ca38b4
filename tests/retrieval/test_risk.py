"""Entity risk, by hand."""

import pytest

from ingestion.contracts import PartyRef
from retrieval.reader import History
from retrieval.risk import entity_risk
from tests.builders import DAY, START
from tests.retrieval.test_reader import graph_transaction
from tests.retrieval.worlds import SHOP, VICTIM

NOW = START + 10 * DAY
CARD = PartyRef.parse("card:c1")


def history(ref: PartyRef) -> History:
    items = [
        graph_transaction("new", NOW, parties=(CARD,)),
        graph_transaction("edge", NOW - 7 * DAY + 1, parties=(CARD,)),
        graph_transaction("old", NOW - 7 * DAY, parties=(CARD,)),
    ]
    return History(ref=ref, transactions=tuple(items), is_complete=True)


def given(ids: object) -> dict[str, float]:
    return {one: {"new": 0.2, "edge": 0.6, "old": 0.9}[one] for one in ids}  # type: ignore[attr-defined]


def test_the_alert_partys_risk_is_its_highest_score_of_seven_days() -> None:
    risk = entity_risk(history(VICTIM), given, as_of=NOW, alert_role="source", base_rate=0.01)
    assert (risk.value, risk.num_scored, risk.method) == (0.6, 2, "max")  # `old` lies outside (t - 7 days, t]
    card = entity_risk(history(CARD), given, as_of=NOW, alert_role="card", base_rate=0.01)
    assert (card.value, card.method) == (0.6, "max")


def test_another_partys_risk_is_the_mean_shrunk_to_the_base_rate() -> None:
    risk = entity_risk(history(SHOP), given, as_of=NOW, alert_role="source", base_rate=0.01)
    assert risk.method == "shrunk_mean"
    assert risk.value == pytest.approx((0.2 + 0.6 + 20 * 0.01) / 22)
    assert risk.num_scored == 2


@pytest.mark.parametrize("ref", [VICTIM, SHOP])
def test_without_scores_there_is_no_risk(ref: PartyRef) -> None:
    def never(ids: object) -> dict[str, float]:
        return {}

    for known in (history(ref), History(ref=ref, transactions=(), is_complete=True)):
        risk = entity_risk(known, never, as_of=NOW, alert_role="source", base_rate=0.5)
        assert (risk.value, risk.num_scored) == (None, 0)
