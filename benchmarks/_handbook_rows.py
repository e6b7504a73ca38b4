"""The rows of protocol B: what each computes from a fold, and what of it is tuned.

A row is given training rows and the ids of test rows, never their outcome.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _handbook_data import Budget, Data, Fold
from _handbook_graph_rows import (
    GRAPH_DEFAULT,
    GRAPH_SPACE,
    ON_EVENTS,
    ONE_NETWORK,
    OnEvents,
    graph_logits,
)
from _handbook_peer import handbook_features, peer_logits
from _handbook_trees import SPACE, TRIAL, UNTUNED, Chosen, tree_logits
from _oracle import oracle_scores
from _results import Arrays, Results

from graphml.baselines import LogisticRow
from graphml.graph import Ints
from graphml.neighbors import NeighborConfig, neighbor_aggregates
from graphml.scorer import Doubles
from graphml.tasks import Task

Setting = Mapping[str, Any]
Score = Callable[[Fold, Budget, Setting], Doubles]


@dataclass(frozen=True, kw_only=True)
class Row:
    """`score` gives a fold's test logits; settings come from `space` where there is one, else `default`. `trial`: what
    differs while settings are compared. `stacked_on`: the network on events whose out-of-fold logits `score` reads.
    `setting_of`: the row whose setting this one takes, where tuning it would need networks of the earlier folds too."""

    name: str
    score: Score
    default: Setting = field(default_factory=dict)
    space: Mapping[str, list[Any]] = field(default_factory=dict)
    trial: Setting = field(default_factory=dict)
    stacked_on: str | None = None
    setting_of: str | None = None


@dataclass(kw_only=True)
class Rows:
    """All rows on one data set. `settings` of networks on events change when these have been tuned: what is stacked
    are they."""

    data: Data
    table: Path
    results: Results
    settings: dict[str, Setting] = field(default_factory=lambda: {each.name: each.default for each in ON_EVENTS})

    def all(self) -> list[Row]:
        """In the order in which they are run: what others hang on comes first."""
        book, default = self._book, self._default
        return [
            Row(name="logistic, 15 features", score=self._logistic),
            Row(name="peer: pandas + XGBClassifier, 15 features", score=self._peer),
            Row(name="xgboost, 15 features", score=self._trees(book, every_row=True), default=UNTUNED),
            Row(name="oracle", score=self._oracle),
            *(
                Row(
                    name=each.name,
                    score=partial(self._on_events, each),
                    default=each.default,
                    space=each.space,
                    trial=ONE_NETWORK,
                )
                for each in ON_EVENTS
            ),
            self._stacked("15 features + graph logit", book, "event graph"),
            Row(
                name="xgboost, 15 features, tuned",
                score=self._trees(book, every_row=True),
                default=UNTUNED,
                space=SPACE,
            ),
            self._on_fused("15 features + fused logit", book, "xgboost, 15 features, tuned"),
            Row(
                name="xgboost, default features",
                score=self._trees(default),
                default=UNTUNED,
                space=SPACE,
                trial=TRIAL,
            ),
            Row(
                name="default + neighbors",
                score=self._trees(self._near),
                default=UNTUNED,
                space=SPACE,
                trial=TRIAL,
            ),
            self._stacked("everything", self._near, "event graph", trial=TRIAL),
            self._on_fused("default + fused logit", default, "xgboost, default features"),
            Row(
                name="graphsage",
                score=self._graph(partial(graph_logits, network="graphsage")),
                default=GRAPH_DEFAULT,
                space=GRAPH_SPACE,
            ),
            Row(
                name="gat",
                score=self._graph(partial(graph_logits, network="gat")),
                default=GRAPH_DEFAULT,
                space=GRAPH_SPACE,
            ),
        ]

    def named(self, names: Sequence[str]) -> list[Row]:
        """The rows of these names, all where none is given. Raises ValueError for a name that no row has."""
        rows = self.all()
        unknown = set(names) - {row.name for row in rows}
        if unknown:
            raise ValueError(f"No row is called {', '.join(sorted(unknown))}; there are {[row.name for row in rows]}.")
        chosen = [row for row in rows if not names or row.name in names]
        needed = {name for row in chosen for name in (row.stacked_on, row.setting_of) if name}
        missing = needed - {row.name for row in chosen}
        if missing:
            raise ValueError(f"Rows hang on {', '.join(sorted(missing))}: name that too, for it comes first.")
        return chosen

    def _book(self, positions: Ints) -> np.ndarray:
        return self.data.book.graph.features[positions]

    def _default(self, positions: Ints) -> np.ndarray:
        return self.data.default.graph.features[positions]

    def _near(self, positions: Ints) -> np.ndarray:
        graph = self.data.default.graph
        config = NeighborConfig.for_spec(self.data.default_snapshot.spec)
        near = neighbor_aggregates(graph, graph.seeds(positions), config)
        return np.concatenate([graph.features[positions], near], axis=1)

    def _stacked(
        self, name: str, inputs: Callable[[Ints], np.ndarray], network: str, trial: Setting | None = None
    ) -> Row:
        """Trees on these inputs and the logit of a network on events."""
        score = self._trees(inputs, network=network)
        return Row(name=name, score=score, default=UNTUNED, space=SPACE, trial=trial or {}, stacked_on=network)

    def _on_fused(self, name: str, inputs: Callable[[Ints], np.ndarray], setting_of: str) -> Row:
        """Trees on these inputs and the fused network's logit, in the setting of the trees without it."""
        score = self._trees(inputs, network="fused")
        return Row(name=name, score=score, stacked_on="fused", setting_of=setting_of)

    def _trees(
        self, inputs: Callable[[Ints], np.ndarray], *, network: str | None = None, every_row: bool = False
    ) -> Score:
        def score(fold: Fold, budget: Budget, setting: Setting) -> Doubles:
            train = fold.train(budget)
            chosen = Chosen.every(train) if every_row else Chosen.of(train)
            columns = [inputs(train.positions[chosen.rows]), inputs(fold.test.positions)]
            if network is not None:
                found = self.out_of_fold(network, fold, budget)
                columns = [
                    np.column_stack([table, found[name].astype(np.float32)])
                    for table, name in zip(columns, ("train", "test"), strict=True)
                ]
            return tree_logits(columns[0], train.is_fraud[chosen.rows], columns[1], setting, chosen.weight)

        return score

    def out_of_fold(self, network: str, fold: Fold, budget: Budget) -> Arrays:
        """See `OnEvents`, with the network's setting."""
        setting = self.settings[network]
        key = {"network": network, "day": fold.day, "budget": budget, "setting": dict(setting)}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        models = self.results.folder / f"models-{digest}"
        train, test = fold.train(budget), fold.test
        chosen = next(each for each in ON_EVENTS if each.name == network)
        name = f"{network.replace(' ', '-')}-logit-{budget}-{fold.day}"
        return self.results.get(name, key, lambda: chosen.out_of_fold(self.data, train, test, setting, models))

    def _graph(self, logits: Callable[[Data, Task, Task, Setting], Doubles]) -> Score:
        return lambda fold, budget, setting: logits(self.data, fold.train(budget), fold.test, setting)

    def _on_events(self, network: OnEvents, fold: Fold, budget: Budget, setting: Setting) -> Doubles:
        """One network while settings are compared, then the mean of those that the stacked logit is made of."""
        if setting.items() >= ONE_NETWORK.items():
            return network.logits(self.data, fold.train(budget), fold.test, setting)
        return self.out_of_fold(network.name, fold, budget)["test"]

    def _logistic(self, fold: Fold, budget: Budget, setting: Setting) -> Doubles:
        train, context = fold.train(budget), self.data.book
        row = LogisticRow.fit(self._book(train.positions), train.is_fraud)
        return row.logits(context, context.graph.seeds(fold.test.positions))

    @cached_property
    def _frame(self) -> pd.DataFrame:
        return handbook_features(self.table, first="2018-04-08", last="2018-09-06")

    def _peer(self, fold: Fold, budget: Budget, setting: Setting) -> Doubles:
        train = fold.train(budget)
        parts = [self.data.transaction_ids[at] for at in (train.positions, fold.test.positions)]
        tables = [self._frame.loc[ids].to_numpy() for ids in parts]
        return peer_logits(tables[0], train.is_fraud, tables[1])

    def _oracle(self, fold: Fold, budget: Budget, setting: Setting) -> Doubles:
        found = self.results.get(
            "oracle", {}, lambda: {"chance": oracle_scores(self.data.book.graph, self.data.amount)}
        )
        return found["chance"][fold.test.positions]
