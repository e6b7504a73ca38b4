"""Attribution by occlusion: exact for a linear row, nothing for what the snapshot does not hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphml.context import GraphContext
from retrieval.records import SnapshotRecords
from serving.attribution import Attributions
from tests.serving.served import Served


def test_occlusion_of_a_linear_model_is_weight_times_distance(built: Served) -> None:
    """For logistic regression, replacing a feature by its median changes the logit by what the model alone says."""
    model = built.model
    linear = replace(model, manifest=model.manifest | {"served": "logistic"})
    context = GraphContext(built.snapshot)
    attribute = Attributions(linear, context, SnapshotRecords(built.snapshot))
    position = len(context.graph) - 10
    identifier = built.snapshot.transaction_ids[position].as_py()
    found = {item.feature: item for item in attribute(identifier)}
    assert list(found) == model.spec.names
    (whole,) = linear.score_positions(context, np.asarray([position]))
    for index, name in enumerate(model.spec.names[:8]):
        seeds = context.graph.seeds(np.asarray([position]))
        features = seeds.features.copy()
        features[0, index] = found[name].typical
        (without,) = linear.score_seeds(context, replace(seeds, features=features))
        assert found[name].logit_change == pytest.approx(whole - without, abs=1e-9)
    start, end = np.searchsorted(context.graph.available_at, [model.windows.train_start, model.windows.train_end])
    assert found["amount"].typical == pytest.approx(float(np.median(context.graph.features[start:end, 0])))


def test_a_feature_at_its_typical_value_changes_nothing_and_absent_parties_are_none(built: Served) -> None:
    context = GraphContext(built.snapshot)
    attribute = Attributions(built.model, context, SnapshotRecords(built.snapshot))
    names = built.model.spec.names
    device = names.index("device_count_1d")
    position = int(np.flatnonzero(np.isnan(context.graph.features[:, device]))[-1])
    found = attribute(built.snapshot.transaction_ids[position].as_py())
    assert found[device].value is None and found[device].typical is not None
    for item in found:
        if item.value == item.typical:
            assert item.logit_change == 0.0


def test_a_transaction_that_the_snapshot_lacks_has_none(built: Served) -> None:
    attribute = Attributions(built.model, GraphContext(built.snapshot), SnapshotRecords(built.snapshot))
    assert attribute("unknown") == []
