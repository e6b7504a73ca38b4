"""Static graphs: our network without hand-made neighbor features against XGBoost with them, on the same splits.

    python benchmarks/static_graphs.py --data DIR [--graphs NAME ...] [--quick] [--json FILE]

YelpChi (review - user - review) and Reddit on stratified 40/20/40 splits, Tolokers (edges doubled) on its own masks:
ten splits each. Our row is `ringfence model benchmark-graph` with its defaults, the same for all files. It sees the
labels of training nodes, as transductive learning allows, so it is reported without them too, and a peer with them.

The peers, in the same run: XGBoost on the features, + means over neighbors, + means over two hops, + means that count
the node itself, + shares of the neighbors' training labels; the rounds are chosen on validation.

Differences are paired by split. Splits share nodes, so their spread alone would claim too much: the interval is the
corrected resampled t interval (Nadeau and Bengio, Inference for the Generalization Error, 2003).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from _report import Report, parser

from graphml.static_task import CANDIDATES, Judgement, benchmark_graph  # before xgboost: it sets up the threads

import numpy as np  # isort: skip
import scipy.sparse as sparse  # isort: skip
import xgboost  # isort: skip
from scipy import stats  # isort: skip

from graphml.static_graph import Split, StaticGraph, read_static_graph

TREES = {
    "n_estimators": 1000,
    "max_depth": 6,
    "learning_rate": 0.05,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "early_stopping_rounds": 50,
    "eval_metric": "aucpr",
    "n_jobs": 1,
}
RAW, ONE_HOP, TWO_HOPS = "xgboost", "xgboost + 1-hop means", "xgboost + 2-hop means + degree"
WITH_SELF, WITH_LABELS = "xgboost + 1-hop means with self", "xgboost + all of these + label shares"


@dataclass(frozen=True, kw_only=True)
class Known:
    """A file, whether its edges are stored once, and the goals for the mean of our row in it."""

    undirected: bool = False
    auroc: float | None = None
    auprc: float | None = None
    beats_means: bool = False


GRAPHS = {
    "yelpchi-rur": Known(auprc=0.806, beats_means=True),
    "tolokers": Known(undirected=True, auroc=0.84),
    "pygod-reddit": Known(),
}


class PeerFeatures:
    """Tables (N, ·) for the peers, by row."""

    def __init__(self, graph: StaticGraph) -> None:
        size = (graph.num_nodes, graph.num_nodes)
        edges = sparse.csr_matrix((np.ones(len(graph.source_E), np.float32), (graph.target_E, graph.source_E)), size)
        degree = np.asarray(edges.sum(axis=1)).ravel()
        self.mean = sparse.diags(1 / np.maximum(degree, 1)) @ edges
        self.graph = graph
        one, itself = self.mean @ graph.x_NF, sparse.identity(graph.num_nodes, dtype=np.float32)
        with_self = sparse.diags(1 / (degree + 1)) @ (edges + itself) @ graph.x_NF
        x, degree_N1 = graph.x_NF, degree[:, None]
        self.tables = {
            RAW: x,
            ONE_HOP: np.hstack([x, one]),
            TWO_HOPS: np.hstack([x, one, self.mean @ one, degree_N1]),
            WITH_SELF: np.hstack([x, one, with_self, degree_N1]),
        }

    def of(self, split: Split) -> dict[str, np.ndarray]:
        """All tables; label shares are of the neighbors' training labels, so a node's own is not in them."""
        known, fraud = np.zeros((2, self.graph.num_nodes), np.float32)
        known[split.train] = 1
        fraud[split.train] = self.graph.is_fraud_N[split.train]
        shares = np.stack([self.mean @ known, self.mean @ fraud], axis=1)
        everything = [self.tables[TWO_HOPS], self.tables[WITH_SELF], shares]
        return self.tables | {WITH_LABELS: np.hstack(everything)}


def peer(graph: StaticGraph, split: Split, table: np.ndarray) -> Judgement:
    """XGBoost on the training part; as many rounds as are best by average precision on the validation part."""
    is_fraud = graph.is_fraud_N
    validation = (table[split.validation], is_fraud[split.validation])
    model = xgboost.XGBClassifier(**TREES)
    model.fit(table[split.train], is_fraud[split.train], eval_set=[validation], verbose=False)
    scores = model.predict_proba(table[split.test])[:, 1].astype(np.float64)
    return Judgement.of(is_fraud[split.test], scores)


def corrected_interval(values: Sequence[float], *, test_to_train: float) -> tuple[float, float]:
    """95 % interval of the mean over resampled splits; all of the line for a single one."""
    if len(values) < 2:
        return -np.inf, np.inf
    width = np.sqrt((1 / len(values) + test_to_train) * np.var(values, ddof=1))
    reach = stats.t.ppf(0.975, len(values) - 1) * width
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def say(text: str) -> None:
    """Progress, to stderr at once."""
    print(text, file=sys.stderr, flush=True)


def run_graph(report: Report, name: str, graph: StaticGraph, known: Known, num_splits: int) -> None:
    """Our row and the peers on a graph, differences, goals."""
    splits = graph.splits[:num_splits]
    begin = time.process_time()
    features = PeerFeatures(graph)
    tables = [features.of(split) for split in splits]
    peers = {}
    for row in tables[0]:
        peers[row] = [peer(graph, split, found[row]) for split, found in zip(splits, tables, strict=True)]
        say(f"{name}: {row}: AUPRC {np.mean([judgement.auprc for judgement in peers[row]]):.4f}")
    report.row(f"{name}: peers", (time.process_time() - begin) / 60, "CPU min")
    result = benchmark_graph(graph, num_splits=num_splits, progress=Told(name))
    report.row(f"{name}: ours", sum(split.cpu_seconds for split in result.splits) / 60, "CPU min")
    ours = [split.judgement for split in result.splits]
    rows = {"ours": ours}
    rows |= {f"ours, always {each}": [split.test[each] for split in result.splits] for each in result.splits[0].test}
    ratio = float(np.mean([len(split.test) / len(split.train) for split in splits]))
    for row, found in (rows | peers).items():
        for metric in ("auroc", "auprc"):
            values = [getattr(judgement, metric) for judgement in found]
            low, high = corrected_interval(values, test_to_train=ratio)
            report.row(f"{name}: {row}: {metric.upper()}", float(np.mean(values)), "", low=low, high=high)
    for row, found in peers.items():
        for metric in ("auroc", "auprc"):
            gaps = [getattr(us, metric) - getattr(them, metric) for us, them in zip(ours, found, strict=True)]
            low, high = corrected_interval(gaps, test_to_train=ratio)
            report.row(f"{name}: ours - {row}: {metric.upper()}", float(np.mean(gaps)), "", low=low, high=high)
            if metric == "auprc" and known.beats_means and row == ONE_HOP:
                report.ratio(f"{name}: low end of ours - {row}: AUPRC", low, at_least=0.0)
            if metric == "auprc" and known.beats_means and row == WITH_SELF:
                report.ratio(f"{name}: ours - {row}: AUPRC", float(np.mean(gaps)), at_least=0.0)
    report.ratio(f"{name}: mean AUROC", result.mean().auroc, at_least=known.auroc)
    report.ratio(f"{name}: mean AUPRC", result.mean().auprc, at_least=known.auprc)


class Told:
    """A `progress` that says a line when a split begins."""

    def __init__(self, graph: str) -> None:
        self.graph, self.last = graph, ""

    def __call__(self, doing: str, share: float) -> None:
        if doing != self.last:
            say(f"{self.graph}: {doing}, {share:.0%} done")
            self.last = doing


def main() -> int:
    """0 when every goal was reached."""
    arguments_parser = parser(__doc__, data="data")
    arguments_parser.add_argument("--graphs", nargs="+", choices=sorted(GRAPHS), default=list(GRAPHS), help="which")
    arguments = arguments_parser.parse_args()
    missing = [name for name in arguments.graphs if not (arguments.data / name / "graph.npz").exists()]
    if missing:
        say(f"{arguments.data} has no {', '.join(missing)}: give the folder of the public data sets by --data.")
        return 2
    num_splits = 2 if arguments.quick else 10
    report = Report(
        benchmark="static_graphs",
        config={
            "quick": arguments.quick,
            "splits": num_splits,
            "candidates": {name: asdict(candidate) for name, candidate in CANDIDATES.items()},
            "trees": TREES,
        },
        distributions=("torch", "xgboost-cpu", "scikit-learn", "scipy"),
    )
    for name in arguments.graphs:
        known = GRAPHS[name]
        graph = read_static_graph(arguments.data / name / "graph.npz", undirected=known.undirected)
        run_graph(report, name, graph, known, num_splits)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
