"""How much: the amount, its unit and sign."""

from __future__ import annotations

import re

import numpy as np

from ingestion.errors import DataContractError
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.proposer.column_look import ColumnLook
from ingestion.proposer.decision import GUESSED, Draft, Option
from ingestion.proposer.sample import Sample
from ingestion.proposer.words import says, tokens_of

_DIGITS = re.compile(r"[+-]?[\d.,' ]+")


def decide_amount(sample: Sample, draft: Draft) -> str:
    """Decide `fields.amount`; returns its column."""
    options = [option for look in sample.looks.values() if look.name not in draft.used for option in _option(look)]
    if not options:
        free = [look for look in sample.looks.values() if look.name not in draft.used]
        free = [look for look in free if not says(look.name, "label")] or free
        others = [look for look in free if not says(look.name, "source") and not says(look.name, "target")]
        named = [look for look in others if says(look.name, "amount")]
        first = next(iter(named), None) or next((look for look in [*others, *free] if look.is_number), None)
        first = first or next(iter(free), None)
        if first is None:
            raise DataContractError(
                f"{sample.name} has no column left for an amount.", remedy="Write the mapping by hand."
            )
        odd = next((value for value in first.looked_at if not _DIGITS.fullmatch(value)), "") if first in named else ""
        told = f"is named so, but holds {odd!r}, which is no number: put it right, or say by hand how it is read"
        why = told if odd else "no column holds amounts: name one"
        options = [Option(value=first.name, score=GUESSED, reason=why)]
    chosen: str = draft.decide("fields.amount", options)
    draft.use(chosen, "amount")
    return chosen


def decide_unit(sample: Sample, draft: Draft, amount: str) -> None:
    """Decide unit, rounding and sign of the amount; the currency is decided before."""
    if amount in sample.looks:
        if mark := sample.looks[amount].mark:
            draft.say("fields.amount.currency_sign", mark, 0.95, "stands at the amounts, and is taken off")
        _decide_unit(sample.looks[amount], draft)
        _decide_sign(sample.looks[amount], draft)


def _option(look: ColumnLook) -> list[Option]:
    if not look.is_number or look.fill < 0.9 or look.distinct < 2 or (look.time is not None and look.time.zoned):
        return []
    named = max(says(look.name, "amount"), says(look.name, "minor"))
    aside = says(look.name, "side_amount")
    head = tokens_of(look.name)[-1:] in [(word,) for word in ("id", "code", "nr", "no", "number", "count", "key")]
    score = 0.2 + 0.5 * named + (0.15 if look.is_written_with_decimals else 0.0)
    score += 0.12 if _is_money(look) else -0.1
    score -= 0.35 * aside + (0.5 if head else 0.0) + (0.3 if look.is_code and not named else 0.0)
    score -= (0.1 if named else 0.4) * max(says(look.name, side) for side in ("source", "target", "label"))
    if score <= 0.1:
        return []
    why = "is named so, and holds numbers" if named else "holds numbers that could be amounts"
    return [Option(value=look.name, score=score, reason=why)]


def _is_money(look: ColumnLook) -> bool:
    """Many different numbers that spread over more than a factor of ten."""
    numbers = np.abs(look.numbers[~np.isnan(look.numbers)])
    numbers = numbers[numbers > 0]
    if len(numbers) < 2 or look.distinct < 0.05 * len(numbers):
        return False
    low, high = np.quantile(numbers, [0.02, 0.98])
    return bool(high / low > 10)


def _decide_unit(look: ColumnLook, draft: Draft) -> None:
    key = "fields.amount.unit"
    if look.is_written_with_decimals:
        draft.say(key, "decimal", 0.97, "written with a fraction", others=["minor"])
        digits = 2
        if (currency := draft.decisions.get("fields.currency")) is not None:
            digits = CURRENCY_EXPONENTS.get(str(currency.choice), 2)
        if look.decimals > digits:
            why = f"has {look.decimals} digits after the point, more than a currency has"
            draft.say("fields.amount.rounding", "half_even", 0.8, why, others=["refuse"])
    elif says(look.name, "minor"):
        draft.say(key, "minor", 0.97, "whole numbers, and the name says so", others=["decimal"])
    else:
        median = float(np.nanmedian(np.abs(look.numbers))) if look.is_number else 0.0
        ends = look.numbers[~np.isnan(look.numbers)] % 100 if look.is_number else np.zeros(0)
        round_share = float((ends == 0).mean()) if len(ends) else 0.0
        guess = "decimal" if round_share > 0.5 or median < 100 else "minor"
        told = f"whole numbers around {median:.0f}: minor units such as cents, or whole ones?"
        draft.say(key, guess, 0.5, told, others=["decimal", "minor"])


def _decide_sign(look: ColumnLook, draft: Draft) -> None:
    numbers = look.numbers[~np.isnan(look.numbers)] if look.is_number else np.zeros(0)
    share = float((numbers < 0).mean()) if len(numbers) else 0.0
    if share == 0.0:
        return
    guess = "absolute" if share > 0.4 else "negative_is_refund"
    others = ["absolute", "negative_is_refund", "refuse"]
    draft.say("fields.amount.sign", guess, 0.5, f"{share:.0%} of the amounts are negative", others=others)
