from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.simulator.config import DEFAULT_SHARES, TYPOLOGIES, SimulatorConfig
from ingestion.simulator.simulate import SimulatedTables, simulate
from ingestion.simulator.typologies.plan import REGISTRY, plan
from tests.ingestion.simulator.conftest import Rows


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(4_000, 300_000),
    rate=st.floats(0, 0.1),
    seed=st.integers(0, 2**32),
    shares=st.dictionaries(st.sampled_from(TYPOLOGIES), st.floats(0.01, 1), min_size=1),
)
def test_sizes_sum_to_the_number_of_frauds(number: int, rate: float, seed: int, shares: dict[str, float]) -> None:
    config = SimulatorConfig(num_transactions=number, fraud_rate=rate, seed=seed, shares=shares)
    cases = plan(config)
    assert sum(size for _, size in cases) == config.num_frauds
    left_over = [name for name, size in cases if size not in REGISTRY[name].sizes or name not in shares]
    assert len(left_over) <= 1 and set(left_over) <= {"account_takeover"}


def test_shares_are_honoured() -> None:
    config = SimulatorConfig(num_transactions=1_000_000)
    planned: Counter[str] = Counter()
    for name, size in plan(config):
        planned[name] += size
    for name, share in DEFAULT_SHARES.items():
        assert planned[name] / config.num_frauds == pytest.approx(share, abs=0.01)


def test_one_typology_alone() -> None:
    tables = simulate(SimulatorConfig(num_transactions=8_000, fraud_rate=0.02, shares={"cycle": 1.0}))
    found = Counter(tables.truth["typology"].drop_null().to_pylist())
    assert found.total() == 160
    assert found["cycle"] >= 150 and set(found) <= {"cycle", "account_takeover"}


def test_the_smallest_population_holds_every_case() -> None:
    for seed in range(4):
        tables = simulate(SimulatorConfig(num_transactions=2_000, days=14, fraud_rate=0.1, seed=seed))
        assert sum(tables.truth["is_fraud"].to_pylist()) == 200


def test_cases_lie_evenly_over_the_span(tables: SimulatedTables, cases: dict[str, list[Rows]]) -> None:
    for typology, of_typology in cases.items():
        begins = [(rows[0]["event_time"] - tables.config.start).days for rows in of_typology]
        thirds = np.histogram(begins, bins=3, range=(0, 60))[0] / len(begins)
        assert thirds.min() > 0.15, typology
