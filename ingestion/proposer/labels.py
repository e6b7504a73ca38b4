"""What came of it: columns of labels, what their values mean, and when they were known."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ingestion.proposer.column_look import ColumnLook
from ingestion.proposer.decision import Draft, Option
from ingestion.proposer.moments import decide_label_time
from ingestion.proposer.sample import Sample
from ingestion.proposer.value_forms import FRAUD_WORDS, LEGITIMATE_WORDS, is_word
from ingestion.proposer.words import says, tokens_of

Doubles = NDArray[np.float64]

DEFAULT_DELAY_DAYS = 7
_DAY = 86_400_000_000
_NOTHING = ("unknown", "none", "na", "n/a", "null", "open", "pending", "nan")


def decide_labels(sample: Sample, draft: Draft) -> None:
    """Decide each source of labels, the times they were known, and how long a row without one waits."""
    found = sorted(_scored(sample, draft), key=lambda item: -item[0])
    sure = [look for score, look in found if score >= 0.5]
    made = [look for look in sure if not says(look.name, "rule")] or sure
    waiting: list[Doubles | None] = []
    if not made and (kept := _decide_none(sample, draft)) is not None:
        draft.use(kept.name, "label")
        waiting.append(_decide_source("labels[0]", kept, sample, draft))
    for place, look in enumerate(made):
        score = next(score for score, other in found if other is look)
        kept = draft.say(
            f"labels[{place}].column",
            look.name,
            min(score, 0.95) if place == 0 else min(score, 0.85),
            "its name and values tell fraud from the rest",
            others=[None, *(other.name for _, other in found if other is not look)],
        )
        if kept is None or kept not in sample.looks:
            continue
        draft.use(kept, "label")
        waiting.append(_decide_source(f"labels[{place}]", sample.looks[kept], sample, draft))
    if waiting and all(lag is not None for lag in waiting):
        _decide_maturity(np.concatenate([lag for lag in waiting if lag is not None]), draft)


def _decide_none(sample: Sample, draft: Draft) -> ColumnLook | None:
    """No column looks like a label: asked, because without one nothing can be learned."""
    codes = [look.name for look in sample.looks.values() if look.name not in draft.used and 1 < look.distinct <= 12]
    told = "no column tells fraud from the rest: is there no label?"
    chosen = draft.say("labels[0].column", None, 0.7, told, others=codes)
    return None if chosen is None else sample.looks.get(chosen)


def fraud_rows(sample: Sample, draft: Draft) -> NDArray[np.bool_] | None:
    """(N,) rows that the first label calls fraud; None without labels."""
    for place in range(4):
        column, fraud = (draft.decisions.get(f"labels[{place}].{part}") for part in ("column", "fraud"))
        if column is not None and fraud is not None and column.choice in sample.looks:
            return np.isin(np.asarray(sample.looks[column.choice].texts.to_pylist(), object), list(fraud.choice))
    return None


def _scored(sample: Sample, draft: Draft) -> list[tuple[float, ColumnLook]]:
    found = []
    for look in sample.looks.values():
        if look.name in draft.used or not 0 < look.distinct <= 12 or look.decimals or look.is_constant:
            continue
        named = says(look.name, "label")
        fraud, legitimate, rest = _sides(look)
        telling = any(is_word(value, "fraud* scam* betrug* launder* illicit chargeback*") for value in look.counts)
        if not (named or telling) or not fraud:
            continue
        share = sum(look.counts[value] for value in fraud) / int(look.filled.sum())
        score = 0.35 * named + (0.25 if telling else 0.0) + 0.3 + (0.15 if legitimate or look.fill < 0.5 else 0.0)
        score += 0.15 if look.distinct <= 2 else 0.0
        score -= 0.25 * len(rest) + (0.3 if share > 0.5 and look.fill > 0.5 else 0.0)
        found.append((score, look))
    return found


def _sides(look: ColumnLook) -> tuple[list[str], list[str], list[str]]:
    """Values that say fraud, that say legitimate, and that say neither."""
    values = list(look.counts)
    fraud_first = not says(look.name, "legitimate")
    one, zero = (FRAUD_WORDS, LEGITIMATE_WORDS) if fraud_first else (LEGITIMATE_WORDS, FRAUD_WORDS)
    legitimate = [value for value in values if is_word(value, zero) and not is_word(value, "fraud* not")]
    legitimate += [value for value in values if is_word(value, "not non") and is_word(value, "fraud*")]
    fraud = [value for value in values if is_word(value, one) and value not in legitimate]
    if not fraud_first:
        fraud = [value for value in values if is_word(value, "0 false no n fraud*")]
        legitimate = [value for value in values if is_word(value, "1 true yes y legit* genuine")]
    rest = [value for value in values if value not in fraud and value not in legitimate]
    return fraud, legitimate, rest


def _decide_source(key: str, look: ColumnLook, sample: Sample, draft: Draft) -> Doubles | None:
    """Decide one source. None when it labels every row; else the days that its labels took, where it says so."""
    fraud, legitimate, rest = _sides(look)
    rest = [value for value in rest if value.lower() not in _NOTHING]
    if not fraud and rest:
        fraud, rest = rest[-1:], rest[:-1]  # the rarest
    told = f"{sum(look.counts[value] for value in fraud):,} of {int(look.filled.sum()):,} labeled rows"
    if rest:
        legitimate = [*legitimate, *rest]
        told += f"; not understood, taken as legitimate: {', '.join(rest[:5])}"
    draft.say(f"{key}.fraud", fraud, 0.9 if not rest else 0.5, told)
    draft.say(f"{key}.legitimate", legitimate, 0.9 if not rest else 0.5, "the other values" if legitimate else "none")
    _decide_origin(f"{key}.origin", look, draft)
    moment = _decide_clock(key, look, sample, draft)
    if look.fill == 1.0 and legitimate:
        return None
    lag = np.zeros(0) if moment is None else (moment.micros - _event_micros(sample, draft)) / _DAY
    return lag[~np.isnan(lag)]


def _decide_origin(key: str, look: ColumnLook, draft: Draft) -> None:
    said = [name for name in ("chargeback", "analyst", "rule") if says(look.name, name)]
    said += [name for name in ("chargeback",) if any(is_word(value, "chargeback*") for value in look.counts)]
    origin, score, why = (
        (said[0], 0.85, "its name says so") if said else ("chargeback", 0.6, "nothing says who found out")
    )
    draft.say(key, origin, score, why, others=["analyst", "chargeback", "rule"])


def _decide_clock(key: str, look: ColumnLook, sample: Sample, draft: Draft) -> ColumnLook | None:
    """A time that is there when the label is, and after the event; else days to wait."""
    event = _event_micros(sample, draft)
    options = []
    for other in sample.looks.values():
        if other.name in draft.used or other.time is None or other.time.part == "clock" or other.distinct < 2:
            continue
        lag = other.micros - event
        lag = lag[~np.isnan(lag)]
        if len(lag) == 0 or float((lag > 0).mean()) < 0.99:
            continue
        covered = float(other.filled[look.filled].mean())
        if covered < 0.99:
            continue
        beyond = float(other.filled[~look.filled].mean()) if (~look.filled).any() else 0.0
        shared = len(_stems(look.name) & _stems(other.name)) > 0 or says(other.name, "label") > 0
        score = 0.5 + (0.3 if shared else 0.0) + (0.12 if look.fill < 1.0 and beyond < 0.01 else -0.15)
        options.append(Option(value=other.name, score=score, reason="a time for each label, after the event"))
    if options:
        rest = Option(value=None, score=0.2, reason="no time of its own")
        chosen = draft.decide(f"{key}.known_at", [*options, rest])
        if chosen is not None and chosen in sample.looks:
            draft.use(chosen, "label time")
            decide_label_time(sample.looks[chosen], f"{key}.known_at", sample, draft)
            return sample.looks[chosen]
    told = f"no column says when the label was known: {DEFAULT_DELAY_DAYS} days after the event"
    draft.say(f"{key}.delay_days", DEFAULT_DELAY_DAYS, 0.4, told, others=[1, 14, 30, 60])
    return None


def _decide_maturity(lag: Doubles, draft: Draft) -> None:
    """A row without a label counts as legitimate once nineteen in twenty labels would have come."""
    if len(lag) == 0:
        told = "rows without a label count as legitimate after so long"
        draft.say("label_maturity_days", DEFAULT_DELAY_DAYS, 0.5, told, others=[14, 30, 60])
        return
    typical = float(np.quantile(lag, 0.95))
    told = f"19 of 20 labels came within {typical:.0f} days, the last after {lag.max():.0f}"
    draft.say("label_maturity_days", max(DEFAULT_DELAY_DAYS, 5 * math.ceil(typical / 5)), 0.6, told)


def _event_micros(sample: Sample, draft: Draft) -> Doubles:
    chosen = draft.decisions["fields.event_time"].choice
    name = chosen if isinstance(chosen, str) else chosen[0]
    look = sample.looks.get(name)
    return np.full(sample.table.num_rows, np.nan) if look is None else look.micros


def _stems(name: str) -> set[str]:
    return {token[:4] for token in tokens_of(name) if len(token) >= 3}
