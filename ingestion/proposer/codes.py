"""Codes of a row: currency, kind, outcome and channel, each value with what it means."""

from __future__ import annotations

from collections.abc import Sequence

from ingestion.contracts import KINDS, OUTCOMES
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.proposer.column_look import ColumnLook
from ingestion.proposer.decision import Draft, Option
from ingestion.proposer.sample import Sample
from ingestion.proposer.value_forms import KIND_WORDS, OUTCOME_WORDS, currency_code, is_word, meaning
from ingestion.proposer.words import says, tokens_of

#: Currencies that names of amounts mention; rarer codes are words as well (ALL, TOP, TRY).
_IN_NAMES = "USD EUR GBP CHF JPY CAD AUD SEK NOK DKK PLN INR BRL MXN ZAR CNY"
_MARKS = {
    "€": ("EUR", 0.95),
    "£": ("GBP", 0.9),
    "₹": ("INR", 0.9),
    "₺": ("TRY", 0.9),
    "$": ("USD", 0.6),
    "¥": ("JPY", 0.6),
}
#: ISO 8583 processing codes (their first two digits) and message types.
_PROCESSING = {"00": "payment", "01": "payment", "09": "payment", "20": "refund", "22": "refund", "40": "transfer"}
_MESSAGES = {"0100": "authorisation", "0200": "payment", "0220": "capture", "0400": "reversal", "0420": "reversal"}


def decide_currency(sample: Sample, draft: Draft, amount: str) -> None:
    """Decide `fields.currency`: a column of ISO codes, a code in the amount's name, or none."""
    options = []
    for item in _free(sample, draft):
        values = list(item.counts)
        if item.distinct > 40 or item.fill < 0.5:
            continue
        named = says(item.name, "currency")
        if item.form == "currency":
            side = 0.25 * says(item.name, "side_amount") + 0.25 * says(item.name, "target")
            score = 0.6 + 0.35 * named - side
            options.append(Option(value=item.name, score=score, reason="holds ISO 4217 codes"))
        elif named and (share := sum(currency_code(value) is not None for value in values) / len(values)) >= 0.5:
            side = 0.25 * says(item.name, "target")
            options.append(
                Option(value=item.name, score=0.93 * share - side, reason="holds codes or names of currencies")
            )
    if inside := _currency_in(amount):
        options.append(Option(value=inside, score=0.97, reason=f"{amount} names it"))
    if amount in sample.looks and (mark := sample.looks[amount].mark):
        options += _of_mark(mark)
    options.append(Option(value="XXX", score=0.3, reason="no column names a currency"))
    chosen = draft.decide("fields.currency", options)
    if (look := sample.looks.get(chosen)) is None:
        return
    draft.use(chosen, "currency")
    if look.form != "currency":
        codes = {value: code for value in look.counts if (code := currency_code(value)) is not None}
        _decide_values("fields.currency", codes, draft)
        _decide_rest("fields.currency", [value for value in look.counts if value not in codes], "XXX", (), draft)


def _of_mark(mark: str) -> list[Option]:
    """The currency of a sign or code at each amount; some signs are of several countries."""
    code, score = _MARKS.get(mark, (mark.upper(), 0.95))
    told = f"{mark} stands at the amounts"
    return [Option(value=code, score=score, reason=told)] if code in CURRENCY_EXPONENTS else []


def _currency_in(amount: str) -> str | None:
    return next((token.upper() for token in tokens_of(amount) if token.upper() in _IN_NAMES.split()), None)


def decide_outcome(sample: Sample, draft: Draft) -> None:
    """Decide `fields.outcome`."""
    options = [option for look in _free(sample, draft) if (option := _outcome_option(look)) is not None]
    told = "no column says what was declined: all count as approved"
    options.append(Option(value=None, score=0.35 if options else 0.78, reason=told))
    chosen = draft.decide("fields.outcome", options)
    look = sample.looks.get(chosen)
    if look is None:
        return
    draft.use(chosen, "outcome")
    found = {value: _outcome(value, look) for value in look.counts}
    known = {value: name for value, name in found.items() if name is not None}
    if _is_response_code(look):
        draft.say("fields.outcome.values", {_zero(look): "approved"}, 0.9, "ISO 8583 response codes: 00 is approved")
        draft.say("fields.outcome.default", "declined", 0.9, "any other response code is a refusal")
        return
    if set(look.counts) <= set(OUTCOMES):
        return
    _decide_values("fields.outcome", known, draft)
    _decide_rest(
        "fields.outcome", [value for value, name in found.items() if name is None], "approved", OUTCOMES, draft
    )


def _outcome_option(look: ColumnLook) -> Option | None:
    if not look.is_code or look.distinct < 2 or says(look.name, "label") or look.fill < 0.5:
        return None
    named = says(look.name, "outcome")
    if named and _is_response_code(look):
        return Option(value=look.name, score=0.9, reason="holds response codes, 00 among them")
    known = [meaning(value, OUTCOME_WORDS) for value in look.counts]
    share = sum(name is not None for name in known) / len(known)
    both = len({name for name in known if name is not None}) == 2
    if share < 0.5 or not (named or both):
        return Option(value=look.name, score=0.3, reason="is named so") if named else None
    score = 0.2 + 0.35 * named + 0.3 * share + (0.1 if both else 0.0)
    return Option(value=look.name, score=score, reason="its values say what was approved and what was not")


def _outcome(value: str, look: ColumnLook) -> str | None:
    named = says(look.name, "outcome")
    if named and value in ("1", "0"):
        return "approved" if value == "1" else "declined"
    return meaning(value, OUTCOME_WORDS)


def _is_response_code(look: ColumnLook) -> bool:
    return all(value.isalnum() and len(value) in (2, 3) for value in look.counts) and bool(
        {"00", "000"} & set(look.counts)
    )


def _zero(look: ColumnLook) -> str:
    return "00" if "00" in look.counts else "000"


def decide_kind(sample: Sample, draft: Draft, *, usual: str, why: str) -> None:
    """Decide `fields.kind`; `usual` is the kind of a table that does not say."""
    options = [option for look in _free(sample, draft) if (option := _kind_option(look)) is not None]
    options.append(Option(value=usual, score=0.42, reason=f"no column says the kind; {why}"))
    if len(options) == 1:
        options = [Option(value=usual, score=0.8, reason=f"no column says the kind; {why}")]
    chosen = draft.decide("fields.kind", options)
    look = sample.looks.get(chosen)
    if look is None:
        return
    draft.use(chosen, "kind")
    found = {value: _kind(value, look) for value in look.counts}
    if set(look.counts) <= set(KINDS):
        return
    _decide_values("fields.kind", {value: name for value, name in found.items() if name is not None}, draft)
    _decide_rest("fields.kind", [value for value, name in found.items() if name is None], usual, KINDS, draft)


def _kind_option(look: ColumnLook) -> Option | None:
    if not look.is_code or look.is_constant or look.fill < 0.9 or look.distinct > 20 or says(look.name, "label"):
        return None
    if says(look.name, "channel") or look.form is not None or look.decimals:
        return None
    known = [_kind(value, look) for value in look.counts]
    share = sum(name is not None for name in known) / len(known)
    named = says(look.name, "kind")
    if share < (0.4 if named else 0.6):
        return None
    score = 0.2 + 0.4 * named + 0.35 * share
    return Option(value=look.name, score=score, reason="its values say what kind of transaction it is")


def _kind(value: str, look: ColumnLook) -> str | None:
    if value.isdigit():
        if value in _MESSAGES and len(look.counts) <= 6:
            return _MESSAGES[value]
        return _PROCESSING.get(value[:2]) if len(value) in (2, 6) and says(look.name, "kind") else None
    return "payment" if is_word(value, "card") else meaning(value, KIND_WORDS)  # a credit card is no credit


def decide_channel(sample: Sample, draft: Draft) -> None:
    """Decide `fields.channel`: only a column that is named so."""
    options = []
    for look in _free(sample, draft):
        if says(look.name, "channel") and look.is_code and look.distinct <= 40 and look.fill > 0.5:
            options.append(Option(value=look.name, score=0.88, reason="is named so, and holds few codes"))
    if options:
        chosen = draft.decide("fields.channel", [*options, Option(value=None, score=0.2, reason="")])
        if chosen is not None:
            draft.use(chosen, "channel")


def _decide_values(key: str, values: dict[str, str], draft: Draft) -> None:
    told = ", ".join(f"{value} is {name}" for value, name in list(values.items())[:6])
    sure = min(0.85, draft.decisions[key].confidence + 0.1) if values else 0.2
    draft.say(f"{key}.values", values, sure, told or "no value is understood")


def _decide_rest(key: str, unknown: Sequence[str], usual: str, known: Sequence[str], draft: Draft) -> None:
    """What the values that were not understood count as: asked."""
    if unknown:
        told = ", ".join(unknown[:6])
        draft.say(f"{key}.default", usual, 0.3, f"not understood: {told}", others=list(known))


def _free(sample: Sample, draft: Draft) -> list[ColumnLook]:
    return [look for look in sample.looks.values() if look.name not in draft.used and look.distinct]
