"""Models that leak in ways that are seen in the wild, each a plug-in for `model evaluate --model-file`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from graphml.data_view import DataView


class _Linear:
    """Logistic regression on a few columns of each view's rows."""

    def __init__(self) -> None:
        self.model = LogisticRegression(max_iter=500)

    def fit(self, view: DataView) -> None:
        """Learn."""
        self.model.fit(self.inputs(view), view.is_fraud)

    def score(self, view: DataView) -> Any:
        """Log odds."""
        return self.model.decision_function(self.inputs(view))

    def inputs(self, view: DataView) -> np.ndarray:
        """(n, K) without gaps."""
        return np.log1p(view.column("amount_minor").to_numpy())[:, None]


class OutcomeAtTheEnd(_Linear):
    """Reads whether a transaction is fraud from the label table as it stands at the end of the data."""

    def inputs(self, view: DataView) -> np.ndarray:
        """The amount, and the label of the row itself."""
        return np.column_stack([super().inputs(view), labels_at_the_end(view)[view.positions]])


class Remembered(_Linear):
    """Reads the row's own outcome once and remembers it in the class, as a cache of features would."""

    outcomes: dict[int, float] = {}  # noqa: RUF012

    def inputs(self, view: DataView) -> np.ndarray:
        """The amount, and the outcome that was there when the row was first asked for."""
        now = labels_at_the_end(view)
        for position in view.positions.tolist():
            self.outcomes.setdefault(position, now[position])
        remembered = [self.outcomes[position] for position in view.positions.tolist()]
        return np.column_stack([super().inputs(view), remembered])


class EncodedOverAll(_Linear):
    """Encodes a payee by its share of fraud over all rows, later ones and the scored one among them."""

    def inputs(self, view: DataView) -> np.ndarray:
        """The amount, and the payee's share."""
        payee, fraud = view.graph.entity[:, 1], labels_at_the_end(view)
        share = np.bincount(payee, fraud) / np.maximum(np.bincount(payee), 1)
        return np.column_stack([super().inputs(view), share[payee[view.positions]]])


class AgainstAllOfTheParty(_Linear):
    """Compares an amount with the mean of the same payer over all its transactions, later ones among them."""

    def inputs(self, view: DataView) -> np.ndarray:
        """The amount, and its difference to that mean."""
        payer = view.graph.entity[:, 0]
        amount = np.log1p(view.column("amount_minor", np.arange(view.horizon)).to_numpy())
        usual = np.bincount(payer, amount) / np.maximum(np.bincount(payer), 1)
        own = amount[view.positions]
        return np.column_stack([own, own - usual[payer[view.positions]]])


class Honest(_Linear):
    """Looks back only, through `recent` and `known_labels`."""

    def inputs(self, view: DataView) -> np.ndarray:
        """The amount, and the known frauds among the payee's last transactions."""
        offsets, earlier = view.recent("target", 10)
        known = view.known_labels(offsets, earlier) == 1
        row = np.repeat(np.arange(len(view.positions)), np.diff(offsets))
        return np.column_stack([super().inputs(view), np.bincount(row, known, len(view.positions))])


class Dice(_Linear):
    """Another number whenever it is asked."""

    def score(self, view: DataView) -> Any:
        """At random, without a seed."""
        return np.random.default_rng().random(len(view.positions))


def labels_at_the_end(view: DataView) -> np.ndarray:
    """(H,) 1 for every fraud that the label table of the view names, whenever it became known."""
    graph = view.graph
    has_label = graph.label_stops > graph.label_starts
    fraud = np.zeros(len(graph))
    fraud[has_label] = graph.label_state[graph.label_stops[has_label] - 1]
    return fraud
