"""The forecaster: past only, better than the last value where there is something to learn; what is odd stands out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.forecast_row import ForecastRow, fit_forecast
from graphml.fused_training import FusedTraining
from graphml.graph import TransactionGraph
from graphml.label_table import labels_of, rebuilt
from graphml.trainer_config import TrainerConfig
from ingestion.labels import LabelEvents
from tests.graphml.cases import random_graph

CONFIG = FusedTraining(
    network="decoder",
    columns=(0, 1),
    fanouts=(0, 0),
    width=16,
    window=8,
    num_heads=2,
    seeds_per_epoch=300,
    trainer=TrainerConfig(epochs=40, batch_size=64, learning_rate=5e-3),
)
ODD = np.arange(360, 400, 8)


def habits() -> TransactionGraph:
    """Each payer pays a low and a high amount by turns; `ODD` ones are as high as no payer's."""
    rng = np.random.default_rng(0)
    num, none = 400, np.zeros(0, np.int64)
    payer = np.arange(num) % 8
    turn = (np.arange(num) // 8) % 2
    amount = 10 + 5 * payer + 40 * turn + rng.random(num)
    amount[ODD] = 400
    time = np.arange(num) * 3_600_000_000
    return TransactionGraph.build(
        roles=("source", "target"),
        types=("account",),
        entity=np.stack([payer, 8 + rng.integers(0, 300, num)], axis=1),
        entity_type=np.zeros(308, np.int64),
        event_time=time,
        available_at=time,
        features=np.stack([amount, rng.random(num)], axis=1).astype(np.float32),
        labels=LabelEvents(position=none, known_at=none, is_fraud=none.astype(bool), origin=none),
    )


@pytest.fixture(scope="module")
def row() -> ForecastRow:
    return fit_forecast(GraphContext(habits()), np.arange(300), replace(CONFIG, columns=(0,)), horizon=3)


def test_it_forecasts_turns_better_than_the_last_value(row: ForecastRow) -> None:
    graph = habits()
    forecast, latest = row.errors(GraphContext(graph), graph.seeds(np.arange(300, 360)))
    assert forecast.mean() < 0.6 * latest.mean()


def test_odd_transactions_stand_out(row: ForecastRow) -> None:
    graph = habits()
    positions = np.arange(360, 400)
    score = row.logits(GraphContext(graph), graph.seeds(positions))
    is_odd = np.isin(positions, ODD)
    assert score[is_odd].min() > np.quantile(score[~is_odd], 0.8)


def test_past_only_and_not_on_the_batch() -> None:
    graph, position = random_graph(3, num=200, entities=9), 150
    row = fit_forecast(GraphContext(graph), np.arange(100), replace(CONFIG, trainer=TrainerConfig(epochs=1)), horizon=2)
    features = graph.features.copy()
    features[position + 1 :] += 3
    other = rebuilt(graph, labels_of(graph), features=features)
    positions = np.arange(100, position + 1)
    everything = row.logits(GraphContext(graph), graph.seeds(np.arange(100, 200)))
    assert np.allclose(row.logits(GraphContext(other), other.seeds(positions)), everything[:51], atol=1e-5)
    alone = row.logits(GraphContext(graph), graph.seeds(np.asarray([position])))
    assert np.allclose(alone, everything[50], atol=1e-5)


def test_a_forecast_does_not_see_what_it_forecasts(row: ForecastRow) -> None:
    graph, position = habits(), 330
    features = graph.features.copy()
    features[position] *= 7
    other = rebuilt(graph, labels_of(graph), features=features)
    told = [row.network(row.inputs(GraphContext(each), each.seeds(np.asarray([position])))) for each in (graph, other)]
    assert (told[0].expected_DJF == told[1].expected_DJF).all()
    assert not (told[0].actual_DF == told[1].actual_DF).all()


def test_a_party_without_history_has_no_error() -> None:
    graph = habits()
    row = fit_forecast(GraphContext(graph), np.arange(50), replace(CONFIG, trainer=TrainerConfig(epochs=1)))
    assert row.logits(GraphContext(graph), graph.seeds(np.asarray([0])))[0] == 0


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="what a decoder reads"):
        fit_forecast(GraphContext(habits()), np.arange(50), FusedTraining(columns=(0,)))
    row = fit_forecast(GraphContext(habits()), np.arange(50), replace(CONFIG, trainer=TrainerConfig(epochs=1)))
    with pytest.raises(ValueError, match="horizon is 0"):
        replace(row.config, horizon=0)
    with pytest.raises(ValueError, match="cannot look both ways"):
        replace(row.config, transformer=replace(row.config.transformer, both_ways=True))
