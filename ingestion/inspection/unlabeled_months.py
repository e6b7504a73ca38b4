"""Check 5: months with transactions and no labels, or no frauds where there should be many."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.inspection.finding import Chart, Finding
from ingestion.inspection.statistics import discoveries
from ingestion.inspection.table import InspectedTable, Ints

#: A month with less than a quarter of the usual volume is a stub and says nothing.
STUB_SHARE = 0.25
#: A month is without labels when it has a tenth of what is usual, and at least so many (bursts of frauds) are usual.
NO_LABELS_SHARE, FEWEST_EXPECTED = 0.1, 10.0


def find(table: InspectedTable) -> list[Finding]:
    """Findings on calendar months (UTC); the last days, whose labels are not due yet, do not count."""
    due = table.event_time <= table.end - int(table.stated_delay_days * MICROSECONDS_PER_DAY)
    month = table.event_time.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    months, place = np.unique(month, return_inverse=True)
    size = len(months)
    volume = np.bincount(place[due], minlength=size)
    usual = volume >= STUB_SHARE * np.median(volume[volume > 0]) if volume.any() else volume > 0
    if usual.sum() < 2:
        return []
    frauds = np.bincount(place[due & table.fraud], minlength=size)
    given = np.bincount(place[due & table.explicit], minlength=size)
    bursts = np.bincount(place, np.where(due, table.bursts, 0.0), size)
    candidates: list[tuple[float, tuple[int, str] | None]] = []
    for index in np.flatnonzero(usual).tolist():
        others = usual & (np.arange(size) != index)
        usual_share = volume[index] / volume[others].sum()
        for what, counts, cases in (("labels", given, given), ("frauds", frauds, bursts)):
            if what == "frauds" and not frauds[index:].any():
                continue  # frauds that are missing at the end are a matter of delay: another check
            lacks = counts[index] <= NO_LABELS_SHARE * usual_share * counts[others].sum()
            expected = usual_share * cases[others].sum()
            p_value = float(stats.poisson.cdf(np.ceil(cases[index]), max(expected, 1e-9)))
            candidates.append((p_value, (index, what) if lacks and expected >= FEWEST_EXPECTED else None))
    found: dict[int, str] = {}
    for item in discoveries(candidates):
        if item is not None:
            found[item[0]] = "labels" if "labels" in (item[1], found.get(item[0])) else item[1]
    return [_finding(table, months, volume, given, frauds, found)] if found else []


def _finding(
    table: InspectedTable, months: Ints, volume: Ints, given: Ints, frauds: Ints, found: dict[int, str]
) -> Finding:
    names = [str(month) for month in months.astype("datetime64[M]")]
    listed = ", ".join(f"{names[index]} (no {what})" for index, what in sorted(found.items()))
    rows = int(sum(volume[index] for index in found))
    column = (table.label_column,) if table.label_column else ()
    return Finding(
        check="unlabeled_months",
        severity="serious",
        columns=column,
        what=f"{rows:,} transactions lie in months without labels: {listed}.",
        to_do=(
            "Fetch the labels of these months. If there are none, filter the months out: taken as legitimate they "
            "teach a model that fraud is not fraud, and a test window in them measures nothing."
        ),
        evidence={
            "months": [names[index] for index in sorted(found)],
            "rows_by_month": dict(zip(names, volume.tolist(), strict=True)),
            "labels_by_month": dict(zip(names, given.tolist(), strict=True)),
            "frauds_by_month": dict(zip(names, frauds.tolist(), strict=True)),
        },
        chart=Chart(
            title="Share of rows by month that have a label, and that are fraud",
            labels=tuple(names),
            series={
                "labeled": tuple((given / np.maximum(volume, 1)).round(4).tolist()),
                "fraud": tuple((frauds / np.maximum(volume, 1)).round(4).tolist()),
            },
        ),
    )
