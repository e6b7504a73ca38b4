"""The ladder on the Fraud Detection Handbook, on features of our own Spark job.

    python benchmarks/handbook.py --data DIR [--protocol A|B] [--snapshot-workspace DIR] [--cache DIR] [--workers N]
        [--row NAME]... [--kept-only] [--quick] [--json FILE]

Protocol A, label budget fold-week, on the book's 15 features; protocol B (see `_handbook_b`), both budgets, on these
and on the default feature spec, whose features were chosen on no data set. With `--cache` a run of B that was killed
goes on where it stopped.

Train 2018-07-25..07-31, delay 7 days, test 2018-08-08..08-14; customers whose fraud is known are removed from the
test days: training frauds at once, each day's frauds 7 days later. Training targets come from the 7 training days
alone. How long GraphSAGE trains is chosen on an earlier fold (train 07-11..07-17, judged on 07-25..07-31).

The peer, in the same run: the book's 15 features by pandas and XGBoost's scikit-learn interface.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from _handbook_b import run_b
from _handbook_data import Data, Fold, cards, make_fold
from _handbook_peer import handbook_features, peer_logits
from _report import Report, parser, stopwatch
from _results import Results

from graphml.context import GraphContext  # before xgboost: it sets up the threads

import numpy as np  # isort: skip

from graphml.baselines import LogisticRow, TreeConfig, TreeRow
from graphml.code_version import code_version
from graphml.evaluation import (
    Interval,
    Ranking,
    average_precision,
    block_bootstrap,
    paired_difference,
    party_blocks,
)
from graphml.graph_training import GraphTraining, fit_graph
from graphml.neighbors import NeighborConfig
from graphml.rewire import rewire
from graphml.scorer import Doubles, Scorer
from graphml.tasks import Task
from graphml.trainer_config import TrainerConfig
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

TABLE = "fraud-handbook/transactions.parquet"
#: AP, AUC, CP@100 that the book and BENCHMARKS.md print for protocol A.
PUBLISHED = {
    "logistic": (0.606, 0.871, 0.291),
    "xgboost": (0.683, 0.873, 0.296),
    "random forest (book)": (0.658, 0.867, 0.287),
    "xgboost, default depth (book)": (0.639, 0.862, 0.273),
    "MLP (book)": (0.653, 0.864, 0.286),
}
CEILING = 0.397
GRAPHSAGE = GraphTraining(
    dropout=0.2,
    trainer=TrainerConfig(epochs=16, patience=5, batch_size=256, learning_rate=3e-3, weight_decay=1e-4),
)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Reports a row's metrics on a test window."""

    report: Report
    context: GraphContext
    test: Task

    def __call__(self, name: str, logits: Doubles) -> Interval:
        """Add AP with its interval, AUC and CP@100 with its ceiling; print the published figures beside them."""
        ranking = Ranking(self.test.is_fraud, logits)
        precision = block_bootstrap(ranking, Ranking.average_precision, self.blocks)
        at_100 = cards(self.context.graph, self.test, logits)
        self.report.row(f"{name}: AP", precision.value, "", low=precision.low, high=precision.high)
        self.report.row(f"{name}: AUC", ranking.roc_auc(), "")
        self.report.row(f"{name}: CP@100 (ceiling {at_100.ceiling:.3f})", at_100.value, "")
        said = "AP {:.3f} AUC {:.3f} CP@100 {:.3f}".format(*PUBLISHED[name]) if name in PUBLISHED else "none"
        figures = f"AP {precision.value:.3f} AUC {ranking.roc_auc():.3f} CP@100 {at_100.value:.3f}"
        print(f"{name:<28} {figures} of {at_100.ceiling:.3f}   published: {said}", flush=True)
        return precision

    @property
    def blocks(self) -> np.ndarray:
        """Customers, and terminals."""
        return party_blocks(self.context.graph.entity[self.test.positions])

    def logits(self, scorer: Scorer, context: GraphContext | None = None) -> Doubles:
        """A row's logits on the window."""
        where = context or self.context
        return scorer.logits(where, where.graph.seeds(self.test.positions))


def chosen_epochs(context: GraphContext, config: GraphTraining) -> int:
    """Epochs that were best on the earlier fold."""
    earlier = make_fold(context.graph, "2018-07-11")
    return fit_graph(context, earlier.week, earlier.test, config).best_epoch


def peer_on(snapshot: Snapshot, table: Path, chosen: Fold) -> Doubles:
    """The peer's logits, on the same rows."""
    frame = handbook_features(table, first="2018-07-25", last="2018-08-15")
    ids = np.asarray(snapshot.transaction_ids.to_pylist())
    train, test = (frame.loc[ids[task.positions]].to_numpy() for task in (chosen.week, chosen.test))
    return peer_logits(train, chosen.week.is_fraud, test)


@contextmanager
def handbook_snapshot(
    report: Report, table: Path, folder: Path | None, features: str = "handbook"
) -> Iterator[Snapshot]:
    """The snapshot of the table in `folder`'s workspace, ingested there (or in a passing one) when it is not yet."""
    with tempfile.TemporaryDirectory() as passing:
        workspace = Workspace.open(folder or passing)
        with stopwatch() as elapsed:
            mapping = load_mapping("fraud-handbook").model_copy(update={"features": features})
            result = ingest(workspace, table, mapping)
        report.row("ingest by Spark" + (" (found)" if result.reused else ""), elapsed(), "s")
        yield Snapshot.open(workspace)


@contextmanager
def both_snapshots(report: Report, table: Path, folder: Path | None) -> Iterator[tuple[Snapshot, Snapshot]]:
    """The table with the book's features and with the default ones, each in a workspace of its own in `folder`."""
    folders = {name: None if folder is None else folder / name for name in ("handbook", "default")}
    with (
        handbook_snapshot(report, table, folders["handbook"], "handbook") as book,
        handbook_snapshot(report, table, folders["default"], "default") as default,
    ):
        yield book, default


@contextmanager
def cache(arguments: argparse.Namespace) -> Iterator[Results]:
    """Where results are kept: `--cache`, or a passing folder. Neither a quick run's nor another code's are taken for a
    full one's of this code."""
    with tempfile.TemporaryDirectory() as passing:
        folder = arguments.cache or Path(passing)
        folder = folder / ("quick" if arguments.quick else "full") / code_version()
        yield Results(folder=folder, kept_only=arguments.kept_only)


def run(report: Report, snapshot: Snapshot, table: Path, config: GraphTraining) -> None:
    """All rows, then the goals."""
    context = GraphContext(snapshot)
    chosen = make_fold(context.graph, "2018-07-25")
    judge = Judge(report=report, context=context, test=chosen.test)
    train, seeds = chosen.week, context.graph.seeds(chosen.week.positions)
    report.row("training rows", len(train), "")
    report.row("test rows", len(chosen.test), "")
    logistic = judge.logits(LogisticRow.fit(seeds.features, train.is_fraud))
    judge("logistic", logistic)
    trees = judge.logits(TreeRow.fit(context, seeds, train.is_fraud, TreeConfig()))
    found = judge("xgboost", trees)
    peer = peer_on(snapshot, table, chosen)
    judge("peer: pandas + XGBClassifier", peer)
    neighbors = NeighborConfig.for_spec(snapshot.spec)
    judge("xgboost_neighbors", judge.logits(TreeRow.fit(context, seeds, train.is_fraud, TreeConfig(), neighbors)))
    with stopwatch() as elapsed:
        epochs = chosen_epochs(context, config)
        fixed = replace(config, trainer=replace(config.trainer, epochs=epochs))
        sage = judge.logits(fit_graph(context, train, None, fixed).row)
    report.row("graphsage: epochs, chosen on the earlier fold", epochs, "")
    report.row("graphsage: both trainings", elapsed(), "s")
    judge("graphsage", sage)
    shuffled = GraphContext(rewire(context.graph, seed=0))
    control = judge.logits(fit_graph(shuffled, train, None, fixed).row, shuffled)
    judge("graphsage_shuffled", control)
    rankings = [Ranking(chosen.test.is_fraud, logits) for logits in (sage, control)]
    earned = paired_difference(rankings[0], rankings[1], Ranking.average_precision, judge.blocks)
    report.row("graphsage - graphsage_shuffled: AP", earned.value, "", low=earned.low, high=earned.high)
    report.ratio("xgboost AP (.683 ± .01)", found.value, at_least=0.673, at_most=0.693)
    report.ratio("xgboost AP over the published (+.03 is a leak until explained)", found.value - 0.683, at_most=0.03)
    report.ratio(
        "CP@100 ceiling (.397)",
        cards(context.graph, chosen.test, trees).ceiling,
        at_least=CEILING - 5e-4,
        at_most=CEILING + 5e-4,
    )
    report.ratio(
        "xgboost AP, our features : pandas' features",
        found.value / average_precision(chosen.test.is_fraud, peer),
        at_least=0.985,
        at_most=1.015,
    )


def main() -> int:
    """0 when every goal was reached."""
    arguments_parser = parser(__doc__, data="data")
    arguments_parser.add_argument(
        "--snapshot-workspace", type=Path, metavar="DIR", help="workspace to find or make the snapshot in"
    )
    arguments_parser.add_argument("--protocol", choices=("A", "B"), default="A", help="which folds, and features")
    arguments_parser.add_argument("--cache", type=Path, metavar="DIR", help="protocol B: keep results here, and go on")
    arguments_parser.add_argument(
        "--kept-only",
        action="store_true",
        help="protocol B: compute nothing, report what --cache holds of a run that has not ended",
    )
    arguments_parser.add_argument(
        "--workers",
        type=int,
        default=min(4, len(os.sched_getaffinity(0))),
        help="protocol B: processes at once, about 4 GB each (%(default)s here)",
    )
    arguments_parser.add_argument(
        "--row", action="append", default=[], metavar="NAME", help="protocol B: only this row; may be given again"
    )
    arguments = arguments_parser.parse_args()
    table = arguments.data / TABLE
    if not table.exists():
        print(f"{table} does not exist: give the folder of the public data sets by --data.", file=sys.stderr)
        return 2
    config = replace(GRAPHSAGE, trainer=replace(GRAPHSAGE.trainer, epochs=3)) if arguments.quick else GRAPHSAGE
    report = Report(
        benchmark="handbook",
        config={
            "quick": arguments.quick,
            "protocol": arguments.protocol,
            "trees": TreeConfig().as_dict(),
            "graphsage": asdict(config),
        },
        distributions=("xgboost-cpu", "torch", "dgl", "scikit-learn", "pyspark", "pandas"),
    )
    if arguments.protocol == "A":
        with handbook_snapshot(report, table, arguments.snapshot_workspace) as snapshot:
            run(report, snapshot, table, config)
    else:
        with (
            both_snapshots(report, table, arguments.snapshot_workspace) as (book, default),
            cache(arguments) as results,
        ):
            data = Data.read(book, default, table)
            run_b(report, data, table, results, quick=arguments.quick, workers=arguments.workers, only=arguments.row)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
