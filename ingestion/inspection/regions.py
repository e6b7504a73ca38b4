"""A region of the table (rows that some rule picks), and when it tells the class as no honest signal does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ingestion.inspection.statistics import area_error, num_distinct, share_at_least
from ingestion.inspection.table import Bools, Floats, InspectedTable, Ints

#: A region is pure when nine in ten of its rows are fraud and, parties counted, more than half surely are.
PURE_PRECISION, PURE_AT_LEAST = 0.9, 0.5
#: In odds, a hundred times the base: what .9 means for rare frauds, kept for tables where frauds are frequent.
LEAST_ODDS_RATIO = 100.0
#: A region matters when it holds a twentieth of the frauds, in each half of the time.
LEAST_RECALL = 0.05
#: A rule shows at many parties; what shows at a few is a case (a mule ring, a compromised terminal).
FEWEST_PARTIES = 10
#: An area under the curve that a single honest column does not reach.
STRONG_AREA, STRONG_AREA_AT_LEAST = 0.95, 0.9
#: A cut is said by its roundest number that picks the same rows but for one in two hundred.
SAME_ROWS = 0.005


@dataclass(frozen=True, kw_only=True)
class Region:
    """What a region of rows with known labels holds; `parties` is the least number of parties of a role."""

    rows: int
    frauds: int
    recall: float
    precision: float
    precision_at_least: float
    odds_ratio: float
    parties: int
    parties_wanted: int
    recall_by_half: tuple[float, float]
    precision_by_half: tuple[float, float]
    p_value: float

    @property
    def separates(self) -> bool:
        """Whether it is pure, large, spread over parties and the same in both halves of the time."""
        return (
            self.is_pure
            and self.parties >= self.parties_wanted
            and min(self.recall_by_half) >= LEAST_RECALL / 2
            and min(self.precision_by_half) >= PURE_PRECISION - 0.1
        )

    @property
    def is_pure(self) -> bool:
        """Whether it is nearly all fraud, and holds enough of them."""
        return (
            self.precision >= PURE_PRECISION
            and self.precision_at_least >= PURE_AT_LEAST
            and self.odds_ratio >= LEAST_ODDS_RATIO
            and self.recall >= LEAST_RECALL
        )

    def evidence(self) -> dict[str, Any]:
        """Numbers for a finding."""
        return {
            "rows": self.rows,
            "frauds": self.frauds,
            "share_of_rows_that_are_fraud": round(self.precision, 4),
            "share_of_all_frauds": round(self.recall, 4),
            "share_of_all_frauds_by_half_of_time": [round(share, 4) for share in self.recall_by_half],
            "fewest_parties_of_a_role": self.parties,
            "p_value": self.p_value,
        }


def measure(table: InspectedTable, chosen: Bools, *, among: Bools | None = None, ids: Ints | None = None) -> Region:
    """Measure the region `chosen` (N,) against all known rows, or those `among`; `ids` (N,) are further parties."""
    known = table.known if among is None else table.known & among
    inside = chosen & known
    hits = np.flatnonzero(inside & table.fraud)
    all_frauds = np.flatnonzero(known & table.fraud)
    rows, frauds, num_known = int(inside.sum()), len(hits), int(known.sum())
    precision, base = frauds / max(rows, 1), len(all_frauds) / max(num_known, 1)
    parties, wanted = _parties(table, hits, all_frauds, ids)
    scale = min(frauds, max(parties, 1)) / max(frauds, 1)
    late_hits, late_all = table.late_half[hits], table.late_half[all_frauds]
    late_rows = int((inside & table.late_half).sum())
    return Region(
        rows=rows,
        frauds=frauds,
        recall=frauds / max(len(all_frauds), 1),
        precision=precision,
        precision_at_least=share_at_least(frauds * scale, rows * scale),
        odds_ratio=_odds(frauds + 0.5, rows - frauds + 0.5)
        / _odds(len(all_frauds) + 0.5, num_known - len(all_frauds) + 0.5),
        parties=parties,
        parties_wanted=wanted,
        recall_by_half=(
            float((~late_hits).sum() / max((~late_all).sum(), 1)),
            float(late_hits.sum() / max(late_all.sum(), 1)),
        ),
        precision_by_half=(
            float((~late_hits).sum() / max(rows - late_rows, 1)),
            float(late_hits.sum() / max(late_rows, 1)),
        ),
        p_value=float(stats.binom.sf(np.floor(frauds * scale) - 1, max(np.ceil(rows * scale), 1), base)),
    )


def _odds(hits: float, others: float) -> float:
    return hits / others


def _parties(table: InspectedTable, hits: Ints, frauds: Ints, ids: Ints | None) -> tuple[int, int]:
    """The least number of parties of a role among the hits, and how many are wanted: ten, or half of those there."""
    found, wanted = len(hits), FEWEST_PARTIES
    for codes in (table.parties["source"], table.parties["target"], *([] if ids is None else [ids])):
        there = num_distinct(codes[frauds])
        if there < 2:  # one stand-in party for all rows says nothing
            continue
        found = min(found, num_distinct(codes[hits]))
        wanted = min(wanted, max(2, there // 2))
    return found, wanted


def area_is_strong(area: float, positives: float, negatives: float) -> bool:
    """Whether an area under the curve is beyond what an honest column has, by its point and by its interval."""
    return area >= STRONG_AREA and area - 2.58 * area_error(area, positives, negatives) >= STRONG_AREA_AT_LEAST


def best_threshold(numbers: Floats, fraud: Bools, *, upper: bool) -> float | None:
    """The cut that parts the classes best by likelihood: frauds lie above it (`upper`, exclusive) or at or below it.

    Of all cuts that pick the same rows (but for `SAME_ROWS` of them) it is the one with the fewest digits, as a rule
    would be written. Where some cuts are pure (`PURE_PRECISION`), the best of those is taken. None when no cut with 20
    rows on each side raises the share of frauds on that side.
    """
    values, place = np.unique(numbers, return_inverse=True)
    if len(values) < 2:
        return None
    rows = np.cumsum(np.bincount(place, minlength=len(values)))[:-1].astype(float)
    frauds = np.cumsum(np.bincount(place[fraud], minlength=len(values)))[:-1].astype(float)
    all_rows, all_frauds = float(len(numbers)), float(fraud.sum())
    above, frauds_above = all_rows - rows, all_frauds - frauds
    gain = _log_likelihood(frauds, rows) + _log_likelihood(frauds_above, above)
    rises = frauds_above * rows > frauds * above
    usable = (rises if upper else ~rises) & (np.minimum(rows, above) >= 20)
    if not usable.any():
        return None
    share = frauds_above / np.maximum(above, 1) if upper else frauds / np.maximum(rows, 1)
    pure = usable & (share >= PURE_PRECISION)
    usable = pure if pure.any() else usable
    best = int(np.argmax(np.where(usable, gain, -np.inf)))
    same = (above if upper else rows) * SAME_ROWS
    inside = np.flatnonzero(usable & (np.abs(rows - rows[best]) <= same[best]))
    return _roundest(float(values[inside[0]]), float(values[inside[-1] + 1]))


def _roundest(low: float, high: float) -> float:
    """The number with the fewest digits in [low, high).

    >>> _roundest(219.98, 220.03)
    220.0
    """
    for digits in range(-12, 13):
        step = 10.0**-digits
        rounded = round(np.ceil(low / step - 1e-9) * step, max(digits, 0))
        if low <= rounded < high:
            return float(rounded)
    return low


def _log_likelihood(hits: Floats, number: Floats) -> Floats:
    share = np.clip(hits / np.maximum(number, 1), 1e-12, 1 - 1e-12)
    likelihood: Floats = hits * np.log(share) + (number - hits) * np.log1p(-share)
    return likelihood


def quantile_codes(numbers: Floats, bins: int) -> Ints:
    """Bins of about equal size (N,), from 1; 0 where the number is missing."""
    filled = ~np.isnan(numbers)
    if not filled.any():
        return np.zeros(len(numbers), np.int64)
    sample = numbers[filled]
    step = max(len(sample) // 200_000, 1)
    edges = np.unique(np.quantile(sample[::step], np.arange(1, bins) / bins))
    codes: Ints = np.where(filled, np.searchsorted(edges, numbers, side="left") + 1, 0)
    return codes
