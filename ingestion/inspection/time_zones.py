"""Check 9: times of several zones in one column: shifted hour profiles, two writings, clock changes, the future."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.compute as pc
from scipy import stats

from ingestion.contracts import MICROSECONDS_PER_DAY, micros
from ingestion.inspection.finding import Chart, Finding
from ingestion.inspection.statistics import discoveries
from ingestion.inspection.table import Bools, Column, Floats, InspectedTable, Ints

MICROSECONDS_PER_HOUR = MICROSECONDS_PER_DAY // 24
#: The hours of a group differ by a tenth of the day's rows, and a shift takes two thirds of that away.
LARGE_DISTANCE, EXPLAINED = 0.1, 1 / 3
#: A group of rows has an hour profile from here on.
FEWEST_ROWS, MOST_GROUPS = 1_000, 50
#: Two islands of activity: on both sides the hours between are less than half of the lower peak.
VALLEY, LEAST_PEAK_SHARE = 0.5, 0.15
#: Rows that lie after their own arrival, or after now.
FUTURE_SHARE = 0.001
#: Zones whose clock changes are looked for; one a rule of changing is enough.
CHANGING_ZONES = (
    "Europe/Paris",
    "Europe/London",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "Australia/Sydney",
)


def find(table: InspectedTable) -> list[Finding]:
    """Findings on the mapped time of the event; labels are not needed."""
    shifted = _shifted_groups(table)
    mixed = shifted or [*_two_islands(table), *_clock_changes(table)]
    return [*_two_writings(table), *_future(table), *mixed]


def _column(table: InspectedTable) -> Column | None:
    return next((column for column in table.columns.values() if column.field == "event_time"), None)


def _finding(
    table: InspectedTable,
    what: str,
    evidence: dict[str, object],
    *also: str,
    plausible: bool = False,
    chart: Chart | None = None,
) -> Finding:
    column = _column(table)
    return Finding(
        check="time_zones",
        severity="warning" if plausible else "serious",
        plausible=plausible,
        columns=(*((column.name,) if column else ()), *also),
        what=what,
        to_do=(
            "Find out in which zone each system writes its times and say so in the mapping (`zone`, or `zone_column`): "
            "windows, order and labels are wrong by the shift until then."
        ),
        evidence=evidence,
        chart=chart,
    )


def _two_writings(table: InspectedTable) -> Iterator[Finding]:
    """Some texts carry an offset and others none."""
    column = _column(table)
    if column is None or column.values is None or column.codes is None:
        return
    offset = pc.fill_null(pc.match_substring_regex(column.values, r"\d(?:Z|[+-]\d\d:?\d\d)$"), False)
    has = np.append(offset.to_numpy(zero_copy_only=False), False)[column.codes] & column.filled
    share = float(has[column.filled].mean())
    if FUTURE_SHARE <= share <= 1 - FUTURE_SHARE:
        yield _finding(
            table,
            f"{share:.1%} of the times carry an offset and the others none: they come from two systems.",
            {
                "share_with_offset": round(share, 4),
                "examples": table.examples(has, (column.name,), 2) + table.examples(~has, (column.name,), 2),
            },
        )


def _future(table: InspectedTable) -> Iterator[Finding]:
    """Events after our clock, or after their own arrival."""
    arrival = next((c for c in table.columns.values() if c.field == "known_at" and c.kind == "time"), None)
    ahead = table.event_time > table.now + 5 * 60_000_000
    said = "lie in the future"
    if arrival is not None and arrival.numbers is not None:
        with np.errstate(invalid="ignore"):
            early = table.event_time - arrival.numbers > 15 * 60_000_000
        if early.sum() > ahead.sum():
            ahead, said = early, f"lie after their own arrival ({arrival.name})"
    if ahead.mean() < FUTURE_SHARE:
        return
    column = _column(table)
    names = tuple(c.name for c in (column, arrival) if c is not None)
    evidence: dict[str, object] = {"rows": int(ahead.sum()), "examples": table.examples(ahead, names)}
    if arrival is not None and arrival.numbers is not None and "arrival" in said:
        hours = (table.event_time - arrival.numbers)[ahead] / MICROSECONDS_PER_HOUR
        evidence["median_hours_ahead"] = round(float(np.median(hours)), 2)
    yield _finding(table, f"{ahead.sum():,} events ({ahead.mean():.2%}) {said}.", evidence)


def _hours(table: InspectedTable) -> Ints:
    return table.event_time // MICROSECONDS_PER_HOUR % 24


def _groups(table: InspectedTable) -> Iterator[tuple[str, str, Bools, tuple[str, ...]]]:
    """Groups of rows that may have a clock of their own: values of a category, and months."""
    for column in table.candidates("category"):
        if column.codes is None or column.values is None or not 2 <= column.num_values <= MOST_GROUPS:
            continue
        for code, value in enumerate(column.values.to_pylist()):
            yield f"{column.name} = {column.shown(value)}", column.name, column.codes == code, (column.name,)
    month = table.event_time.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    for value in np.unique(month):
        yield f"the month {np.datetime64(int(value), 'M')}", "month", month == value, ()


@dataclass(frozen=True, kw_only=True)
class _Shift:
    """A group of rows whose hours fit those of the others once they are moved by `hours`."""

    said: str
    kind: str
    columns: tuple[str, ...]
    hours: int
    before: float
    after: float
    own: Floats
    rest: Floats
    same_parties: bool


def _shifted_groups(table: InspectedTable) -> list[Finding]:
    """Groups that are shifted against the other rows of the same payers, or that have payers of their own.

    Nobody lives in two zones: where one payer's rows of a group are shifted against the others, they are written in
    another zone. Where the group has other payers, these may live elsewhere: plausible, and not said of countries
    and currencies at all.
    """
    candidates = [
        candidate
        for said, kind, rows, columns in _groups(table)
        for candidate in [_shift(table, said, kind, rows, columns)]
        if candidate is not None
    ]
    best: dict[str, _Shift] = {}
    for found in discoveries(candidates):
        if found is not None and (found.kind not in best or found.after / found.before < _ratio(best[found.kind])):
            best[found.kind] = found
    return [_shift_finding(table, found) for found in best.values()]


def _ratio(shift: _Shift) -> float:
    return shift.after / shift.before


def _shift(
    table: InspectedTable, said: str, kind: str, rows: Bools, columns: tuple[str, ...]
) -> tuple[float, _Shift | None] | None:
    """(p-value, the shift or None) of one group; None for a group too small to have hours."""
    hours, source = _hours(table), table.parties["source"]
    size = int(source.max(initial=0)) + 2
    inside, outside = (np.bincount(source[chosen] + 1, minlength=size) for chosen in (rows, ~rows))
    both = (inside > 0) & (outside > 0)
    both[0] = False
    same_parties = inside[both].sum() >= FEWEST_ROWS and inside[both].sum() >= 0.5 * rows.sum()
    if same_parties:  # each payer weighs the same on both sides
        in_both = both[source + 1]
        weight = inside[source + 1] / np.maximum(outside[source + 1], 1)
        own_rows, rest_rows = rows & in_both, ~rows & in_both
        own = np.bincount(hours[own_rows], minlength=24).astype(float)
        weights = weight[rest_rows]
        rest = np.bincount(hours[rest_rows], weights, minlength=24)
        number = float(weights.sum() ** 2 / (weights**2).sum())
    elif columns and _is_geography(table.columns[columns[0]]):
        return None
    else:
        own, rest = (np.bincount(hours[chosen], minlength=24).astype(float) for chosen in (rows, ~rows))
        number = float(rest.sum())
    if min(own.sum(), number) < FEWEST_ROWS:
        return None
    noise = 1.95 * np.sqrt(1 / own.sum() + 1 / number)
    own, rest = own / own.sum(), rest / rest.sum()
    distances = np.asarray([np.abs(np.roll(own, hour) - rest).sum() / 2 for hour in range(24)])
    hour = int(distances.argmin())
    there = rest > 0
    counts = np.stack([own[there] * len(source[rows]), rest[there] * number])
    p_value = float(stats.chi2_contingency(counts + 1e-9).pvalue)
    explained = distances[hour] <= max(distances[0] * EXPLAINED, noise)
    if not (distances[0] >= LARGE_DISTANCE + noise and hour != 0 and explained):
        return p_value, None
    return p_value, _Shift(
        said=said,
        kind=kind,
        columns=columns,
        hours=(hour + 12) % 24 - 12,
        before=float(distances[0]),
        after=float(distances[hour]),
        own=own,
        rest=rest,
        same_parties=bool(same_parties),
    )


def _is_geography(column: Column) -> bool:
    """Whether a category holds currencies or country codes: their people live at other hours."""
    words = [] if column.values is None else column.values.to_pylist()
    return bool(words) and (
        column.field == "currency" or all(len(word) in (2, 3) and word.isalpha() and word.isupper() for word in words)
    )


def _shift_finding(table: InspectedTable, shift: _Shift) -> Finding:
    whose = "of the same payers" if shift.same_parties else "of other payers, who may live elsewhere"
    return _finding(
        table,
        f"Rows with {shift.said} have the hours of the other rows ({whose}) once they are moved by {shift.hours:+d} h "
        f"(distance {shift.before:.2f} before, {shift.after:.2f} after): they are written in another zone.",
        {
            "group": shift.said,
            "shift_hours": shift.hours,
            "distance": round(shift.before, 4),
            "distance_when_shifted": round(shift.after, 4),
            "same_payers": shift.same_parties,
        },
        *shift.columns,
        plausible=not shift.same_parties,
        chart=_chart(shift.own, shift.rest, shift.said),
    )


def _chart(own: Floats, rest: Floats, said: str) -> Chart:
    return Chart(
        title="Share of rows by hour (UTC)",
        labels=tuple(str(hour) for hour in range(24)),
        series={said: tuple(own.round(4).tolist()), "other rows": tuple(rest.round(4).tolist())},
    )


def _two_islands(table: InspectedTable) -> Iterator[Finding]:
    """Two separate times of the day with little between them: a mixture of two zones by rows."""
    counts = np.bincount(_hours(table), minlength=24).astype(float)
    if counts.sum() < FEWEST_ROWS:
        return
    smooth = (np.roll(counts, 1) + counts + np.roll(counts, -1)) / 3
    first = int(smooth.argmax())
    turned = np.roll(smooth, -first)
    options = []
    for gap in range(3, 22):
        left, right = turned[1:gap].min(), turned[gap + 1 :].min()
        if max(left, right) < VALLEY * turned[gap] and turned[gap] == turned[gap - 1 : gap + 2].max():
            options.append((turned[gap], gap))
    if not options:
        return
    height, gap = max(options)
    valleys = sorted([int(turned[1:gap].argmin()) + 1, int(turned[gap + 1 :].argmin()) + gap + 1])
    island = turned[valleys[0] : valleys[1]].sum() / turned.sum()
    smaller = min(island, 1 - island)
    if smaller < LEAST_PEAK_SHARE:
        return
    hours = (gap + 12) % 24 - 12
    yield _finding(
        table,
        f"The hours have two separate peaks, {abs(hours)} h apart, with little between them: rows of two "
        "zones are mixed.",
        {
            "peak_hours_utc": [first, (first + gap) % 24],
            "share_of_the_smaller": round(float(smaller), 3),
            "peak": height,
        },
        chart=Chart(
            title="Share of rows by hour (UTC)",
            labels=tuple(str(hour) for hour in range(24)),
            series={"all rows": tuple((counts / counts.sum()).round(4).tolist())},
        ),
    )


def _clock_changes(table: InspectedTable) -> Iterator[Finding]:
    """An hour that no local clock shows is empty at each change to summer time: times are local, read as UTC."""
    hour = table.event_time // MICROSECONDS_PER_HOUR
    first, last = int(hour.min()), int(hour.max())
    counts = np.bincount(hour - first)
    candidates = []
    for zone in CHANGING_ZONES:
        gaps = [gap for gap in _missing_hours(zone, first, last) if first + 168 <= gap <= last - 168]
        usual = [float(np.mean([counts[gap - first + 24 * day] for day in (-7, -2, -1, 1, 2, 7)])) for gap in gaps]
        empty = sum(int(counts[gap - first]) for gap in gaps)
        if gaps:
            candidates.append((float(stats.poisson.cdf(empty, sum(usual))), (zone, len(gaps), empty, sum(usual))))
    for zone, number, rows, expected in discoveries(candidates)[:1]:
        if rows <= 0.05 * expected:
            yield _finding(
                table,
                f"The hour that clocks skip when summer time begins ({zone}) is empty, {number} times, where "
                f"{expected:.0f} rows were to be expected: times are local ones, read as if they were UTC.",
                {"zone": zone, "changes": number, "rows": rows, "rows_expected": round(expected, 1)},
            )


def _missing_hours(zone: str, first: int, last: int) -> Iterator[int]:
    """Hours since 1970, on the local clock, that the zone skips."""
    info = ZoneInfo(zone)
    for day in range(first // 24, last // 24 + 1):
        noon = dt.datetime(1970, 1, 1, 12) + dt.timedelta(days=day)
        before, after = (moment.replace(tzinfo=info).utcoffset() for moment in (noon - dt.timedelta(days=1), noon))
        if before is None or after is None or after <= before:
            continue
        for hour in range(24):
            local = dt.datetime(1970, 1, 1, hour) + dt.timedelta(days=day)
            back = local.replace(tzinfo=info).astimezone(dt.UTC).astimezone(info).replace(tzinfo=None)
            if back != local:
                yield micros(local.replace(tzinfo=dt.UTC)) // MICROSECONDS_PER_HOUR
