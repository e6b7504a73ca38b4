"""What an inspection says: the twelve checks, one finding, and all findings of a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: Check -> what it asks. The order is that of the report.
CHECKS: dict[str, str] = {
    "outcome_columns": "Is a column filled after the outcome, only or mostly for frauds?",
    "single_columns": "Does one column alone separate the classes?",
    "column_pairs": "Do two columns together separate the classes, which neither does alone?",
    "id_substrings": "Does a part of an id (prefix, suffix, length, form, range) tell the class?",
    "unlabeled_months": "Are there months with transactions and no labels?",
    "inverted_rules": "Does a rule for fraud turn into its opposite in another period?",
    "repeated_rows": "Do the same rows come again on the other side of a time split?",
    "label_delay": "Do labels come as late as the mapping says?",
    "time_zones": "Are the times of one zone?",
    "row_order": "Does the order of the rows tell the class?",
    "fraud_only_parties": "Are there parties that occur only in fraud?",
    "amount_forms": "Are amounts rounded or clipped differently by class?",
}

Severity = Literal["info", "warning", "serious"]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Bars for the report: `series` maps a name to one value for each of `labels`."""

    title: str
    labels: tuple[str, ...]
    series: dict[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, or may be.

    `evidence` holds numbers and up to five `examples`, personal values masked. `plausible` marks a rule that is
    strong and yet believable, because a causal system could know it (a threshold on the amount). `also` names
    further checks that the same columns trip for the same reason.
    """

    check: str
    severity: Severity
    columns: tuple[str, ...]
    what: str
    to_do: str
    evidence: dict[str, Any]
    plausible: bool = False
    also: tuple[str, ...] = ()
    chart: Chart | None = None

    def __post_init__(self) -> None:
        assert self.check in CHECKS, self.check

    def as_dict(self) -> dict[str, Any]:
        """Plain data, JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All findings of a table, the serious first.

    `skipped` says of each check that did not run why. `num_unreadable` rows have no time and took no part;
    `num_known` rows have a label, `num_frauds` of them fraud.
    """

    table: str
    mapping: str
    num_rows: int
    num_unreadable: int
    num_known: int
    num_frauds: int
    findings: tuple[Finding, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, JSON-ready."""
        return asdict(self)
