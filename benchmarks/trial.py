"""`ringfence try` on a table that it never saw: half a million rows from raw CSV to report, and edits on six tables.

The table is the simulator's, written as another team would: other names, semicolons, decimal commas, days first, a flag
and its date in place of the file of labels. The peer, in the same run: what a data scientist does in the first hour,
pandas and XGBoost on the raw columns, judged on the same test window. Edits: what a person must change in each proposal
so that it says the same as the golden mapping, which was fixed before the proposer was written.

    python benchmarks/trial.py             500,000 rows
    python benchmarks/trial.py --quick     50,000 rows
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from _report import Report, parser, peak_memory_bytes, stopwatch

from graphml.evaluation import average_precision  # before xgboost: it sets up the threads

import pandas as pd  # isort: skip
import xgboost  # isort: skip

from graphml.tasks import Windows
from ingestion import native
from ingestion.mapping import load_mapping
from ingestion.proposer.differences import differing_keys
from ingestion.proposer.proposal import propose
from ingestion.proposer.sample import take_sample
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate
from ingestion.workspace import Workspace
from serving.trial import TrialResult, trial

GOLDEN = Path(__file__).parents[1] / "tests" / "ingestion" / "proposer" / "golden"
MINUTES, FULL = 5, 500_000
#: The simulator's columns -> how another team calls them.
NAMES = {
    "transaction_id": "OpRef",
    "event_time": "OpDate",
    "known_at": "LoadedAt",
    "source_type": "PayerType",
    "source_id": "PayerNo",
    "target_type": "PayeeType",
    "target_id": "PayeeNo",
    "card_number": "CardNo",
    "device_id": "DevPrint",
    "ip_address": "ClientIP",
    "email": "Mail",
    "amount_minor": "OpAmt",
    "currency": "Ccy",
    "kind": "OpType",
    "outcome": "Resp",
    "channel": "Chan",
    "merchant_category": "Branch",
    "country": "Ctry",
    "memo": "Narrative",
    "refers_to": "OrigRef",
    "label": "ReviewVerdict",
    "labeled_at": "ReviewedOn",
}
_CLOCK = "%d.%m.%Y %H:%M:%S"


def write_unfamiliar(path: Path, *, num_rows: int) -> None:
    """The simulator's table with the newest label of each transaction beside it, as a raw CSV."""
    tables = simulate(SimulatorConfig(num_transactions=num_rows, seed=11))
    rows, labels = tables.transactions.to_pandas(), tables.labels.to_pandas()
    newest = labels.sort_values("known_at").drop_duplicates("transaction_id", keep="last")
    newest = newest.rename(columns={"known_at": "labeled_at"})[["transaction_id", "label", "labeled_at"]]
    rows = rows.merge(newest, on="transaction_id", how="left")
    for column in ("event_time", "known_at", "labeled_at"):
        late = pd.Timedelta(seconds=1) if column == "labeled_at" else pd.Timedelta(0)  # seconds are cut off
        rows[column] = (rows[column] + late).dt.strftime(_CLOCK)
    rows["amount_minor"] = (rows["amount_minor"] / 100).map(lambda amount: f"{amount:.2f}".replace(".", ","))
    rows["label"] = rows["label"].map({"fraud": "confirmed", "legitimate": "cleared"})
    rows[list(NAMES)].rename(columns=NAMES).to_csv(path, sep=";", index=False)


def peer_on_raw_columns(path: Path, windows: Windows) -> float:
    """AP of XGBoost on the raw columns, trained before the test window and judged in it."""
    rows = pd.read_csv(path, sep=";", decimal=",", dtype={"CardNo": str, "PayerNo": str})
    moment = pd.to_datetime(rows["OpDate"], format=_CLOCK, utc=True)
    fraud = (rows["ReviewVerdict"] == "confirmed").to_numpy()
    inputs = pd.DataFrame({"amount": rows["OpAmt"], "hour": moment.dt.hour, "weekday": moment.dt.weekday})
    for name in ("Ccy", "OpType", "Resp", "Chan", "Branch", "Ctry", "PayerNo", "PayeeNo", "DevPrint", "ClientIP"):
        inputs[name] = rows[name].astype("category").cat.codes
    micros = moment.astype("int64").to_numpy() // 1_000
    train = micros < windows.train_end
    test = (micros >= windows.test_start) & (micros < windows.test_end)
    model = xgboost.XGBClassifier(n_estimators=200, max_depth=6, learning_rate=0.1, n_jobs=2)
    model.fit(inputs[train], fraud[train])
    return float(average_precision(fraud[test], model.predict_proba(inputs[test])[:, 1]))


def count_edits(report: Report) -> None:
    """Edits and questions on the six golden tables."""
    total = questions = silent = 0
    for toml in sorted(GOLDEN.glob("*.toml")):
        table = next(path for path in GOLDEN.glob(f"{toml.stem}.*") if path.suffix in (".csv", ".parquet"))
        sample = take_sample(table)
        proposal = propose(sample)
        keys = differing_keys(proposal.mapping(), load_mapping(toml), sample.table)
        report.row(f"edits, {toml.stem}: {', '.join(keys) or 'none'}", len(keys), "keys")
        total += len(keys)
        questions += len(proposal.questions)
        silent += sum(not proposal.asks_about(key) for key in keys)
    report.row("questions asked on the six tables", questions, "questions")
    report.ratio("edits on the six tables", total, at_most=6)
    report.ratio("edits that were not asked about", silent, at_most=0)


def try_table(report: Report, folder: Path, *, num_rows: int) -> TrialResult:
    """Time a trial from file to report, stage by stage."""
    table = folder / "extract.csv"
    write_unfamiliar(table, num_rows=num_rows)
    workspace = Workspace.open(folder / "workspace")
    with stopwatch() as ours:
        result = trial(workspace, source=table, settings=workspace.settings())
    for stage in result.stages:
        report.row(f"stage {stage['stage']}", stage["seconds"], "s")
    report.row("file to report", ours(), "s")
    report.row("peak memory, largest process", peak_memory_bytes() / 2**20, "MiB")
    report.row("questions on the extract", len(result.proposal.questions if result.proposal else ()), "questions")
    report.row("bad rows of the extract", result.check.bad_share, "share")
    report.ratio(f"minutes from file to report, {num_rows:,} rows", ours() / 60, at_most=MINUTES)
    report.ratio("a ladder was reached (1 = yes)", float(result.trained is not None), at_least=1)
    if result.trained is not None:
        with stopwatch() as peer:
            raw = peer_on_raw_columns(table, result.trained.windows)
        served = next(
            row for row in result.trained.ladder.as_dict()["rows"] if row["name"] == result.trained.ladder.served
        )
        report.row("peer, pandas + XGBoost on raw columns", peer(), "s")
        report.row("peer, AP on the test window", raw, "AP")
        low, high = served["average_precision_low"], served["average_precision_high"]
        report.row(f"ours, AP of {served['name']}", served["average_precision"], "AP", low=low, high=high)
        # A tenth of the rows holds a dozen frauds in the test window: told, and no goal.
        goal = 1 if num_rows >= FULL else None
        report.ratio("AP, ours : peer", served["average_precision"] / max(raw, 1e-9), at_least=goal)
        report.ratio("seconds, ours : peer", ours() / peer())
    return result


def main() -> int:
    """0 when every goal was reached."""
    arguments = parser(__doc__).parse_args()
    native.prepare()
    num_rows = 50_000 if arguments.quick else FULL
    report = Report(
        benchmark="trial",
        config={"rows": num_rows, "quick": arguments.quick},
        distributions=("pyspark", "pyarrow", "pandas", "xgboost-cpu", "torch"),
    )
    count_edits(report)
    with tempfile.TemporaryDirectory() as scratch:
        try_table(report, Path(scratch), num_rows=num_rows)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
