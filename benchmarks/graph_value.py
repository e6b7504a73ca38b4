"""Where graphs must matter: a graph network's out-of-fold logit beside every engineered feature, on trees.

    python benchmarks/graph_value.py --data DIR [--fused] [--cache DIR] [--workers N] [--kept-only] [--quick]
        [--json FILE]

AMLSim's accounts (planted cycles and fan-ins; 9 % fraudulent): stratified halves; trees on plain facts, neighbor means
at two hops and counts of cycles, against the same with the logit of a message-passing network that sees transfers one
by one. The control's network sees the same transfers with payees dealt anew; its trees keep the true features. Times
do not enter: half of the fraudulent accounts have none. AP is a mean of splits; intervals draw accounts.

Simulated banks (see `_banks`), of seeds that nothing was chosen on: trees on the default features and causal neighbor
aggregates, against the same combined with the event graph; the control's network sees rewired links
(`graphml.rewire`). With `--fused` the fused network too, against the event graph and against trees.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from _accounts import Accounts, account_logits
from _banks import FUSED, TREES_AND_FUSED, TREES_AND_GRAPH, TREES_AND_SHUFFLED, judge_bank
from _handbook_trees import tree_logits
from _paired import Judged, mean_difference
from _report import Report, parser
from _results import Results, miss_not_run, reported_missing
from _workers import run_all
from scipy.stats import sem
from scipy.stats import t as student_t

from graphml.code_version import code_version
from graphml.evaluation import average_precision
from graphml.graph import Ints
from graphml.scorer import Doubles
from graphml.stacking import party_folds

FOLDER = "amlsim-20k"
TREES = {"rounds": 200, "depth": 5, "rate": 0.05, "columns": 0.5, "rows": 1.0, "weight": 1, "start": None}
NUM_FOLDS = 3
SEEDS = (9_001, 9_002, 9_003, 9_004)
BANKS = {"seeds": SEEDS, "rows": 400_000, "epochs": 12}


def halves(accounts: Accounts, *, seed: int) -> tuple[Ints, Ints]:
    """Training and test accounts, as many fraudulent ones in each half."""
    rng = np.random.default_rng(seed)
    parts: tuple[list[Ints], list[Ints]] = ([], [])
    for outcome in (False, True):
        dealt = rng.permutation(np.flatnonzero(accounts.is_fraud == outcome))
        parts[0].append(dealt[::2])
        parts[1].append(dealt[1::2])
    return np.sort(np.concatenate(parts[0])), np.sort(np.concatenate(parts[1]))


def graph_logits(accounts: Accounts, train: Ints, *, epochs: int) -> dict[str, np.ndarray]:
    """`logits` (V,): of training accounts by the network that was not told their outcome, of others the networks'
    mean."""
    fold = party_folds(train, num_folds=NUM_FOLDS)
    found = [account_logits(accounts, train[fold != number], epochs=epochs, seed=number) for number in range(NUM_FOLDS)]
    logits = np.mean(found, axis=0)
    logits[train] = np.asarray(found)[fold, train]
    return {"logits": logits}


def main() -> int:
    """0 when every goal was reached."""
    arguments_parser = parser(__doc__, data="data")
    arguments_parser.add_argument("--cache", type=Path, metavar="DIR", help="keep results here, and go on")
    arguments_parser.add_argument(
        "--kept-only",
        action="store_true",
        help="compute nothing, report what --cache holds of a run that has not ended",
    )
    arguments_parser.add_argument(
        "--workers",
        type=int,
        default=min(4, len(os.sched_getaffinity(0))),
        help="processes at once, about 3 GB each (%(default)s here)",
    )
    arguments_parser.add_argument("--fused", action="store_true", help="fit the fused network on the banks as well")
    arguments = arguments_parser.parse_args()
    folder = arguments.data / FOLDER
    if not folder.exists():
        print(f"{folder} does not exist: give the folder of the public data sets by --data.", file=sys.stderr)
        return 2
    epochs, num_splits = (60, 1) if arguments.quick else (150, 5)
    banks = {"seeds": SEEDS[:1], "rows": 50_000, "epochs": 4} if arguments.quick else BANKS
    report = Report(
        benchmark="graph_value",
        config={
            "quick": arguments.quick,
            "fused": arguments.fused,
            "epochs": epochs,
            "splits": num_splits,
            "trees": TREES,
            "banks": banks,
        },
        distributions=("xgboost-cpu", "torch", "scikit-learn", "scipy"),
    )
    with tempfile.TemporaryDirectory() as passing:
        kept = (arguments.cache or Path(passing)) / code_version()
        results = Results(folder=kept, kept_only=arguments.kept_only)
        accounts = Accounts.read(folder)
        if not arguments.kept_only:
            sizes = {"rows": banks["rows"], "epochs": banks["epochs"], "setting": TREES, "fused": arguments.fused}
            fits = {f"bank {seed}": partial(judge_bank, results, seed=seed, **sizes) for seed in banks["seeds"]}
            fits |= {f"split {at}": partial(fit_split, results, accounts, at, epochs) for at in range(num_splits)}
            print(f"{len(fits)} fits, {arguments.workers} at once; a full bank takes about 25 minutes", flush=True)
            run_all([partial(_told, *item) for item in fits.items()], workers=arguments.workers)
        with reported_missing(report, "AMLSim accounts"):
            run(report, accounts, results, epochs, num_splits)
        with reported_missing(report, "simulated banks"):
            run_banks(report, results, **banks, fused=arguments.fused)
    miss_not_run(report)
    return report.finish(arguments.json)


def run_banks(report: Report, results: Results, *, seeds: Sequence[int], rows: int, epochs: int, fused: bool) -> None:
    """All banks, then the comparison of their means."""
    banks = []
    for seed in seeds:
        banks.append(judge_bank(results, seed=seed, rows=rows, epochs=epochs, setting=TREES, fused=fused))
        found = {name: average_precision(banks[-1].is_fraud, scores) for name, scores in banks[-1].scores.items()}
        print(f"bank {seed}: {int(banks[-1].is_fraud.sum())} frauds, {found}", flush=True)
    for name in banks[0].scores:
        mean = np.mean([average_precision(bank.is_fraud, bank.scores[name]) for bank in banks])
        report.row(f"simulated banks, {name}: AP, mean of banks", float(mean), "")
    gained, lost = (mean_difference(banks, name, "trees") for name in (TREES_AND_GRAPH, TREES_AND_SHUFFLED))
    by_links = mean_difference(banks, TREES_AND_GRAPH, TREES_AND_SHUFFLED)
    report.row("simulated banks, trees + graph - trees: AP", gained.value, "", low=gained.low, high=gained.high)
    report.row("simulated banks, the same on shuffled edges: AP", lost.value, "", low=lost.low, high=lost.high)
    report.row("simulated banks, graph - shuffled edges: AP", by_links.value, "", low=by_links.low, high=by_links.high)
    for first, second in ((TREES_AND_GRAPH, "trees"), (TREES_AND_GRAPH, TREES_AND_SHUFFLED)):
        _report_each(report, banks, seeds, first, second)
    report.ratio("simulated banks, trees + graph - trees: lower end of AP", gained.low, above=0.0)
    report.ratio("simulated banks, graph - shuffled edges: lower end of AP", by_links.low, above=0.0)
    report.ratio("simulated banks, the same on shuffled edges: lower end of AP", lost.low, at_most=0.0)
    if fused:
        for first, second in ((FUSED, "graph"), (FUSED, "trees"), (TREES_AND_FUSED, "trees")):
            found = mean_difference(banks, first, second)
            name = f"simulated banks, {first} - {second}"
            report.row(f"{name}: AP", found.value, "", low=found.low, high=found.high)
            report.ratio(f"{name}: lower end of AP", found.low, above=0.0)


def _report_each(report: Report, banks: Sequence[Judged], seeds: Sequence[int], first: str, second: str) -> None:
    """The difference on each bank, and their mean with the bank as what is drawn (Student's t)."""
    found = [
        average_precision(bank.is_fraud, bank.scores[first]) - average_precision(bank.is_fraud, bank.scores[second])
        for bank in banks
    ]
    for seed, difference in zip(seeds, found, strict=True):
        report.row(f"bank {seed}, {first} - {second}: AP", difference, "")
    if len(found) > 1:
        low, high = student_t.interval(0.95, len(found) - 1, np.mean(found), sem(found))
        name = f"simulated banks as draws, {first} - {second}: AP"
        report.row(name, float(np.mean(found)), "", low=float(low), high=float(high))


def run(report: Report, accounts: Accounts, results: Results, epochs: int, num_splits: int) -> None:
    """All splits, then the pooled comparisons."""
    engineered, leaves_trace = accounts.engineered(), accounts.traced()
    splits: list[Judged] = []
    for split in range(num_splits):
        train, test = halves(accounts, seed=split)
        found = fit_split(results, accounts, split, epochs)
        tables = {"trees": engineered} | {
            f"trees + {name}": np.column_stack([engineered, logits.astype(np.float32)])
            for name, logits in found.items()
        }
        scores = {name: logits[test] for name, logits in found.items()} | {
            name: tree_logits(table[train], accounts.is_fraud[train], table[test], TREES, np.ones(len(train)))
            for name, table in tables.items()
        }
        splits.append(Judged(is_fraud=accounts.is_fraud[test], parties=test[:, None], scores=scores))
        print(f"split {split}: " + ", ".join(f"{name} {_ap(splits[-1], name):.4f}" for name in scores), flush=True)
    _report(report, splits)
    _report_traces(report, splits, leaves_trace)


def _told(name: str, fit: Callable[[], object]) -> None:
    begin = time.monotonic()
    fit()
    print(f"{name}: fitted in {(time.monotonic() - begin) / 60:.1f} min", flush=True)


def fit_split(results: Results, accounts: Accounts, split: int, epochs: int) -> dict[str, Doubles]:
    """Logits (V,) of a split by the network of the graph and by that of the shuffled one, or find them done."""
    train, _ = halves(accounts, seed=split)
    graphs = {"graph": accounts, "graph, edges shuffled": accounts.shuffled(seed=split)}
    return {name: _kept(results, name, split, epochs, graph, train) for name, graph in graphs.items()}


def _kept(results: Results, name: str, split: int, epochs: int, graph: Accounts, train: Ints) -> Doubles:
    compute: Callable[[], dict[str, np.ndarray]] = lambda: graph_logits(graph, train, epochs=epochs)  # noqa: E731
    return results.get(name.replace(", ", "-"), {"split": split, "epochs": epochs}, compute)["logits"]


def _ap(split: Judged, name: str) -> float:
    return average_precision(split.is_fraud, split.scores[name])


def _report(report: Report, splits: Sequence[Judged]) -> None:
    """Means of the splits. An account that several splits test is one block of the intervals."""
    for name in splits[0].scores:
        mean = float(np.mean([_ap(split, name) for split in splits]))
        report.row(f"AMLSim accounts, {name}: AP, mean of splits", mean, "")
    for name in ("trees + graph", "trees + graph, edges shuffled"):
        gained = mean_difference(splits, name, "trees")
        report.row(f"AMLSim accounts, {name} - trees: AP", gained.value, "", low=gained.low, high=gained.high)
        if name == "trees + graph":
            report.ratio("AMLSim accounts, trees + graph - trees: lower end of AP", gained.low, above=0.0)
        else:
            report.ratio("AMLSim accounts, the same on shuffled edges: lower end of AP", gained.low, at_most=0.0)
    by_links = mean_difference(splits, "trees + graph", "trees + graph, edges shuffled")
    report.row("AMLSim accounts, graph - shuffled edges: AP", by_links.value, "", low=by_links.low, high=by_links.high)
    report.ratio("AMLSim accounts, graph - shuffled edges: lower end of AP", by_links.low, above=0.0)


def _report_traces(report: Report, splits: Sequence[Judged], leaves_trace: np.ndarray) -> None:
    """How much of the task the transfers can tell: AP of frauds with a trace, and of those without one."""
    traced = [leaves_trace[split.parties[:, 0]] for split in splits]
    share = np.mean([found[split.is_fraud].mean() for found, split in zip(traced, splits, strict=True)])
    report.row("AMLSim accounts, frauds that leave a trace in the transfers", float(share), "")
    for name in splits[0].scores:
        for label, wanted in (("with a trace", True), ("without one", False)):
            values = []
            for split, found in zip(splits, traced, strict=True):
                rows = ~split.is_fraud | (found == wanted)
                values.append(average_precision(split.is_fraud[rows], split.scores[name][rows]))
            report.row(f"AMLSim accounts, {name}: AP of frauds {label}", float(np.mean(values)), "")


if __name__ == "__main__":
    sys.exit(main())
