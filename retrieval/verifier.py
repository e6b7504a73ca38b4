"""The verifier: no sentence reaches an analyst unless code finds everything in it in the evidence that it cites.

1. Every cited id exists, and the item, made anew from the store as of the case's time, is the same.
2. Every name, time, amount, window, number, direction and telling word of the text is one that the cited items
   allow, and what they require is there.
3. A template's sentence equals what the template makes of the recomputed items.
No link, address, markup, hidden character or word of disposition may stand in a sentence (TRUST 2.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from retrieval.evidence import Evidence, TransactionFact, WindowStatistic
from retrieval.facts import TELLING_WORDS, Facts, facts_of
from retrieval.narrative import Claim, ratio_to_mean, render
from retrieval.reader import CaseReader
from retrieval.untrusted import normalize
from retrieval.wording import MENTION

MAX_TEXT = 600
_TIME = re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?(?: UTC|Z)?)?")
_AMOUNT = re.compile(r"(?<![\w.,])-?\d[\d,]*(?:\.\d+)? [A-Z]{3}\b(?<! UTC)")
_WINDOW = re.compile(r"(?<![\w.,])\d[\d,]* (?:second|minute|hour|day|week|month|year)s?\b")
_EVIDENCE_ID = re.compile(r"\bE\d+\b")
_FEATURE = re.compile(r"\b[A-Za-z]\w*_\w+\b")
_NUMBER = re.compile(r"(?<![\w.,])[+\-−]?\d[\d,]*(?:\.\d+)?%?")
_STRAY_DIGIT = re.compile(r"\d")
_FLOW = re.compile(rf"\bfrom ({MENTION.pattern})((?: to {MENTION.pattern})+)")
_NUMBER_WORDS = re.compile(
    r"\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    r"eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|dozens?|"
    r"half|twice|double|triple|several|many|few)\b",
    re.IGNORECASE,
)
_FORBIDDEN = {
    "a link or address": re.compile(r"://|www\.|\b[\w.+-]+@[\w-]+\.\w+|\bmailto:|\bjavascript:", re.IGNORECASE),
    "markup": re.compile(r"[<>`]|!\[|\]\(|&[a-z]+;|\*\*|^#", re.IGNORECASE),
    "a word of disposition": re.compile(
        r"\b(close[ds]?|closing|approve|approves|dismiss(?:ed|es)?|clear(?:ed|s)?|whitelist\w*|resolve[ds]?|"
        r"false positive|ignore[ds]?|block(?:ed|s)?|escalate[ds]?|release[ds]?)\b",
        re.IGNORECASE,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A claim that was not shown, and why."""

    claim: Claim
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What may be shown, and what was removed."""

    kept: tuple[Claim, ...]
    removed: tuple[Removed, ...]


class Resolver:
    """Evidence by id; an item resolves when it still holds in the store as of the case's time."""

    def __init__(self, evidence: Sequence[Evidence], reader: CaseReader) -> None:
        self._items: Mapping[str, Evidence] = {item.id: item for item in evidence}
        self._reader = reader.fresh()
        self._again: dict[str, Evidence | None] = {}

    def resolve(self, identifier: str) -> Evidence | None:
        """The item made anew, None when it does not exist, was not known by then, or is no longer the same."""
        if identifier not in self._again:
            item = self._items.get(identifier)
            again = item.recompute(self._reader) if item is not None and item.time <= self._reader.as_of else None
            same = item is not None and again is not None and again.content_hash == item.content_hash
            self._again[identifier] = again if same else None
        return self._again[identifier]


def verify(claims: Sequence[Claim], evidence: Sequence[Evidence], reader: CaseReader) -> Verdict:
    """Keep the claims that hold, in order; the others with the reason why they do not."""
    resolver = Resolver(evidence, reader)
    kept: list[Claim] = []
    removed: list[Removed] = []
    for claim in claims:
        reason = why_not(claim, resolver)
        if reason is None:
            kept.append(claim)
        else:
            removed.append(Removed(claim=claim, reason=reason))
    return Verdict(kept=tuple(kept), removed=tuple(removed))


def why_not(claim: Claim, resolver: Resolver) -> str | None:
    """The first reason why a claim may not be shown, None when it may."""
    if not claim.evidence_ids:
        return "it cites no evidence"
    items: list[Evidence] = []
    for identifier in claim.evidence_ids:
        item = resolver.resolve(identifier)
        if item is None:
            return f"evidence {identifier} does not exist or no longer holds"
        items.append(item)
    reason = check_text(claim.text, items)
    if reason is None and claim.text != render(claim.type, items):
        return "it is not what its template says of the evidence"
    return reason


def check_text(text: str, items: Sequence[Evidence]) -> str | None:
    """The first thing in a text that the cited items do not bear out, None when all is borne out.

    Works on free text as well: it knows no template.
    """
    if len(text) > MAX_TEXT or text != normalize(text):
        return "it is too long or holds hidden characters"
    for what, pattern in _FORBIDDEN.items():
        if match := pattern.search(text):
            return f"it holds {what}: {match.group()!r}"
    allowed = [facts_of(item) for item in items]
    ids = frozenset(item.id for item in items)
    every = _union([*allowed, _ratios(items)])
    remaining = text
    for pattern, known in (
        (MENTION, every.mentions),
        (_TIME, every.times),
        (_AMOUNT, every.amounts),
        (_WINDOW, every.windows),
        (_EVIDENCE_ID, ids),
        (_FEATURE, every.mentions),
        (_NUMBER, every.numbers),
        (_STRAY_DIGIT, frozenset()),
        (_NUMBER_WORDS, frozenset()),
    ):
        for match in pattern.finditer(remaining):
            if match.group() not in known:
                return f"{match.group()!r} is not in the evidence that it cites"
        remaining = pattern.sub(" ", remaining)
    return _check_words(remaining, every) or _check_flows(text, every) or _check_required(text, allowed)


def _ratios(items: Sequence[Evidence]) -> Facts:
    """What may be said of a cited amount and a cited mean together: how many times the mean it is."""
    subjects = [item for item in items if isinstance(item, TransactionFact)]
    means = [item for item in items if isinstance(item, WindowStatistic)]
    ratios = (ratio_to_mean(subject, mean) for subject in subjects for mean in means)
    known = frozenset(ratio for ratio in ratios if ratio is not None)
    return Facts(numbers=known, words=frozenset({"times"} if known else ()))


def _union(allowed: Sequence[Facts]) -> Facts:
    return Facts(
        mentions=frozenset().union(*(facts.mentions for facts in allowed)),
        amounts=frozenset().union(*(facts.amounts for facts in allowed)),
        times=frozenset().union(*(facts.times for facts in allowed)),
        windows=frozenset().union(*(facts.windows for facts in allowed)),
        numbers=frozenset().union(*(facts.numbers for facts in allowed)),
        words=frozenset().union(*(facts.words for facts in allowed)),
        flows=frozenset().union(*(facts.flows for facts in allowed)),
    )


def _check_words(remaining: str, every: Facts) -> str | None:
    folded = remaining.casefold()
    for word in sorted(TELLING_WORDS):
        if word not in every.words and _has(folded, word):
            return f"{word!r} is not what the evidence says"
    return None


def _check_flows(text: str, every: Facts) -> str | None:
    """Each `from X to Y to Z` must be flows of the evidence, and a flow whose ends are both named must be so said."""
    told: set[tuple[str, str]] = set()
    for match in _FLOW.finditer(text):
        stops = [stop.group() for stop in MENTION.finditer(match.group())]
        told |= set(pairwise(stops))
    if wrong := told - every.flows:
        source, target = sorted(wrong)[0]
        return f"the evidence knows no movement from {source} to {target}"
    named = {match.group() for match in MENTION.finditer(text)}
    for source, target in sorted(every.flows - told):
        if source != target and source in named and target in named:
            return f"it does not say the direction from {source} to {target}"
    return None


def _check_required(text: str, allowed: Sequence[Facts]) -> str | None:
    for facts in allowed:
        for value in sorted(facts.required):
            if not _has(text, value) and not _has(text.casefold(), value):
                return f"it cites evidence of {value!r} and does not say so"
    return None


def _has(text: str, value: str) -> bool:
    return re.search(rf"(?<![\w~]){re.escape(value)}(?![\w]|[.,]\d)", text) is not None
