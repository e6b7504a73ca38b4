"""Training on whole histories at once against a window for each transaction: transactions a second of one core.

    python benchmarks/sequence.py [--quick] [--json FILE]

A graph of payers and payees with the same number of transactions each (8, 64, 256); every transaction is trained on.
Banded: all transactions in one batch, so that windows of a party overlap and become one history (`graphml.event_log.
pack`). Windowed, the peer: the same rows and network, each transaction with windows of its own, as padded batches of
histories have them, 64 transactions a batch. Both build their inputs, run forward and backward; their logits must be
equal. CPU time of one thread; the median over rounds, which alternate.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass

from _report import Report, parser

from graphml.context import GraphContext
from graphml.fused_row import FusedRow, fused_inputs
from graphml.fused_training import FusedTraining, fused_row
from graphml.graph import TransactionGraph
from graphml.nn.next_event import next_event_loss
from graphml.tasks import Task
from graphml.torch_first import torch
from ingestion.labels import LabelEvents

import numpy as np  # isort: skip  (torch comes first)

HISTORIES, ROUNDS = (8, 64, 256), 5
HOUR = 3_600_000_000
#: Events are told of their own party alone, as in a published event transformer, and of the other end, as in `fused`.
KINDS = {"decoder": (0, 0), "fused": (10, 16)}


def main() -> int:
    """0 when every goal was reached."""
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    parties = 4 if arguments.quick else 16
    report = Report(
        benchmark="sequence",
        config={"parties": parties, "histories": HISTORIES, "width": 64, "window": 32, "blocks": 2, "rounds": ROUNDS},
        distributions=("torch", "numba", "numpy"),
    )
    for kind, fanouts in KINDS.items():
        for length in HISTORIES:
            config = FusedTraining(
                network=kind, columns=(0, 1, 2, 3), fanouts=fanouts, width=64, window=32, num_blocks=2
            )
            measured = Measured.of(length, parties, config, rounds=2 if arguments.quick else ROUNDS)
            label = f"{kind}, {length} events a party"
            for name, found in measured.speeds.items():
                report.row(
                    f"{label}, {name}", statistics.median(found), "transactions/s", low=min(found), high=max(found)
                )
            is_goal = length == HISTORIES[-1]
            report.ratio(f"{label}, banded : windowed", measured.ratio, at_least=20 if is_goal else None)
            report.ratio(f"{label}, largest difference of a logit", measured.difference, at_most=1e-4)
    return report.finish(arguments.json)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Transactions a second by way and round, and the largest difference between the logits of both."""

    speeds: dict[str, list[float]]
    difference: float

    @property
    def ratio(self) -> float:
        """Banded : windowed."""
        return statistics.median(self.speeds["banded"]) / statistics.median(self.speeds["windowed"])

    @classmethod
    def of(cls, length: int, parties: int, config: FusedTraining, *, rounds: int) -> Measured:
        """Measure at one length of the histories."""
        graph = histories(parties, length)
        context, positions = GraphContext(graph), np.arange(len(graph))
        task = Task(positions=positions, is_fraud=positions % 10 == 0)
        row = fused_row(context, task, config)
        context.inputs(row.token)  # both ways read the same table, which is made once
        row.network.eval()
        batches = {"banded": [positions], "windowed": np.array_split(positions, -(-len(positions) // 64))}
        speeds: dict[str, list[float]] = {name: [] for name in batches}
        logits = {}
        for number in range(rounds + 1):  # the first one compiles and warms up
            for name, parts in batches.items():
                begin = time.process_time()
                logits[name] = np.concatenate([trained(row, context, part, alone=name == "windowed") for part in parts])
                if number > 0:
                    speeds[name].append(len(positions) / (time.process_time() - begin))
        return cls(speeds=speeds, difference=float(np.abs(logits["banded"] - logits["windowed"]).max()))


def trained(row: FusedRow, context: GraphContext, positions: np.ndarray, *, alone: bool) -> np.ndarray:
    """Logits of a batch, after a backward pass of its losses."""
    inputs = fused_inputs(
        context,
        row.token,
        context.graph.seeds(positions),
        row.config.receptive_field,
        row.config.reader.num_near,
        alone=alone,
    )
    told = row.network.told(inputs)
    (told.logits.sum() + next_event_loss(told.expected_MB, told.filled_MB)).backward()
    row.network.zero_grad(set_to_none=True)
    return told.logits.detach().numpy()


def histories(parties: int, length: int) -> TransactionGraph:
    """`parties` payers and as many payees, `length` transactions each in random order, an hour apart."""
    rng = np.random.default_rng(0)
    ends = np.repeat(np.arange(parties), length)
    num = len(ends)
    time_us = np.arange(num) * HOUR
    none = np.zeros(0, np.int64)
    return TransactionGraph.build(
        roles=("source", "target"),
        types=("account",),
        entity=np.stack([rng.permutation(ends), parties + rng.permutation(ends)], axis=1),
        entity_type=np.zeros(2 * parties, np.int64),
        event_time=time_us,
        available_at=time_us,
        features=rng.random((num, 4), np.float32),
        labels=LabelEvents(position=none, known_at=none, is_fraud=none.astype(bool), origin=none),
    )


if __name__ == "__main__":
    sys.exit(main())
