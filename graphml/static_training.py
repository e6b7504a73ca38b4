"""Training of one candidate network on one split of a static graph.

Labels of training nodes are inputs too (Shi et al., Masked Label Prediction: Unified Message Passing Model, 2021): each
step hides those of one half, which are its targets, and shows those of the other. So no node ever sees its own label,
by whatever path. Scores are given with all training labels shown, and none of the validation and test nodes.

Legend: N nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch.nn.functional import binary_cross_entropy_with_logits

from graphml.evaluation import Doubles, average_precision
from graphml.graph import Ints
from graphml.static_graph import Split, StaticGraph
from graphml.static_network import NUM_LABEL_COLUMNS, NetworkConfig, NodeClassifier, NodeInputs
from graphml.torch_first import torch
from graphml.trainer import Progress, fit
from graphml.trainer_config import TrainerConfig

#: Passes over the training nodes between two judgements, each in two halves: four steps.
PASSES_AN_EPOCH = 2


@dataclass(frozen=True, kw_only=True)
class StaticTraining:
    """How a candidate is trained; `sees_labels`: training labels of other nodes are inputs."""

    sees_labels: bool = True
    network: NetworkConfig = field(default_factory=NetworkConfig)
    epochs: int = 30
    patience: int = 7
    learning_rate: float = 1e-2
    weight_decay: float = 1e-3
    average_decay: float = 0.9
    seed: int = 0


class NodeLearner:
    """A `graphml.trainer.Learner`; a seed is a training node, judged by average precision on the validation part."""

    def __init__(self, graph: StaticGraph, inputs: NodeInputs, split: Split, config: StaticTraining) -> None:
        self.config = config
        self.inputs = inputs
        self.split = split
        self.validation_fraud = graph.is_fraud_N[split.validation]
        self.is_fraud_N = np.zeros(graph.num_nodes, np.float32)
        self.is_fraud_N[split.train] = graph.is_fraud_N[split.train]  # no other label is within reach of the network
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.network = NodeClassifier(inputs.code_NW.shape[1], config.network)

    @property
    def device(self) -> torch.device:
        """Where the trainer has put the network."""
        return next(self.network.parameters()).device

    @property
    def batch_size(self) -> int:
        """Half of the training nodes, the same number in each step."""
        return len(self.split.train) // 2

    def epoch(self, number: int) -> Ints:
        """`PASSES_AN_EPOCH` random orders of the training nodes, one after the other; an odd node is left out."""
        rng = np.random.default_rng([self.config.seed, number])
        orders = [rng.permutation(self.split.train)[: 2 * self.batch_size] for _ in range(PASSES_AN_EPOCH)]
        return np.concatenate(orders)

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """Sum of the cross-entropies of `ids`, whose labels are hidden."""
        logits = module(self.placed(), self.known(np.setdiff1d(self.split.train, ids)))
        targets = torch.from_numpy(self.is_fraud_N[ids]).to(self.device)
        asked = logits.index_select(0, torch.from_numpy(ids).to(self.device))
        return binary_cross_entropy_with_logits(asked, targets, reduction="sum")

    def judge(self) -> float:
        """Average precision on the validation part."""
        return average_precision(self.validation_fraud, self.scores()[self.split.validation])

    def known(self, ids: Ints) -> torch.Tensor:
        """`known_N2` where the labels of `ids` are shown."""
        known_N2 = np.zeros((len(self.is_fraud_N), NUM_LABEL_COLUMNS), np.float32)
        if self.config.sees_labels:
            known_N2[ids, 0] = self.is_fraud_N[ids]
            known_N2[ids, 1] = 1 - self.is_fraud_N[ids]
        return torch.from_numpy(known_N2).to(self.device)

    def placed(self) -> NodeInputs:
        """The inputs where the network is; moved once."""
        self.inputs = self.inputs.to(self.device)
        return self.inputs

    def scores(self) -> Doubles:
        """Probability of fraud of every node (N,); a training node's own label is among its inputs."""
        self.network.eval()
        with torch.no_grad():
            logits: torch.Tensor = self.network(self.placed(), self.known(self.split.train))
        return torch.sigmoid(logits.to(torch.float64)).cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A candidate on a split: scores (N,), average precision on validation, and the epochs that were kept and run."""

    scores: Doubles
    validation: float
    best_epoch: int
    epochs: int


def train_candidate(
    graph: StaticGraph, inputs: NodeInputs, split: Split, config: StaticTraining, *, progress: Progress | None = None
) -> Trained:
    """Train on the split's training part and keep the epoch that is best on its validation part."""
    learner = NodeLearner(graph, inputs, split, config)
    trainer = TrainerConfig(
        epochs=config.epochs,
        patience=config.patience,
        batch_size=learner.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_share=0.07,
        final_share=0.01,
        average_decay=config.average_decay,
        precision="fp32",
        seed=config.seed,
    )
    run = fit(learner, trainer, progress=progress)
    return Trained(
        scores=learner.scores(),
        validation=run.state.best_value,
        best_epoch=run.state.best_epoch,
        epochs=run.state.epoch,
    )
