"""Windows against a brute-force oracle, with late events, equal times and two currencies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import compiled
from ingestion.contracts import MICROSECONDS_PER_DAY as DAY
from ingestion.features import kernels
from ingestion.features.batch import PartyStream, event_features, merge_streams, role_features
from ingestion.features.spec import FeatureSpec, WindowFamily, load_spec
from ingestion.features.state import FeatureState, OnlineTransaction

SPEC = FeatureSpec(
    name="t",
    event=("amount",),
    windows=(WindowFamily(role="source", days=(1, 7), statistics=("count", "amount_mean"), counts_self=True),),
    label_windows=(WindowFamily(role="source", days=(7,), statistics=("label_count", "fraud_rate")),),
)


def test_hand_made_rows() -> None:
    stream = PartyStream(
        party=np.array([1, 1, 1, 2]),
        rank=np.array([1, 0, 1, 1]),
        time=np.array([10 * DAY, 10 * DAY + 5, 11 * DAY, 11 * DAY]),
        value=np.array([100, 1, 300, 700]),
        currency=np.zeros(4, np.int64),
        exponents=np.array([2]),
    )
    values = role_features(SPEC, "source", stream)
    # count_1d, mean_1d, count_7d, mean_7d, labels_7d, fraud_rate_7d; the window is open at its start
    assert values[0].tolist() == [1, 1, 1, 1, 0, 0]
    assert values[2].tolist() == [1, 3, 2, 2, 1, 1]
    assert values[3].tolist() == [1, 7, 1, 7, 0, 0]


def test_a_late_event_sees_its_own_time_and_is_seen_by_later_ones() -> None:
    stream = PartyStream(
        party=np.zeros(3, np.int64),
        rank=np.ones(3, np.int64),
        time=np.array([20 * DAY, 18 * DAY, 20 * DAY + 1]),
        value=np.array([100, 200, 600]),
        currency=np.zeros(3, np.int64),
        exponents=np.array([2]),
    )
    values = role_features(SPEC, "source", stream)
    assert values[1, :4].tolist() == [1, 2, 1, 2]  # the event at day 20 lies after its window
    assert values[2, :4].tolist() == [2, 3.5, 3, 3]


def brute_force(stream: PartyStream) -> np.ndarray:
    """The definition, written the slow way."""
    rows = []
    for i in range(len(stream.party)):
        same = [j for j in range(i + 1) if stream.party[j] == stream.party[i]]
        row = []
        for days in (1, 7):
            inside = [
                j
                for j in same
                if stream.rank[j] == 1 and stream.time[i] - days * DAY < stream.time[j] <= stream.time[i]
            ]
            money = [int(stream.value[j]) for j in inside if stream.currency[j] == stream.currency[i]]
            row += [len(inside), sum(money) / len(money) / 100 if money else 0.0]
        labels = [
            int(stream.value[j])
            for j in same
            if stream.rank[j] == 0 and stream.time[i] - 7 * DAY < stream.time[j] <= stream.time[i]
        ]
        row += [len(labels), sum(labels) / len(labels) if labels else 0.0]
        rows.append(row)
    return np.asarray(rows, np.float32)


@st.composite
def streams(draw: st.DrawFn) -> PartyStream:
    size = draw(st.integers(1, 30))
    whole = lambda low, high: np.asarray(draw(st.lists(st.integers(low, high), min_size=size, max_size=size)), np.int64)  # noqa: E731
    rank = whole(0, 1)
    value = np.where(rank == 1, whole(0, 10**9), whole(0, 1))
    return PartyStream(
        party=np.sort(whole(0, 2)),
        rank=rank,
        time=whole(0, 20) * (DAY // 2),
        value=value,
        currency=whole(0, 1),
        exponents=np.array([2, 2]),
    )


@settings(max_examples=200, deadline=None)
@given(streams())
def test_kernel_equals_the_definition(stream: PartyStream) -> None:
    transactions = stream.rank == 1
    np.testing.assert_array_equal(
        role_features(SPEC, "source", stream)[transactions], brute_force(stream)[transactions]
    )


@pytest.mark.skipif(compiled.numba is None, reason="numba is not installed: there is nothing to compare")
@settings(max_examples=50, deadline=None)
@given(streams())
def test_plain_python_gives_the_same(stream: PartyStream) -> None:
    size = len(stream.party)
    arguments = (stream.starts, stream.rank, stream.time, stream.value, stream.currency, True)
    widths = (np.array([DAY, 7 * DAY]), np.array([7 * DAY]))
    room = [[np.zeros((size, w), np.int64) for w in (2, 2, 2, 1, 1)] for _ in range(2)]
    kernels.replay(*arguments, *widths, *room[0])
    plain = {name: getattr(kernels, name) for name in ("first_after", "insert", "window", "observe", "replay")}
    try:
        for name, function in plain.items():
            setattr(kernels, name, function.py_func)
        plain["replay"].py_func(*arguments, *widths, *room[1])
    finally:
        for name, function in plain.items():
            setattr(kernels, name, function)
    for compiled_result, python_result in zip(*room, strict=True):
        np.testing.assert_array_equal(compiled_result, python_result)


@pytest.mark.parametrize("late_share", [0.0, 0.01, 0.2])
def test_one_event_at_a_time_equals_the_batch_bit_for_bit(late_share: float) -> None:
    random = np.random.default_rng(7)
    size, roles = 2000, ("source", "target")
    spec = load_spec("default").for_roles(roles)
    event_time = np.sort(random.integers(0, 60 * DAY, size))
    available = event_time + np.where(random.random(size) < late_share, random.integers(0, 3 * DAY, size), 0)
    order = np.argsort(available, kind="stable")
    event_time, available = event_time[order], available[order]
    amount, currency = random.integers(0, 10**7, size), random.integers(0, 2, size)
    entity = np.stack([random.integers(0, 20, size), random.integers(-1, 30, size)], axis=1)
    labelled = np.flatnonzero(random.random(size) < 0.9)
    known = event_time[labelled] + random.integers(1, 20, len(labelled)) * DAY
    by_time = np.argsort(known, kind="stable")
    labelled, known = labelled[by_time], known[by_time]
    fraud = random.random(len(labelled)) < 0.1
    kind, outcome = np.full(size, "payment", object), np.full(size, "approved", object)

    parts = {
        "event": event_features(
            spec,
            event_time=event_time,
            amount_minor=amount,
            exponent=np.array([2, 0])[currency],
            kind=kind,
            outcome=outcome,
        )
    }
    for index, role in enumerate(roles):
        stream, position = merge_streams(
            party=entity[:, index], event_time=event_time, amount_minor=amount, currency=currency,
            exponents=np.array([2, 0]), available_at=available, label_position=labelled, label_known_at=known,
            label_is_fraud=fraud,
        )  # fmt: skip
        values = role_features(spec, role, stream)
        parts[role] = np.full((size, values.shape[1]), np.nan, np.float32)
        parts[role][position[position >= 0]] = values[position >= 0]
    names = list(spec.event) + [n for role in roles for f in spec.family(role) if f for n in f.names()]
    batch = np.concatenate(list(parts.values()), axis=1)[:, [names.index(name) for name in spec.names]]

    state, next_label = FeatureState(spec), 0
    parties = [{role: int(key) for role, key in zip(roles, row, strict=True) if key >= 0} for row in entity]
    for i in range(size):
        while next_label < len(known) and known[next_label] <= available[i]:
            state.observe_label(
                parties[labelled[next_label]], known_at=int(known[next_label]), is_fraud=bool(fraud[next_label])
            )
            next_label += 1
        online = state.observe_transaction(
            OnlineTransaction(
                event_time=int(event_time[i]),
                amount_minor=int(amount[i]),
                currency=("EUR", "JPY")[currency[i]],
                kind="payment",
                outcome="approved",
                parties=parties[i],
            )
        )
        assert online.tobytes() == batch[i].tobytes(), (i, spec.names)
