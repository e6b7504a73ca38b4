from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
import pytest

from ingestion.errors import UsageError
from ingestion.simulator.config import LabelConfig, SimulatorConfig


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"num_transactions": 1_999}, "num_transactions = 1999"),
        ({"days": 13}, "days = 13"),
        ({"seed": -1}, "seed = -1"),
        ({"fraud_rate": 0.11}, "fraud_rate = 0.11"),
        ({"fraud_rate": float("nan")}, "fraud_rate = nan"),
        ({"shares": {"cycle": 1.5}}, r"shares\[cycle\] = 1.5"),
        ({"shares": {"cycel": 1.0}}, "'cycel'"),
        ({"shares": {"cycle": 0.0}}, "All shares are 0"),
        ({"num_transactions": 2_000, "days": 90}, "at least 2880"),
        ({"start": dt.datetime(2025, 1, 6)}, "midnight UTC"),
        ({"start": dt.datetime(2025, 1, 6, 9, tzinfo=dt.UTC)}, "midnight UTC"),
    ],
)
def test_a_bad_parameter_is_named_with_its_value(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        SimulatorConfig(**parameters)


@pytest.mark.parametrize(
    "parameters", [{"never_reported_share": 1.2}, {"dispute_rate": 0.2}, {"chargeback_lag_median_days": 25.0}]
)
def test_a_bad_label_parameter_is_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        LabelConfig(**parameters)


def test_derived_sizes() -> None:
    config = SimulatorConfig()
    assert config.num_frauds == 300
    assert config.num_accounts == 2_778  # 100,000 / (60 x 0.6)
    assert config.span == 60 * 86_400_000_000


def test_the_config_is_written_whole() -> None:
    plain = orjson.loads(orjson.dumps(SimulatorConfig(seed=7).as_dict()))
    assert plain["seed"] == 7
    assert plain["start"] == "2025-01-06T00:00:00+00:00"
    assert plain["labels"]["max_lag_days"] == 20.0
    assert plain["shares"]["cycle"] == 0.09
