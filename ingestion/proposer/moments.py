"""When it happened and when it was known: the event time, its zone, and the arrival."""

from __future__ import annotations

import numpy as np

from ingestion.mapping_fields import STEP_UNITS
from ingestion.proposer.column_look import ColumnLook
from ingestion.proposer.decision import GUESSED, Draft, Option
from ingestion.proposer.sample import Sample
from ingestion.proposer.words import says, tokens_of, zone_of_names

_DAY = 86_400_000_000


def decide_times(sample: Sample, draft: Draft) -> None:
    """Decide `fields.event_time` and `fields.known_at`."""
    looks = sample.looks
    options = [*_whole(looks), *_joined(looks), *_steps(looks)]
    if not options:
        options = [Option(value=next(iter(looks)), score=GUESSED, reason="no column holds times: name one")]
    chosen = draft.decide("fields.event_time", options)
    columns = [chosen] if isinstance(chosen, str) else list(chosen)
    for name in columns:
        draft.use(name, "event_time")
    if any(name not in looks for name in columns):
        return
    if len(columns) == 1 and looks[columns[0]].time is None:
        _decide_step(looks[columns[0]], draft)
        return
    _decide_format("fields.event_time", [looks[name] for name in columns], draft)
    _decide_zone("fields.event_time", columns, sample, draft)
    _decide_arrival(sample, columns, draft)


def _whole(looks: dict[str, ColumnLook]) -> list[Option]:
    """Columns that hold moments, or dates at least."""
    found = []
    for place, look in enumerate(looks.values()):
        if look.time is None or look.time.part == "clock" or look.fill < 0.9:
            continue
        named = says(look.name, "time")
        score = 0.55 + 0.25 * named + 0.15 * says(look.name, "event") + (0.05 if place < 6 else 0.0)
        score -= 0.35 * says(look.name, "arrival") + 0.35 * says(look.name, "settled") + 0.3 * says(look.name, "label")
        why = f"holds times written {look.time.format}" + (", and is named so" if named else "")
        if look.time.part == "date":
            score -= 0.3
            why += "; no time of the day"
        found.append(Option(value=look.name, score=score, reason=why))
    return found


def _joined(looks: dict[str, ColumnLook]) -> list[Option]:
    """A column of dates with one of times of the day."""
    days = [look for look in looks.values() if look.time is not None and look.time.part == "date" and look.fill > 0.9]
    clocks = [look for look in looks.values() if look.time is not None and look.time.part == "clock"]
    names = list(looks)
    found = []
    for day in days:
        for clock in (look for look in clocks if look.fill > 0.9):
            score = 0.62 + 0.15 * says(day.name, "time") + 0.15 * says(clock.name, "time")
            score += 0.05 if abs(names.index(day.name) - names.index(clock.name)) == 1 else -0.1
            score -= 0.35 * says(day.name, "arrival") + 0.35 * says(day.name, "settled") + 0.3 * says(day.name, "label")
            reason = f"dates in {day.name}, times of the day in {clock.name}"
            found.append(Option(value=[day.name, clock.name], score=score, reason=reason))
    return found


#: A count of steps may fall by this share of its range: rows that came late.
_MOST_BACK = 0.1


def _steps(looks: dict[str, ColumnLook]) -> list[Option]:
    """A count of steps that goes up with the rows."""
    found = []
    for look in looks.values():
        if not look.is_number or look.decimals or look.fill < 1.0 or look.distinct < 2:
            continue
        numbers = look.numbers
        rising = float((np.diff(numbers) >= 0).mean()) if len(numbers) > 1 else 0.0
        if -np.diff(numbers).min() > _MOST_BACK * np.ptp(numbers):
            continue  # an hour or a day of the month starts again
        named = max(says(look.name, "step"), 0.3 * says(look.name, "time"))
        if named and rising > 0.95 and numbers.min() >= 0 and numbers.max() < 1e6:
            why = "a count that rises with the rows, and is named so"
            found.append(Option(value=look.name, score=0.5 + 0.3 * named, reason=why))
    return found


def _decide_step(look: ColumnLook, draft: Draft) -> None:
    top = float(np.nanmax(look.numbers)) if look.is_number else 0.0
    units = {"days": says(look.name, "step") if "day" in tokens_of(look.name) else 0.0, "hours": 0.5}
    unit = "days" if units["days"] else "hours"
    draft.say(
        "fields.event_time.unit",
        unit,
        0.4,
        f"{top:.0f} steps; how long one is does not show in the table",
        others=list(STEP_UNITS),
    )
    draft.say("fields.event_time.start", "2020-01-01T00:00:00Z", 0.1, "when step 0 was does not show in the table")


def _decide_format(key: str, looks: list[ColumnLook], draft: Draft) -> None:
    forms = [look.time for look in looks if look.time is not None]
    if len(forms) == 1 and forms[0].format == "iso":
        return
    form = " ".join("%Y-%m-%d" if part.format == "iso" else part.format for part in forms)
    rivals = [rival for part in forms for rival in part.rivals if len(forms) == 1]
    rivals += [form.replace(forms[0].format, rival) for rival in forms[0].rivals] if len(forms) > 1 else []
    clashing = [rival for rival in rivals if _differs(rival, form)]
    score, why = (0.5, "days and months could be the other way round") if clashing else (0.97, "reads every value")
    draft.say(f"{key}.format", form, score, why, others=clashing)


def _differs(rival: str, form: str) -> bool:
    """Whether a rival format gives another time: %m/%d for %d/%m does, another way to say the same does not."""
    order = [sign for sign in form if sign in "dmYyHIMSfpzbB"]
    return order != [sign for sign in rival if sign in "dmYyHIMSfpzbB"]


def _decide_zone(key: str, columns: list[str], sample: Sample, draft: Draft) -> None:
    looks = sample.looks
    form = looks[columns[0]].time
    if form is None or any(look.time.zoned for look in (looks[name] for name in columns) if look.time is not None):
        return
    zones = [look.name for look in looks.values() if look.form == "zone" and look.fill > 0.5]
    if zones:
        chosen = draft.say(f"{key}.zone_column", zones[0], 0.9, "names a time zone in each row", others=zones[1:])
        draft.use(chosen, "zone")
        return
    draft.decide(f"{key}.zone", _zone_options(columns, sample))


def _zone_options(columns: list[str], sample: Sample) -> list[Option]:
    if any(says(name, "utc") for name in columns):
        return [Option(value="UTC", score=0.95, reason="the column's name says so")]
    zone, words = zone_of_names(list(sample.looks))
    if words:
        told = f"the times say no zone; {words} column names are in the language of {zone.split('/')[1]}"
        return [Option(value=zone, score=0.55, reason=told), Option(value="UTC", score=0.2, reason="")]
    return [Option(value="UTC", score=0.4, reason="the times say no zone")]


def _decide_arrival(sample: Sample, event: list[str], draft: Draft) -> None:
    """A second time, of nearly every row, that is never before the event and soon after it."""
    looks = sample.looks
    moment = looks[event[0]]
    if len(event) > 1 or moment.time is None or moment.time.part != "moment":
        return
    options = []
    for look in looks.values():
        if look.name in draft.used or look.time is None or look.time.part != "moment" or look.fill < 0.95:
            continue
        lag = look.micros - moment.micros
        lag = lag[~np.isnan(lag)]
        slack = _DAY * (0.6 if moment.time.zoned != look.time.zoned else 0.0)  # zones of clocks on the wall
        after = float((lag >= -slack).mean()) if len(lag) else 0.0
        if after < 0.99 or np.median(lag) > 14 * _DAY:
            continue
        named = says(look.name, "arrival")
        score = 0.35 + 0.55 * named - 0.3 * says(look.name, "settled") - 0.3 * says(look.name, "label")
        options.append(Option(value=look.name, score=score, reason="comes after the event, and is named as an arrival"))
    if not options:
        return
    rest = Option(value=None, score=0.3, reason="no time of arrival: known when it happened")
    chosen = draft.decide("fields.known_at", [*options, rest])
    if chosen is None or chosen not in looks:
        return
    draft.use(chosen, "known_at")
    _decide_format("fields.known_at", [looks[chosen]], draft)
    form = looks[chosen].time
    if form is not None and not form.zoned:
        zone = next((d.choice for k, d in draft.decisions.items() if k == "fields.event_time.zone"), None)
        column = next((d.choice for k, d in draft.decisions.items() if k == "fields.event_time.zone_column"), None)
        if column is not None:
            draft.say("fields.known_at.zone_column", column, 0.6, "as the event's")
        else:
            draft.decide("fields.known_at.zone", [Option(value=zone or "UTC", score=0.6, reason="as the event's")])


def decide_label_time(look: ColumnLook, key: str, sample: Sample, draft: Draft) -> None:
    """Format and zone of the time of a label."""
    _decide_format(key, [look], draft)
    if look.time is not None and not look.time.zoned:
        event = draft.decisions.get("fields.event_time.zone")
        options = (
            [Option(value=event.choice, score=0.6, reason="as the event's")]
            if event
            else _zone_options([look.name], sample)
        )
        draft.decide(f"{key}.zone", options)
