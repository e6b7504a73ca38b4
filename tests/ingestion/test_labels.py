"""Labels as events: what was known when, ties, and maturing."""

import numpy as np

from ingestion.contracts import LABEL_ORIGINS
from ingestion.labels import FRAUD, LEGITIMATE, UNKNOWN, LabelEvents, matured_labels

ANALYST, CHARGEBACK, RULE, MATURED = range(len(LABEL_ORIGINS))


def events(rows: list[tuple[int, int, bool, int]]) -> LabelEvents:
    position, known_at, is_fraud, origin = zip(*rows, strict=True)
    return LabelEvents(
        position=np.array(position), known_at=np.array(known_at), is_fraud=np.array(is_fraud), origin=np.array(origin)
    )


def test_the_latest_known_label_wins() -> None:
    labels = events([(0, 10, True, CHARGEBACK), (0, 20, False, ANALYST), (1, 30, True, RULE)])
    assert labels.as_of(9, 2).tolist() == [UNKNOWN, UNKNOWN]
    assert labels.as_of(10, 2).tolist() == [FRAUD, UNKNOWN]
    assert labels.as_of(20, 2).tolist() == [LEGITIMATE, UNKNOWN]
    assert labels.as_of(30, 2).tolist() == [LEGITIMATE, FRAUD]


def test_ties_go_to_the_stronger_origin_in_any_order() -> None:
    rows = [(0, 10, True, CHARGEBACK), (0, 10, False, ANALYST), (0, 10, True, RULE)]
    assert {int(events([rows[i] for i in order]).as_of(10, 1)[0]) for order in [(0, 1, 2), (2, 1, 0), (1, 2, 0)]} == {
        LEGITIMATE
    }


def test_maturing() -> None:
    # 0 matures; 1 was labelled before; 2 is labelled only after it matured; 3 was declined; 4 is too young
    matured = matured_labels(
        event_time=np.array([0, 1, 2, 3, 100]),
        available_at=np.array([0, 1, 2, 3, 100]),
        can_mature=np.array([True, True, True, False, True]),
        labels=events([(1, 5, True, CHARGEBACK), (2, 40, True, CHARGEBACK)]),
        maturity=10,
        horizon=50,
    )
    assert matured.position.tolist() == [0, 2]
    assert matured.known_at.tolist() == [10, 12]
    assert set(matured.origin.tolist()) == {MATURED}


def test_a_label_known_exactly_at_maturity_stops_it() -> None:
    matured = matured_labels(
        event_time=np.array([0]),
        available_at=np.array([0]),
        can_mature=np.array([True]),
        labels=events([(0, 10, True, CHARGEBACK)]),
        maturity=10,
        horizon=50,
    )
    assert matured.position.tolist() == []


def test_what_arrives_after_its_maturity_matures_just_after_its_arrival() -> None:
    matured = matured_labels(
        event_time=np.array([0]),
        available_at=np.array([30]),
        can_mature=np.array([True]),
        labels=events([(0, 90, True, CHARGEBACK)]),
        maturity=10,
        horizon=50,
    )
    assert matured.known_at.tolist() == [31]
