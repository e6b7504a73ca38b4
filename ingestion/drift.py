"""Drift: what moved between a reference and a current stretch of data, with honest sample sizes.

Population stability index over the bins of the reference, PSI = Σ (p - q) ln(p / q) (shares smoothed by half a row),
and the two-sample Kolmogorov-Smirnov distance for numbers. Without any drift, PSI is about (1/n + 1/m) times a
chi-squared with bins - 1 degrees of freedom: a column is called moved only above the .999 quantile of that, its
`noise`. Rows of one party hang together, so the true noise is higher still: read small excesses with care.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.profile import Profile, Values, profile
from ingestion.snapshot import Snapshot

#: The usual reading of PSI in credit scoring: below .1 stable, to .25 moved, above it shifted.
MOVED, SHIFTED = 0.1, 0.25
#: With fewer rows on either side nothing is said.
MIN_ROWS = 50
#: How much of the earlier snapshot is the reference.
REFERENCE_DAYS = 28
_NUM_BINS = 10
_TOP_CATEGORIES = 30
_CONFIDENCE = 0.999


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """One column: rows on both sides, PSI and its noise, KS distance and p-value (numbers alone), verdict
    (`stable`, `moved`, `shifted`, `too few rows`)."""

    name: str
    num_reference: int
    num_current: int
    psi: float
    noise: float
    ks: float | None
    ks_p: float | None
    verdict: str


def snapshot_drift(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """How what came after `before`'s end differs from its last REFERENCE_DAYS; what moved most first.

    When nothing came later (only late rows, or the same end), the last REFERENCE_DAYS of both are compared.
    """
    span = REFERENCE_DAYS * MICROSECONDS_PER_DAY
    end, last = before.manifest["horizon"], after.manifest["horizon"]
    reference = profile(before, begin=end - span, end=end)
    current = profile(after, begin=end if last > end else last - span, end=last)
    return {
        "before": before.id,
        "after": after.id,
        "reference": {"begin": reference.begin, "end": reference.end, "transactions": reference.num_transactions},
        "current": {"begin": current.begin, "end": current.end, "transactions": current.num_transactions},
        "columns": [asdict(column) for column in compare(reference, current)],
    }


def compare(reference: Profile, current: Profile) -> list[ColumnDrift]:
    """Every column that both profiles have, those that moved most first, unsure ones last."""
    names = [name for name in reference.columns if name in current.columns]
    drifts = [column_drift(name, reference.columns[name], current.columns[name]) for name in names]
    order = {"shifted": 0, "moved": 1, "stable": 2, "too few rows": 3}
    return sorted(drifts, key=lambda drift: (order[drift.verdict], -drift.psi, drift.name))


def column_drift(name: str, reference: Values, current: Values) -> ColumnDrift:
    """PSI, KS and verdict of one column.

    >>> column_drift("x", np.arange(1000.0), np.arange(1000.0) + 500).verdict
    'shifted'
    """
    counts = _counts(reference, current)
    n, m = len(reference), len(current)
    psi = population_stability_index(*counts) if n and m else 0.0
    freedom = max(len(counts[0]) - 1, 1)
    noise = float(stats.chi2.ppf(_CONFIDENCE, freedom)) * (1 / n + 1 / m) if n and m else 0.0
    distance, p_value = _ks(reference, current) if min(n, m) >= MIN_ROWS else (None, None)
    return ColumnDrift(
        name=name,
        num_reference=n,
        num_current=m,
        psi=psi,
        noise=noise,
        ks=distance,
        ks_p=p_value,
        verdict=_verdict(psi, noise, min(n, m)),
    )


def population_stability_index(reference: Values, current: Values) -> float:
    """PSI of counts over the same bins, (B,) each; half a row is added to every bin.

    >>> round(population_stability_index(np.array([50, 50]), np.array([80, 20])), 3)
    0.406
    """
    p = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    q = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return float(np.sum((p - q) * np.log(p / q)))


def _verdict(psi: float, noise: float, num_rows: int) -> str:
    if num_rows < MIN_ROWS:
        return "too few rows"
    if psi <= max(noise, MOVED):
        return "stable"
    return "shifted" if psi > SHIFTED else "moved"


def _counts(reference: Values, current: Values) -> tuple[Values, Values]:
    """Rows of each bin: the reference's deciles and missing, or its most frequent categories and the rest."""
    if reference.dtype == object:
        names, counts = np.unique(reference.astype(str), return_counts=True)
        top = names[np.argsort(-counts, kind="stable")][:_TOP_CATEGORIES]
        sides = [np.array([np.sum(side == name) for name in top]) for side in (reference, current)]
        rest = [len(side) - found.sum() for side, found in zip((reference, current), sides, strict=True)]
        if any(rest):
            sides = [np.append(found, more) for found, more in zip(sides, rest, strict=True)]
        return sides[0], sides[1]
    there = reference[~np.isnan(reference)]
    shares = np.arange(1, _NUM_BINS) / _NUM_BINS
    cuts = np.unique(np.quantile(there, shares)) if len(there) else np.empty(0)
    binned = [_binned(side, cuts) for side in (reference, current)]
    used = (binned[0] + binned[1]) > 0
    return binned[0][used], binned[1][used]


def _binned(values: Values, cuts: Values) -> Values:
    missing = np.isnan(values)
    at = np.searchsorted(cuts, values[~missing], side="left")
    return np.append(np.bincount(at, minlength=len(cuts) + 1), missing.sum())


def _ks(reference: Values, current: Values) -> tuple[float | None, float | None]:
    if reference.dtype == object:
        return None, None
    sides = [side[~np.isnan(side)] for side in (reference, current)]
    if not all(len(side) for side in sides):
        return None, None
    found = stats.ks_2samp(sides[0], sides[1], method="asymp")
    return float(found.statistic), float(found.pvalue)
