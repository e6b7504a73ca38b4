"""Check 11: parties that occur only in fraud, more than chance, a fraud ring or a compromised terminal explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.inspection.finding import Finding
from ingestion.inspection.statistics import discoveries
from ingestion.inspection.table import Bools, InspectedTable, Ints

#: Rings and compromised parties come in bursts that end when they are found out. A party lasts when it goes on for
#: twice the stated label delay, and for half as long as honest parties of its role do.
DELAYS_TO_LAST, SHARE_OF_HONEST_LIFE = 2.0, 0.5
#: Lasting parties with only frauds matter from a tenth of the frauds on.
LEAST_LASTING_SHARE = 0.1
#: Parties of any life that occur only in fraud matter when they hold nearly all frauds beyond chance.
LEAST_ANY_SHARE = 0.8
#: A lasting party shows itself in three rows; one rule needs three parties.
FEWEST_ROWS, FEWEST_PARTIES = 3, 3


@dataclass(frozen=True, kw_only=True)
class _Parties:
    """Parties of one role, (P,): rows with known labels, frauds, and days from first to last."""

    codes: Ints
    rows: Ints
    frauds: Ints
    days: Ints


def find(table: InspectedTable) -> list[Finding]:
    """Findings on each role of the mapping."""
    candidates: list[tuple[float, Finding | None]] = []
    for role, codes in table.parties.items():
        if codes.max(initial=-1) < 1:
            continue
        parties = _parties(table, codes)
        candidates.append(_lasting(table, role, parties))
        candidates.append(_any(table, role, parties))
    found: dict[tuple[str, ...], Finding] = {}
    for finding in discoveries(candidates):
        if finding is not None:
            found.setdefault(finding.columns, finding)
    return list(found.values())


def _parties(table: InspectedTable, codes: Ints) -> _Parties:
    known = np.flatnonzero(table.known & (codes >= 0))
    size = int(codes.max()) + 1
    first = np.full(size, np.iinfo(np.int64).max)
    last = np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(first, codes[known], table.event_time[known])
    np.maximum.at(last, codes[known], table.event_time[known])
    rows = np.bincount(codes[known], minlength=size)
    return _Parties(
        codes=codes,
        rows=rows,
        frauds=np.bincount(codes[known[table.fraud[known]]], minlength=size),
        days=np.where(rows > 0, last - first, 0) // MICROSECONDS_PER_DAY,
    )


def _base(table: InspectedTable) -> float:
    return table.num_frauds / max(table.num_known, 1)


def _lasting(table: InspectedTable, role: str, parties: _Parties) -> tuple[float, Finding | None]:
    often = parties.rows >= FEWEST_ROWS
    honest_life = np.median(parties.days[often & (parties.frauds == 0)]) if (often & (parties.frauds == 0)).any() else 0
    life = max(DELAYS_TO_LAST * table.stated_delay_days, SHARE_OF_HONEST_LIFE * float(honest_life), 1.0)
    chosen = often & (parties.frauds == parties.rows) & (parties.days >= life)
    expected = float((_base(table) ** parties.rows[often].astype(float)).sum())
    p_value = float(stats.poisson.sf(chosen.sum() - 1, max(expected, 1e-12))) if chosen.any() else 1.0
    share = parties.frauds[chosen].sum() / max(table.num_frauds, 1)
    if share < LEAST_LASTING_SHARE or chosen.sum() < FEWEST_PARTIES:
        return p_value, None
    return p_value, _finding(
        table, role, parties, chosen, float(share), expected, f"and go on for {life:.0f} days or more"
    )


def _any(table: InspectedTable, role: str, parties: _Parties) -> tuple[float, Finding | None]:
    chosen = (parties.rows > 0) & (parties.frauds == parties.rows)
    base, rows = _base(table), parties.rows.astype(float)
    chance = float((rows * base ** np.maximum(rows, 1)).sum()) / max(table.num_frauds, 1)
    share = float(parties.frauds[chosen].sum() / max(table.num_frauds, 1))
    expected = float((base ** rows[parties.rows > 0]).sum())
    p_value = float(stats.poisson.sf(chosen.sum() - 1, max(expected, 1e-12))) if chosen.any() else 1.0
    if share - chance < LEAST_ANY_SHARE or chosen.sum() < FEWEST_PARTIES:
        return p_value, None
    return p_value, _finding(table, role, parties, chosen, share, expected, "and nearly every fraud has one")


def _finding(
    table: InspectedTable, role: str, parties: _Parties, chosen: Bools, share: float, expected: float, how: str
) -> Finding:
    column = table.party_columns[role]
    at = np.append(chosen, False)[parties.codes]
    days = parties.days[chosen]
    return Finding(
        check="fraud_only_parties",
        severity="serious",
        columns=(column,),
        what=(
            f"{chosen.sum():,} parties of role {role} occur only in fraud {how}: {share:.1%} of all frauds. By chance "
            f"there would be {expected:.2g}."
        ),
        to_do=(
            "Find out how these rows came into the table: fraud from another source, or made for a test, carries "
            "parties of its own. Split such rows by party, or leave them out; no feature may name a party."
        ),
        evidence={
            "parties": int(chosen.sum()),
            "frauds": int(parties.frauds[chosen].sum()),
            "share_of_all_frauds": round(share, 4),
            "expected_by_chance": expected,
            "median_days_from_first_to_last": float(np.median(days)),
            "examples": table.examples(at, (column,)),
        },
    )
