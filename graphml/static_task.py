"""The static-graph task: train a few candidates on every split, choose on its validation part, judge on its test part.

The candidates and all settings are the same for any file. Which candidate, or the mean of them, and after how many
epochs, is chosen by average precision on the validation part; test labels are read once, to judge the choice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from graphml.evaluation import Bools, Doubles, average_precision, roc_auc
from graphml.graph import Ints
from graphml.static_graph import Split, StaticGraph
from graphml.static_network import NetworkConfig, NodeInputs
from graphml.static_training import StaticTraining, Trained, train_candidate

Progress = Callable[[str, float], None]

#: A network that sees the training labels around a node wins where frauds are neighbors; they are an easy way out of
#: its loss, hence more dropout. Where frauds are not neighbors, one that sees features alone may be better.
CANDIDATES: Mapping[str, StaticTraining] = MappingProxyType(
    {
        "features_and_labels": StaticTraining(network=NetworkConfig(dropout=0.5)),
        "features": StaticTraining(sees_labels=False),
    }
)
MEAN = "mean"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Area under the ROC curve and average precision (AUPRC) on a part."""

    auroc: float
    auprc: float

    @classmethod
    def of(cls, is_fraud: Bools, scores: Doubles) -> Judgement:
        """Of scores (n,) against the truth."""
        return cls(auroc=roc_auc(is_fraud, scores), auprc=average_precision(is_fraud, scores))

    def as_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return {"auroc": self.auroc, "auprc": self.auprc}


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """What came out on a split: the choice by validation AUPRC and its judgement on the test part.

    `validation` and `test` hold every candidate and their mean, for a look at what the choice was among; `scores` (N,)
    are those of the choice.
    """

    chosen: str
    validation: Mapping[str, float]
    test: Mapping[str, Judgement]
    epochs: Mapping[str, int]
    cpu_seconds: float
    scores: Doubles = field(repr=False)

    @property
    def judgement(self) -> Judgement:
        """Of the choice, on the test part."""
        return self.test[self.chosen]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, without the scores."""
        return {
            **self.judgement.as_dict(),
            "chosen": self.chosen,
            "validation_auprc": dict(self.validation),
            "test": {name: judgement.as_dict() for name, judgement in self.test.items()},
            "epochs": dict(self.epochs),
            "cpu_seconds": round(self.cpu_seconds, 1),
        }


@dataclass(frozen=True, kw_only=True)
class StaticResult:
    """All splits; `mean` and `deviation` are over them."""

    splits: tuple[SplitResult, ...]

    def mean(self) -> Judgement:
        """Mean over the splits."""
        return self._over(np.mean)

    def deviation(self) -> Judgement:
        """Standard deviation over the splits (of one split: 0)."""
        return self._over(np.std)

    def _over(self, statistic: Callable[[Sequence[float]], Any]) -> Judgement:
        found = [split.judgement for split in self.splits]
        return Judgement(
            auroc=float(statistic([judgement.auroc for judgement in found])),
            auprc=float(statistic([judgement.auprc for judgement in found])),
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "mean": self.mean().as_dict(),
            "deviation": self.deviation().as_dict(),
            "splits": [split.as_dict() for split in self.splits],
        }


def benchmark_graph(
    graph: StaticGraph,
    *,
    num_splits: int | None = None,
    candidates: Mapping[str, StaticTraining] = CANDIDATES,
    progress: Progress | None = None,
) -> StaticResult:
    """Judge on the first `num_splits` splits (all by default); `progress(what, share done)`.

    Raises ValueError for a number of splits that there is not.
    """
    wanted = len(graph.splits) if num_splits is None else num_splits
    if not 1 <= wanted <= len(graph.splits):
        raise ValueError(f"num_splits is {wanted}; the graph has {len(graph.splits)} splits, give 1 to that many")
    inputs = {bins: NodeInputs.of(graph, num_bins=bins) for bins in {c.network.num_bins for c in candidates.values()}}
    results = []
    for number in range(wanted):
        seeded = {name: replace(candidate, seed=number) for name, candidate in candidates.items()}

        def tell(doing: str, share: float, done: int = number) -> None:
            if progress is not None:
                progress(f"split {done + 1} of {wanted}: {doing}", (done + share) / wanted)

        results.append(judge_split(graph, inputs, graph.splits[number], seeded, progress=tell))
        found = results[-1].judgement
        tell(f"{results[-1].chosen}, AUROC {found.auroc:.4f}, AUPRC {found.auprc:.4f}", 1.0)
    return StaticResult(splits=tuple(results))


def judge_split(
    graph: StaticGraph,
    inputs: Mapping[int, NodeInputs],
    split: Split,
    candidates: Mapping[str, StaticTraining],
    *,
    progress: Progress,
) -> SplitResult:
    """Train all candidates, choose, judge; `inputs` by number of bins."""
    begin = time.process_time()
    trained: dict[str, Trained] = {}
    for number, (name, config) in enumerate(candidates.items()):

        def tell(share: float, name: str = name, done: int = number) -> None:
            progress(name, (done + share) / len(candidates))

        trained[name] = train_candidate(graph, inputs[config.network.num_bins], split, config, progress=tell)
    scores = {name: one.scores for name, one in trained.items()}
    if len(scores) > 1:
        scores[MEAN] = np.mean(list(scores.values()), axis=0)
    validation = {name: found.auprc for name, found in _judged(graph, split.validation, scores).items()}
    chosen = max(validation, key=lambda name: validation[name])
    return SplitResult(
        chosen=chosen,
        validation=validation,
        test=_judged(graph, split.test, scores),
        epochs={name: one.best_epoch for name, one in trained.items()},
        cpu_seconds=time.process_time() - begin,
        scores=scores[chosen],
    )


def _judged(graph: StaticGraph, ids: Ints, scores: Mapping[str, Doubles]) -> dict[str, Judgement]:
    return {name: Judgement.of(graph.is_fraud_N[ids], found[ids]) for name, found in scores.items()}
