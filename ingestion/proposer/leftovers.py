"""The columns that no field reads: kept as attributes, kept out because they come from the outcome, or left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingestion.proposer.column_look import ColumnLook
from ingestion.proposer.decision import Draft, Option
from ingestion.proposer.labels import fraud_rows
from ingestion.proposer.sample import Sample
from ingestion.proposer.words import says

#: A column that says something for so few other rows, and for so many frauds, is filled after the outcome.
_ELSEWHERE, _OF_FRAUDS, _FEWEST = 0.02, 0.5, 5


def decide_leftovers(sample: Sample, draft: Draft) -> None:
    """Decide `memo`, `dropped.<column>` and `attributes.<column>` for every column that is still unused."""
    fraud = fraud_rows(sample, draft)
    for look in list(sample.looks.values()):
        if look.name in draft.used or look.is_constant:
            continue
        why = _named_so(look) if fraud is None else _after_outcome(look, fraud)
        if why is not None:
            draft.use(look.name, "dropped")
            draft.say(f"dropped.{look.name}", True, why[0], why[1], others=[False])
    _decide_memo(sample, draft)
    for look in list(sample.looks.values()):
        if look.name not in draft.used:
            _decide_attribute(look, draft)


def _after_outcome(look: ColumnLook, fraud: NDArray[np.bool_]) -> tuple[float, str] | None:
    """How sure it is, and why, that a column was filled after the outcome; None when nothing says so."""
    if fraud.sum() < _FEWEST or (~fraud).sum() < _FEWEST or look.distinct == 0:
        return _named_so(look)
    says_something = look.filled.copy()
    if look.fill > 0.5:
        default = next(iter(look.counts))
        if look.counts[default] <= 0.5 * len(look.texts):
            return _named_so(look)
        says_something &= np.asarray(look.texts.to_pylist(), object) != default
    among, elsewhere = float(says_something[fraud].mean()), float(says_something[~fraud].mean())
    if among >= _OF_FRAUDS and elsewhere <= _ELSEWHERE * among:
        return (
            0.95,
            f"says something for {among:.0%} of the frauds and {elsewhere:.1%} of the others: it comes from them",
        )
    return _named_so(look)


def _named_so(look: ColumnLook) -> tuple[float, str] | None:
    if says(look.name, "label") and says(look.name, "label") >= 1.0 and not look.is_prose:
        return 0.6, "its name speaks of the outcome: it may come from it"
    if says(look.name, "rule") and look.is_code:
        return 0.6, "its name speaks of another system's verdict, which may come from the outcome"
    return None


def _decide_memo(sample: Sample, draft: Draft) -> None:
    options = []
    for look in sample.looks.values():
        if look.name in draft.used or look.form is not None or look.is_number or look.time is not None:
            continue
        named = says(look.name, "memo")
        if look.is_prose and look.distinct > 5:
            why = "free text" + (", and is named so" if named else "")
            options.append(Option(value=look.name, score=0.5 + 0.45 * named, reason=why))
    if options:
        chosen = draft.decide("fields.memo", [*options, Option(value=None, score=0.2, reason="")])
        if chosen is not None:
            draft.use(chosen, "memo")


def _decide_attribute(look: ColumnLook, draft: Draft) -> None:
    key = f"attributes.{look.name}"
    if look.is_constant:
        draft.say(key, False, 0.97, "says the same in every row", others=[True])
    elif says(look.name, "personal"):
        draft.say(key, False, 0.6, "looks personal: left out, or name it in personal.attributes too", others=[True])
    elif look.decimals or look.is_written_with_decimals:
        draft.say(key, False, 0.8, "a further number, of no use as a text", others=[True])
    elif look.is_code and (look.time is None or look.is_number):
        draft.say(key, True, 0.85, f"a code of {look.distinct} values", others=[False])
    else:
        sure = 0.8 if look.is_unique or look.is_number else 0.6
        draft.say(key, False, sure, f"{look.distinct:,} different values that no field is for", others=[True])
