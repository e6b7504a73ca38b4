"""The same tuning effort for all, and no trial opens a test row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml.data_view import DataView, SealedRow
from graphml.folds import FOLD_WEEK, plan_folds
from graphml.own_models import Entry
from graphml.prequential import Prequential
from graphml.tuning import NUM_TRIALS, sealed_before, settings_of, tune
from tests.graphml.prequential_case import PLAN, Noisy, case

SPACE = {"strength": [-1.0, 0.0, 0.5, 8.0]}


@pytest.fixture
def judged(tmp_path: Path) -> Prequential:
    """The folds that are judged in the end, of a longer history."""
    return case(tmp_path, days=50)


@pytest.fixture
def earlier(judged: Prequential, tmp_path: Path) -> Prequential:
    """Two folds before them, over data that ends where their training does."""
    plan = replace(PLAN, num_folds=2)
    folds = plan_folds(judged.data.graph, plan, until=min(fold.train_end for fold in judged.folds))
    return Prequential.of(
        sealed_before(judged.data, judged.folds),
        folds,
        budget=FOLD_WEEK,
        delay_days=plan.delay_days,
        folder=tmp_path,
        snapshot_id="snap-of-the-tests",
        not_for_training=np.zeros(0, np.int64),
    )


def row(make: type = Noisy) -> Entry:
    return Entry(name="noisy", make=make, space=SPACE, fingerprint="noisy")


def test_the_best_setting_on_the_earlier_folds_is_chosen(earlier: Prequential) -> None:
    Noisy.fits = 0
    found = tune(row(), earlier)
    assert len(found.trials) == 4, "a small space is tried whole"
    assert found.best.setting == {"strength": 8.0}
    assert found.best.mean == max(trial.mean for trial in found.trials) == pytest.approx(np.mean(found.best.by_fold))
    assert found.cpu_minutes == pytest.approx(sum(trial.cpu_minutes for trial in found.trials))
    assert Noisy.fits == 8
    assert tune(row(), earlier).as_dict() == found.as_dict() and Noisy.fits == 8, "kept"


def test_twelve_settings_drawn_by_seed_0() -> None:
    space = {"depth": list(range(10)), "rate": list(range(10))}
    drawn = settings_of(space, NUM_TRIALS, 0)
    assert len(drawn) == 12 == len({tuple(sorted(setting.items())) for setting in drawn})
    assert drawn == settings_of(space, NUM_TRIALS, 0) != settings_of(space, NUM_TRIALS, 1)


def first_test_row(judged: Prequential) -> int:
    return int(judged.tasks[0].test.positions[0])


def test_the_sealed_data_holds_no_row_and_no_label_of_a_judged_fold(judged: Prequential) -> None:
    sealed = sealed_before(judged.data, judged.folds)
    first = min(judged.folds, key=lambda fold: fold.train_end)
    assert len(sealed.graph) <= first_test_row(judged)
    assert sealed.graph.available_at[-1] < first.train_end
    assert sealed.graph.label_known_at.max() < first.train_end
    assert len(sealed.rows) == len(sealed.graph)


@pytest.mark.parametrize("way", ["features_at", "column", "known_labels", "graph"])
def test_a_trial_that_tries_to_open_a_test_row_is_caught(judged: Prequential, earlier: Prequential, way: str) -> None:
    wanted = np.asarray([first_test_row(judged)])

    class Peeks(Noisy):
        def fit(self, view: DataView) -> None:
            if way == "features_at":
                view.features_at(wanted)
            elif way == "column":
                view.column("kind", wanted)
            elif way == "known_labels":
                view.known_labels(np.asarray([0, 1]), wanted)
            else:
                view.graph.features[wanted]

    with pytest.raises(IndexError if way == "graph" else SealedRow):
        tune(row(Peeks), earlier)
