"""The model card (Mitchell et al. 2019): what the model is for, on what it was learned and judged, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphml.ladder import Ladder
from graphml.model import RowPolicy
from graphml.tasks import Tasks, Windows
from ingestion.contracts import moment


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card is written from; `manifest` is the snapshot's."""

    model_id: str
    code_version: str
    manifest: dict[str, Any]
    windows: Windows
    tasks: Tasks
    delay_days: int
    ladder: Ladder
    policy: RowPolicy


def write_card(facts: CardFacts) -> str:
    """The card in Markdown; the same facts give the same text."""
    sections = (_head(facts), _data(facts), _ladder(facts), _calibration(facts), _use(facts), _limits(facts))
    return "\n\n".join(sections) + "\n"


def _head(facts: CardFacts) -> str:
    return (
        f"# Model card: {facts.model_id}\n\n"
        f"Served row: **{facts.ladder.served}**, chosen by average precision on the validation window. "
        f"Code {facts.code_version}. Settings and seeds are in `config.json`, every metric in `metrics.json`."
    )


def _data(facts: CardFacts) -> str:
    manifest = facts.manifest
    span = " to ".join(moment(manifest[key]).date().isoformat() for key in ("first_event_time", "last_event_time"))
    lines = [
        "## Data and windows",
        "",
        f"Snapshot {manifest['id']}: {manifest['num_transactions']:,} transactions from {span}; features "
        f"`{manifest['feature_spec']['name']}`; labels count as settled {facts.delay_days} days after the transaction.",
        "",
        "| window | from | until | judged transactions | fraud |",
        "|---|---|---|---:|---:|",
    ]
    for name, start, end in facts.windows.lines():
        task = getattr(facts.tasks, name, None)
        counts = f"{len(task):,} | {int(task.is_fraud.sum()):,}" if task is not None else "too young to judge | –"
        lines.append(f"| {name} | {start} | {end} | {counts} |")
    lines += [
        "",
        "Between the windows lies one label delay, so no outcome that was learned from was unknown at the time. A "
        "window's outcomes are read as of the start of the next one. Scalers are fitted on the training window only, "
        "calibration and threshold on validation.",
    ]
    return "\n".join(lines)


def _ladder(facts: CardFacts) -> str:
    header, *rows = facts.ladder.as_table_rows()
    ladder = facts.ladder
    lines = [
        "## Ladder on the test window",
        "",
        f"{ladder.num_transactions:,} transactions, {ladder.num_frauds:,} frauds (base rate {ladder.base_rate:.3%}); "
        "intervals by bootstrap over each party's days.",
        "",
        "| " + " | ".join(header) + " |",
        "|---|" + "---:|" * (len(header) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "Rows that end in `_shuffled` are controls: the same network on a graph whose links were dealt out anew with "
        "all degrees kept. What a network has above its control comes from who met whom.",
    ]
    return "\n".join(lines)


def _calibration(facts: CardFacts) -> str:
    served = next(row for row in facts.ladder.rows if row.name == facts.ladder.served)
    method = {"platt": "Platt's sigmoid", "isotonic": "isotonic regression"}[facts.policy.calibration.method]
    return (
        "## Calibration and alerts\n\n"
        f"{method}, fitted on validation; expected calibration error on test {served.calibration_error:.4f}. An alert "
        f"is raised from a probability of {facts.policy.threshold:.4f} on, the validation quantile for a budget of "
        f"{facts.ladder.alert_budget:.1%} of transactions; that reaches {served.recall_at_budget.value:.1%} of the "
        f"frauds and {served.value_recall_at_budget:.1%} of their money on test."
    )


def _use(facts: CardFacts) -> str:
    return (
        "## Intended use\n\n"
        "Ranks payment transactions for review by fraud analysts; a person decides each case. Not for decisions "
        "without a person, and not for any purpose but fraud and financial crime. The EU AI Act exempts the detection "
        "of financial fraud from its high-risk entry on credit scoring; reuse of this score to judge creditworthiness "
        "would not be exempt. Designed to help you meet SR 26-2 and NIST AI RMF duties of documentation; it is not by "
        "itself compliance with them."
    )


def _limits(facts: CardFacts) -> str:
    few = int(facts.tasks.test.is_fraud.sum()) < 100
    lines = [
        "## Limits",
        "",
        "- Fraud that nobody reported is counted as legitimate; declined transactions are never judged.",
        f"- A party's first transactions have no history, and a fraud younger than its label (up to "
        f"{facts.delay_days} days here) cannot inform its neighbors.",
        "- Fraudsters adapt: watch the drift of scores and retrain.",
        "- Not evaluated for fairness between groups of people: the snapshot holds no such attributes.",
    ]
    if few:
        lines.append("- Fewer than 100 frauds in the test window: the intervals are wide, read them first.")
    return "\n".join(lines)
