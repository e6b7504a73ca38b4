"""Check 12: amounts that are rounded or clipped differently by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.inspection.finding import Finding
from ingestion.inspection.statistics import (
    LARGE_SHARE_DIFFERENCE,
    cohens_h,
    discoveries,
    num_distinct,
    two_shares_p,
)
from ingestion.inspection.table import Bools, Floats, InspectedTable

#: Round amounts: multiples of a tenth, one, ten, a hundred and a thousand units of the currency.
GRAINS = (0.1, 1.0, 10.0, 100.0, 1000.0)
#: A clip is a pile of one in fifty amounts of a class at its largest or smallest, with ten parties.
CLIP_SHARE, CLIP_PARTIES = 0.02, 10
#: The pile holds five times what the next tenth of the range does, and the other class does not know the bound.
CLIP_PEAK, CLIP_BEYOND = 5.0, 0.02


@dataclass(frozen=True, kw_only=True)
class _Form:
    said: str
    rows: Bools
    frauds: float
    honest: float
    p_value: float
    is_large: bool
    is_pile: bool = False


def find(table: InspectedTable) -> list[Finding]:
    """Findings on the mapped amount: honest shares are taken in the frauds' mix of kind, outcome and currency."""
    usable = table.known & (table.amount_minor > 0)
    if (usable & table.fraud).sum() < 1 or (usable & ~table.fraud).sum() < 1:
        return []
    forms = [form for is_fraud in (True, False) for form in _clipped(table, usable, is_fraud=is_fraud)]
    spread = usable.copy()  # a pile at one amount is a cap, whatever digits the cap has
    for form in forms:
        spread &= ~(form.rows & form.is_pile)
    if (spread & table.fraud).any() and (spread & ~table.fraud).any():
        forms += [_rounded(table, spread, said, rows) for said, rows in _grains(table)]
    found = discoveries([(form.p_value, form) for form in forms])
    large = [form for form in found if form.is_large]
    rounded = [form for form in large if not form.said.startswith("clipped")]
    clipped = [form for form in large if form.said.startswith("clipped")]
    strongest = sorted(rounded, key=lambda form: -abs(cohens_h(form.frauds, form.honest)))[:1]
    return [_finding(table, form) for form in strongest + clipped[:2]]


def _grains(table: InspectedTable) -> list[tuple[str, Bools]]:
    grains = []
    for units in GRAINS:
        minor = np.maximum(np.rint(table.amount_step * units).astype(np.int64), 1)
        grains.append((f"a multiple of {units:g}", (table.amount_minor % minor == 0) & (minor > 1)))
    written = next((c for c in table.columns.values() if c.field == "amount_minor" and c.numbers is not None), None)
    if written is not None and written.numbers is not None:
        scaled = np.nan_to_num(written.numbers) * 100
        with np.errstate(invalid="ignore"):
            finer = np.abs(scaled - np.rint(scaled)) > np.maximum(1e-6, np.abs(scaled) * 1e-9)
        grains.append(("finer than two decimals", finer))
    return grains


def _rounded(table: InspectedTable, usable: Bools, said: str, rows: Bools) -> _Form:
    frauds, honest = usable & table.fraud, usable & ~table.fraud
    share = float(rows[frauds].mean())
    strata = int(table.stratum.max()) + 1
    of_frauds = np.bincount(table.stratum[frauds], minlength=strata).astype(float)
    there = np.bincount(table.stratum[honest], minlength=strata)
    inside = np.bincount(table.stratum[honest & rows], minlength=strata)
    mix = np.where(there >= 20, of_frauds, 0.0)
    expected = float((mix * inside / np.maximum(there, 1)).sum() / max(mix.sum(), 1e-9))
    number = _parties(table, frauds)
    halves = [rows[frauds & half].mean() for half in (table.late_half, ~table.late_half) if (frauds & half).any()]
    lasting = all((value - expected) * (share - expected) > 0 for value in halves)
    return _Form(
        said=said,
        rows=rows,
        frauds=share,
        honest=expected,
        p_value=two_shares_p(share * number, number, expected * honest.sum(), float(honest.sum())),
        is_large=abs(cohens_h(share, expected)) >= LARGE_SHARE_DIFFERENCE and lasting and mix.sum() > 0,
    )


def _parties(table: InspectedTable, rows: Bools) -> float:
    counts = [num_distinct(table.parties[role][rows]) for role in ("source", "target")]
    counts = [count for count in counts if count > 1]
    return float(min([int(rows.sum()), *counts]))


def _clipped(table: InspectedTable, usable: Bools, *, is_fraud: bool) -> list[_Form]:
    """Piles at the ends of one class's amounts; each stratum has bounds of its own, the largest counts."""
    own = usable & (table.fraud == is_fraud)
    other = usable & (table.fraud != is_fraud)
    strata = np.bincount(table.stratum[own])
    stratum = table.stratum == int(strata.argmax())
    own, other = own & stratum, other & stratum
    if own.sum() < 1 or other.sum() < 20:
        return []
    forms = []
    amounts: Floats = table.amount_minor.astype(float)
    for bound, beyond, near in (
        (amounts[own].max(), amounts > amounts[own].max(), (amounts < amounts[own].max())),
        (amounts[own].min(), amounts < amounts[own].min(), (amounts > amounts[own].min())),
    ):
        at = amounts == bound
        width = 0.1 * (amounts[own].max() - amounts[own].min())
        neighbors = own & near & (np.abs(amounts - bound) <= width)
        share, share_other = float(at[own].mean()), float(at[other].mean())
        pile = share >= CLIP_SHARE and (own & at).sum() >= CLIP_PEAK * max(neighbors.sum() / 10, 1)
        unknown = float(beyond[other].mean()) >= CLIP_BEYOND and share_other <= share / CLIP_PEAK
        number = _parties(table, own & at)
        scale = number / max((own & at).sum(), 1)
        fraud_share, honest_share = (share, share_other) if is_fraud else (share_other, share)
        shown, whose = bound / float(table.amount_step[own][0]), "fraud" if is_fraud else "legitimate"
        forms.append(
            _Form(
                said=f"clipped at {shown:,.2f} ({whose})",
                rows=at,
                frauds=fraud_share,
                honest=honest_share,
                p_value=two_shares_p(
                    number, max(own.sum() * scale, number), share_other * other.sum(), float(other.sum())
                ),
                is_large=pile and unknown and number >= CLIP_PARTIES,
                is_pile=pile,
            )
        )
    return forms


def _finding(table: InspectedTable, form: _Form) -> Finding:
    column = next((c.name for c in table.columns.values() if c.field == "amount_minor"), "amount")
    verb = "are" if form.said.startswith("clipped") else "are each"
    return Finding(
        check="amount_forms",
        severity="serious",
        columns=(column,),
        what=(
            f"Amounts of the classes have different forms: {form.frauds:.1%} of frauds and {form.honest:.1%} of like "
            f"honest transactions {verb} {form.said}."
        ),
        to_do=(
            f"Find out which system wrote {column} for each class: rounding or a cap that came with the label tells "
            "the class. Write both alike (mapping: `rounding`), or fetch the original amounts."
        ),
        evidence={
            "form": form.said,
            "share_of_frauds": round(form.frauds, 4),
            "share_of_like_honest_rows": round(form.honest, 4),
            "cohens_h": round(cohens_h(form.frauds, form.honest), 3),
            "p_value": form.p_value,
            "examples": table.examples(form.rows & table.known, (column,)),
        },
    )
