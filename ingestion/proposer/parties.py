"""Who paid whom, through what: source, target and further parties, each with its type."""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.proposer.column_look import ColumnLook
from ingestion.proposer.decision import Draft, Option
from ingestion.proposer.sample import Sample
from ingestion.proposer.words import says, tokens_of

TYPES = (
    "card", "account", "wallet", "customer", "merchant", "terminal", "device", "ip", "email", "phone", "bank", "agent",
)  # fmt: skip
PERSONAL_TYPES = frozenset({"account", "card", "customer", "email", "ip", "phone", "wallet"})
#: How well a type stands for who pays, and for who is paid.
_PAYER = {"account": 0.9, "card": 0.85, "customer": 0.95, "wallet": 0.95, "email": 0.45, "phone": 0.45, "device": 0.3}
_PAYEE = {
    "merchant": 0.95,
    "account": 0.7,
    "wallet": 0.7,
    "terminal": 0.75,
    "customer": 0.6,
    "phone": 0.4,
    "email": 0.4,
}
_OF_FORM = {"card": "card", "iban": "account", "bic": "bank", "email": "email", "ip": "ip", "phone": "phone"}
#: Side words that speak of a person when nothing says more; `from`, `src` and such speak of an account.
_PEOPLE = "sender payer buyer remitter payee beneficiary benef bene receiver recipient purchaser donor"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A column that could name a party: its type and side, how sure, and why. `near` is the next best type."""

    look: ColumnLook
    type: str
    sure: float
    reason: str
    source: float
    target: float


def candidates(sample: Sample, draft: Draft) -> list[Candidate]:
    """Columns whose values name things: unused, filled, neither numbers with fractions nor prose."""
    found = []
    for look in sample.looks.values():
        if look.name in draft.used or look.distinct == 0 or look.decimals or look.is_written_with_decimals:
            continue
        if look.time is not None or look.is_prose or look.is_constant or says(look.name, "label"):
            continue
        if look.form in ("currency", "zone", "country"):
            continue
        candidate = _candidate(look)
        if candidate is not None:
            found.append(candidate)
    return found


def _candidate(look: ColumnLook) -> Candidate | None:
    source, target = says(look.name, "source"), says(look.name, "target")
    if (by_form := _OF_FORM.get(look.form or "")) is not None:
        return Candidate(
            look=look, type=by_form, sure=0.95, reason=f"its values are {look.form}s", source=source, target=target
        )
    named = [kind for kind in TYPES if says(look.name, kind)]
    if named:
        kind = _head(look.name, named)
        sure = (0.9 if len(named) == 1 else 0.8) * says(look.name, kind)
        if _is_about(look, kind):
            return None
        return Candidate(
            look=look, type=kind, sure=_sure_of(look, sure), reason="its name says so", source=source, target=target
        )
    if max(source, target) and (not look.is_code or look.distinct > 20):
        person = bool(set(_PEOPLE.split()) & set(tokens_of(look.name)))
        kind = "customer" if person else "account"
        return Candidate(
            look=look,
            type=kind,
            sure=0.62 if person else 0.7,
            reason="its name says the side, and nothing the type",
            source=source,
            target=target,
        )
    return None


def _sure_of(look: ColumnLook, named: float) -> float:
    """Things have numbers: a few plain words, such as transport and groceries, may be a trade and no branch."""
    words = look.is_code and all(value.replace(" ", "").isalpha() for value in look.looked_at)
    return 0.65 if words else max(named, 0.76)


def _head(name: str, kinds: list[str]) -> str:
    """Of several types in one name the last word counts: customer_email is an e-mail address."""
    for token in reversed(tokens_of(name)):
        for kind in kinds:
            if says(token, kind):
                return kind
    return kinds[0]


def _is_about(look: ColumnLook, kind: str) -> bool:
    """Whether a column describes a party and does not name it: merchant_category, customer age, card type."""
    tokens = set(tokens_of(look.name))
    about = {"category", "type", "typ", "country", "city", "age", "status", "level", "tier", "segment", "brand", "name",
             "zip", "plz", "lat", "lon", "model", "os", "version", "method", "balance", "count", "present", "entry",
             "group", "gruppe", "gender", "state", "region", "risk", "score", "since", "art", "flag"}  # fmt: skip
    if tokens & about:
        return True
    return look.is_code and look.distinct <= 3 and kind not in ("merchant", "bank", "agent", "terminal")


def decide_parties(sample: Sample, draft: Draft) -> None:
    """Decide source, target and the further parties."""
    found = candidates(sample, draft)
    typed = _type_columns(sample, draft)
    source = _decide_side("source", _PAYER, found, typed, sample, draft)
    rest = [item for item in found if item.look.name not in draft.used]
    target = _decide_side("target", _PAYEE, rest, typed, sample, draft)
    taken = {kind for kind in (source, target) if kind is not None}
    _decide_further([item for item in rest if item.look.name not in draft.used], taken, draft)


def _type_columns(sample: Sample, draft: Draft) -> dict[str, str]:
    """Side -> the column that says the type of its party (`source_type`)."""
    found = {}
    for look in sample.looks.values():
        if look.name in draft.used or not look.is_code or look.distinct > 8 or not says(look.name, "kind"):
            continue
        if all(any(says(value, kind) for kind in TYPES) for value in look.counts):
            for side in ("source", "target"):
                if says(look.name, side):
                    found[side] = look.name
    return found


def _decide_side(
    side: str, fits: dict[str, float], found: list[Candidate], typed: dict[str, str], sample: Sample, draft: Draft
) -> str | None:
    options = [Option(value=item.look.name, score=_score(item, side, fits), reason=_why(item, side)) for item in found]
    options = [option for option in options if option.score > 0]
    if not options:
        free = [look for look in sample.looks.values() if look.name not in draft.used and look.distinct > 1]
        name = max(free, key=lambda look: look.distinct).name if free else next(iter(sample.looks))
        options = [Option(value=name, score=0.05, reason=f"no column names the {side}: name one")]
    key: str = draft.decide(f"{side}.key", options)
    draft.use(key, side)
    item = next((item for item in found if item.look.name == key), None)
    if (column := typed.get(side)) is not None:
        draft.use(column, f"{side} type")
        allowed = sorted(sample.looks[column].counts)
        draft.say(f"{side}.type", {"column": column, "allowed": allowed}, 0.9, "a column says the type of each")
        return None
    guess = item.type if item is not None else ("customer" if side == "source" else "merchant")
    sure = item.sure if item is not None else 0.3
    why = item.reason if item is not None else "nothing says the type"
    kind: str = draft.say(f"{side}.type", guess, sure, why, others=_other_types(guess, fits))
    return kind


def _other_types(kind: str, fits: dict[str, float]) -> list[str]:
    return [other for other in fits if other != kind][:4]


def _score(item: Candidate, side: str, fits: dict[str, float]) -> float:
    own, other = (item.source, item.target) if side == "source" else (item.target, item.source)
    score = 0.55 * fits.get(item.type, 0.05) + 0.35 * own - 0.5 * other * (0 if own else 1)
    score += 0.08 if says(item.look.name, "id") else 0.0
    score -= 0.25 if item.look.fill < 0.98 else 0.0
    return score + 0.25 * item.sure * (1 if fits.get(item.type, 0) > 0.5 else 0)


def _why(item: Candidate, side: str) -> str:
    own = item.source if side == "source" else item.target
    words = "pays" if side == "source" else "is paid"
    return f"names {_a(item.type)}" + (f", and who {words}" if own else f", which usually {words}")


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aei' else 'a'} {kind}"


def _decide_further(found: list[Candidate], ends: set[str], draft: Draft) -> None:
    """Other columns that name things of a known type: one party a type."""
    by_type: dict[str, list[Candidate]] = {}
    for item in found:
        by_type.setdefault(item.type, []).append(item)
    for kind, items in by_type.items():
        items.sort(key=lambda item: (-item.sure, -item.look.fill))
        for place, item in enumerate(items):
            name = kind if place == 0 and kind not in ends else _sided(kind, item)
            if f"parties.{name}" in draft.decisions:
                continue
            sure = item.sure if place == 0 and kind not in ends else 0.6
            chosen = draft.say(
                f"parties.{name}", item.look.name, sure, f"names {_a(kind)}: {item.reason}", others=[None]
            )
            if chosen is not None:
                draft.use(chosen, f"party {name}")


def _sided(kind: str, item: Candidate) -> str:
    side = "source" if item.source else "target" if item.target else "other"
    return f"{side}_{kind}"
