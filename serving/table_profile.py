"""What a table is like, before any model: counts, span, parties, amounts, volume a day, transactions a party."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ingestion.contracts import MICROSECONDS_PER_DAY, moment
from ingestion.snapshot import Snapshot, TransactionArrays
from retrieval.wording import format_amount

#: Transactions of a party are counted in steps of powers of two.
_MOST_GROUPS = 30


@dataclass(frozen=True, kw_only=True)
class TableProfile:
    """Plain data. `amounts` has a row a kind and currency, `degrees` one a role, `days` (D,) ISO dates with their
    `volume` (D,); `degree_steps` maps a role to how many parties have [1, 2), [2, 4), [4, 8), … transactions.
    `recent` has a row a column of the newest days, from the profile that the snapshot keeps."""

    num_transactions: int
    first: str
    last: str
    entities: dict[str, int]
    labels: dict[str, int]
    outcomes: dict[str, int]
    amounts: list[dict[str, Any]]
    degrees: list[dict[str, Any]]
    degree_steps: dict[str, list[int]]
    days: list[str]
    volume: list[int]
    recent: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, JSON-ready."""
        return asdict(self)


def profile_table(snapshot: Snapshot) -> TableProfile:
    """The profile of all transactions of a snapshot that has some."""
    arrays = snapshot.arrays
    day = arrays.event_time // MICROSECONDS_PER_DAY
    first, last = int(day.min()), int(day.max())
    degrees = {role: _degrees(arrays, place) for place, role in enumerate(arrays.roles)}
    return TableProfile(
        num_transactions=len(arrays),
        first=moment(int(arrays.event_time.min())).isoformat(timespec="seconds"),
        last=moment(int(arrays.event_time.max())).isoformat(timespec="seconds"),
        entities=_counted(snapshot.entities().column("type")),
        labels=_labels(snapshot),
        outcomes=_counted(arrays.outcome),
        amounts=_amounts(arrays),
        degrees=[_degree_row(role, counts) for role, counts in degrees.items() if len(counts)],
        degree_steps={role: _steps(counts) for role, counts in degrees.items() if len(counts)},
        days=[moment(number * MICROSECONDS_PER_DAY).date().isoformat() for number in range(first, last + 1)],
        volume=np.bincount(day - first, minlength=last - first + 1).tolist(),
        recent=_recent(snapshot),
    )


def _recent(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Columns of the newest days in words, features left out (`ingestion.profile`)."""
    stored = (snapshot.profile() or {}).get("profile", {"columns": {}})
    return [
        {"column": name, "missing": summary["missing"] / max(summary["rows"], 1), "told": _told(summary)}
        for name, summary in sorted(stored["columns"].items())
        if not name.startswith("feature ") and summary["rows"]
    ]


def _told(summary: dict[str, Any]) -> str:
    if "shares" in summary:
        return ", ".join(f"{name} {share:.1%}" for name, share in list(summary["shares"].items())[:6])
    if not summary["quantiles"]:
        return "nothing"
    _, low, _, middle, _, high, most = summary["quantiles"]
    return f"5 % {low:,.4g}, median {middle:,.4g}, 95 % {high:,.4g}, most {most:,.4g}"


def _counted(values: Any) -> dict[str, int]:
    names, counts = np.unique(np.asarray(values, str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(names[at]): int(counts[at]) for at in order}


def _labels(snapshot: Snapshot) -> dict[str, int]:
    """Explicit labels by what they say."""
    table = snapshot.labels()
    return _counted(table.filter(pc.not_equal(table.column("origin"), "matured")).column("label"))


def _amounts(arrays: TransactionArrays) -> list[dict[str, Any]]:
    rows = []
    kinds = np.asarray(arrays.kind, str)
    for kind in sorted(set(kinds)):
        for code, currency in enumerate(arrays.currencies):
            chosen = arrays.amount_minor[(kinds == kind) & (arrays.currency == code)]
            if len(chosen):
                low, middle, high = np.quantile(chosen, [0.01, 0.5, 0.99], method="nearest").tolist()
                told = {"p1": low, "median": middle, "p99": high, "max": int(chosen.max())}
                shown = {name: format_amount(int(value), currency) for name, value in told.items()}
                rows.append({"kind": kind, "currency": currency, "count": len(chosen), **shown})
    return rows


def _degrees(arrays: TransactionArrays, place: int) -> np.ndarray:
    """Transactions of each party of a role."""
    entity = arrays.entity[:, place]
    counts = np.bincount(entity[entity >= 0])
    return counts[counts > 0]


def _degree_row(role: str, counts: np.ndarray) -> dict[str, Any]:
    middle, high = np.quantile(counts, [0.5, 0.99], method="nearest").tolist()
    share = float(counts.max() / counts.sum())
    return {
        "role": role,
        "parties": len(counts),
        "median": int(middle),
        "p99": int(high),
        "max": int(counts.max()),
        "max_share": share,
    }


def _steps(counts: np.ndarray) -> list[int]:
    steps: list[int] = np.bincount(np.log2(counts).astype(int), minlength=1)[:_MOST_GROUPS].tolist()
    return steps
