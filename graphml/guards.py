"""Guards for any row that can be fitted and scored here: does it use what nobody could know at the time?

Three questions (DESIGN section 2), asked by changing the data and looking at what a row answers:

- *future*: a row's score must not change when what comes after it is altered or deleted. Altered in place the scores
  are bit-identical; deleted they agree within 1e-6, for the shape of a batch changes how sums are rounded.
- *own outcome*: a row's score must not change when the labels that it gets later are turned round.
- *label shuffle*: the label table is dealt out anew before features are computed; what is learned from it must rank
  like chance: the mean of the shuffles lies in the 95 % band of rankings by lot.

To tempt a model, its score is asked in views that hold all of the data; an honest one answers as if it did not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphml.data_view import EvaluationData
from graphml.errors import TooLittleData
from graphml.evaluation import Ranking
from graphml.graph import Ints, TransactionGraph
from graphml.label_table import dealt_out, features_under, labels_of, rebuilt
from graphml.ladder_entries import StackedModel
from graphml.own_models import Doubles, Entry, OwnModel, scored
from graphml.prequential import Progress
from graphml.rewire import rewire
from graphml.tasks import Task, window_task
from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.snapshot import Snapshot

FUTURE, OWN_OUTCOME, LABEL_SHUFFLE = "future", "own outcome", "label shuffle"
#: Deleted rows change the shapes of batches, and so the rounding.
TOLERANCE = 1e-6
#: Scores of trees on a network's logit jump: the rounding takes a few across a split. So large a share may, of what is
#: deleted; what is altered must stay to the bit.
_JUMPING_SHARE = 1e-3
_ROWS_ASKED, _OUTCOMES = 1_000, 12
#: Moments behind which the future is another one, so many of them right behind a fraud, where a look ahead would pay;
#: the rows just before each are asked too, so that a look ahead of minutes crosses it.
_MOMENTS, _AT_FRAUDS, _ROWS_BEFORE = 12, 8, 32
_BAND_DRAWS = 400


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a guard found of a row; `told` in words for a report."""

    row: str
    guard: str
    passed: bool
    told: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"row": self.row, "guard": self.guard, "passed": self.passed, "told": self.told}


def check_future(
    name: str,
    model: OwnModel,
    data: EvaluationData,
    task: Task,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Finding:
    """Scores of a fitted model on rows of a task against those when what comes after some moments is another one."""
    asked, last_of_moments = _asked_before_moments(task)
    may_jump = _JUMPING_SHARE if isinstance(model, StackedModel) else 0.0
    before = scored(name, model, data.to_probe(asked))
    again = scored(name, model, data.to_probe(asked))
    if again.tobytes() != before.tobytes():
        told = "two scorings of the same rows differ, so nothing can be said: fix the seed of whatever is random"
        return Finding(row=name, guard=FUTURE, passed=False, told=told)
    for place, number in enumerate(np.searchsorted(asked, last_of_moments).tolist()):
        if progress is not None:
            progress(f"moment {place + 1} of {len(last_of_moments)}", place / len(last_of_moments))
        t, earlier = int(asked[number]) + 1, asked[: number + 1]
        after = scored(name, model, altered(data, t, seed=seed).to_probe(asked))[: number + 1]
        changed = _changed(before[: number + 1], after, 0.0)
        if changed:
            return _future_finding(name, changed, number + 1, "altered")
        changed = _changed(before[: number + 1], scored(name, model, data.to_score(earlier)), TOLERANCE)
        changed += _changed(before[number : number + 1], scored(name, model, data.to_score(earlier[-1:])), TOLERANCE)
        if changed > may_jump * (number + 1):
            return _future_finding(name, changed, number + 1, "deleted")
    told = (
        f"{len(asked):,} scores stayed the same when what came after each of {len(last_of_moments)} moments was "
        "altered and when it was deleted"
    )
    return Finding(row=name, guard=FUTURE, passed=True, told=told)


def _asked_before_moments(task: Task) -> tuple[Ints, Ints]:
    """Positions to score, ascending, and the last position before each moment."""
    frauds = _spread(np.flatnonzero(task.is_fraud), _AT_FRAUDS)
    others = _spread(np.arange(len(task)), _MOMENTS - len(frauds) + 2)[1:-1]  # not the ends of the window
    moments = np.union1d(frauds, others) if len(frauds) + len(others) else np.asarray([len(task) - 1])
    before = (moments[:, None] - np.arange(_ROWS_BEFORE)).ravel()
    rows = np.union1d(before[before >= 0], _spread(np.arange(len(task)), _ROWS_ASKED))
    return task.positions[rows], task.positions[moments]


def check_own_outcome(name: str, model: OwnModel, data: EvaluationData, task: Task) -> Finding:
    """Scores of a fitted model, row by row, against those when the row's own later labels say the opposite."""
    graph, positions = data.graph, task.positions
    labelled = positions[graph.label_stops[positions] > graph.label_starts[positions]]
    asked, changed = _spread(labelled, _OUTCOMES), 0
    for position in asked:
        row = np.asarray([position], np.int64)
        before = scored(name, model, data.to_probe(row))
        after = scored(name, model, data.under(_turned_round(graph, int(position))).to_probe(row))
        changed += _changed(before, after, 0.0)
    told = f"{changed} of {len(asked)} scores changed with the row's own outcome"
    return Finding(row=name, guard=OWN_OUTCOME, passed=changed == 0 and len(asked) > 0, told=told)


@dataclass(frozen=True, kw_only=True)
class ShuffleWindows:
    """Where a label shuffle trains and tests, [start, end) in µs, and as of when each window's outcomes are read."""

    train_start: int
    train_end: int
    train_targets_at: int
    test_start: int
    test_end: int
    test_targets_at: int
    delay_days: int

    def task(self, graph: TransactionGraph, window: str) -> Task:
        """The `train` or `test` task."""
        return window_task(
            graph,
            start=getattr(self, f"{window}_start"),
            end=getattr(self, f"{window}_end"),
            targets_at=getattr(self, f"{window}_targets_at"),
            delay_days=self.delay_days,
            name=f"shuffled {window}",
        )


def check_label_shuffle(
    entries: Sequence[Entry],
    snapshot: Snapshot,
    data: EvaluationData,
    windows: ShuffleWindows,
    *,
    num: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Finding, ...]:
    """Fit every row on `num` shuffles, rank each one's test window, hold the mean against rankings by lot.

    One shuffle is in memory at a time. A shuffle whose windows lack an outcome can tell nothing: no row passes then.
    """
    rankings: dict[str, list[Ranking]] = {entry.name: [] for entry in entries}
    for number in range(num):
        labels = dealt_out(snapshot.label_events, data.graph.available_at, seed=number)
        shuffled = data.under(rebuilt(data.graph, labels, features=features_under(snapshot, labels)))
        for place, entry in enumerate(entries):
            if progress is not None:
                progress(f"label shuffle {number + 1} of {num}", (number + place / len(entries)) / num)
            try:
                rankings[entry.name].append(_ranking(entry, shuffled, windows, seed))
            except TooLittleData as error:
                told = f"not checked: {error.what}"
                return tuple(Finding(row=e.name, guard=LABEL_SHUFFLE, passed=False, told=told) for e in entries)
    return tuple(_shuffle_finding(name, found) for name, found in rankings.items())


def _ranking(entry: Entry, data: EvaluationData, windows: ShuffleWindows, seed: int) -> Ranking:
    shown = data.under(rewire(data.graph, seed=seed)) if entry.edges_shuffled else data
    train, test = windows.task(shown.graph, "train"), windows.task(shown.graph, "test")
    model = entry.model(seed)
    model.fit(shown.to_fit(train, deadline=windows.train_targets_at))
    return Ranking(test.is_fraud, scored(entry.name, model, shown.to_score(test.positions)))


def _shuffle_finding(name: str, rankings: Sequence[Ranking]) -> Finding:
    mean = float(np.mean([ranking.average_precision() for ranking in rankings]))
    low, high = chance_band(rankings)
    told = f"average precision {mean:.4f} of {len(rankings)} shuffles, by lot {low:.4f} to {high:.4f}"
    return Finding(row=name, guard=LABEL_SHUFFLE, passed=low <= mean <= high, told=told)


def chance_band(rankings: Sequence[Ranking], *, num: int = _BAND_DRAWS, seed: int = 0) -> tuple[float, float]:
    """95 % band of the mean average precision of these rankings when outcomes are dealt to their rows by lot."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(num):
        dealt = [ranking.under(rng.permutation(ranking.is_fraud)) for ranking in rankings]
        means.append(np.mean([ranking.average_precision() for ranking in dealt]))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def altered(data: EvaluationData, t: int, *, seed: int) -> EvaluationData:
    """The data with another future: from position t on transactions have others' parties, columns, times and features,
    and half of the labels that become known after position t - 1 say the opposite."""
    rng = np.random.default_rng(seed)
    graph = data.graph
    order = np.arange(len(graph))
    order[t:] = rng.permutation(order[t:])
    entity, features = graph.entity[order], graph.features[order]
    features[t:] = features[t:] * 10 + rng.normal(size=features[t:].shape).astype(np.float32)
    event_time = graph.event_time.copy()
    event_time[t:] -= rng.integers(0, MICROSECONDS_PER_DAY, len(graph) - t)
    labels = labels_of(graph)
    late = (labels.known_at > graph.available_at[t - 1]) & (rng.random(len(labels.known_at)) < 0.5)
    changed = rebuilt(
        graph,
        replace(labels, is_fraud=labels.is_fraud ^ late),
        entity=entity,
        event_time=event_time,
        features=features,
    )
    return data.under(changed, data.rows[order])


def _turned_round(graph: TransactionGraph, position: int) -> TransactionGraph:
    """The labels that a transaction gets after its arrival, opposite."""
    state = graph.label_state.copy()
    own = slice(int(graph.label_starts[position]), int(graph.label_stops[position]))
    late = graph.label_known_at[own] > graph.available_at[position]
    state[own] = np.where(late, 1 - state[own], state[own])
    return replace(graph, label_state=state)


def _changed(before: Doubles, after: Doubles, tolerance: float) -> int:
    return int(np.sum(np.abs(after - before) > tolerance * np.maximum(1.0, np.abs(before))))


def _future_finding(name: str, changed: int, asked: int, how: str) -> Finding:
    told = f"{changed:,} of {asked:,} scores changed when what comes after them was {how}"
    return Finding(row=name, guard=FUTURE, passed=False, told=told)


def _spread(positions: Ints, num: int) -> Ints:
    """At most `num` of the positions, evenly spread."""
    if len(positions) <= num:
        return positions
    return positions[np.linspace(0, len(positions) - 1, num).astype(np.int64)]
