"""Decisions of a proposal: each with its choice, what else it could be, how sure it is, and why."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestion.errors import UsageError
from ingestion.pan import scrub

#: Below it a choice is asked about.
ASK_BELOW = 0.75
#: So sure is a choice that nothing speaks for: it keeps a place for the answer, and no table is tried with it.
GUESSED = 0.05


@dataclass(frozen=True, kw_only=True)
class Option:
    """A possible choice: a TOML value, None for leaving the key out; `score` 0 … 1 from its evidence."""

    value: Any
    score: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One key of the mapping (`fields.event_time.zone`, `attributes.MCC`) and what was chosen for it."""

    key: str
    choice: Any
    alternatives: tuple[Any, ...]
    confidence: float
    reason: str
    answered: bool = False

    @property
    def is_guessed(self) -> bool:
        """Whether nothing in the table speaks for it."""
        return not self.answered and self.confidence <= GUESSED

    @property
    def asks(self) -> bool:
        """Whether a person should look at it."""
        return not self.answered and self.confidence < ASK_BELOW

    def as_dict(self) -> dict[str, Any]:
        """Plain data, JSON-ready."""
        return {
            "key": self.key,
            "choice": self.choice,
            "alternatives": list(self.alternatives),
            "confidence": round(self.confidence, 2),
            "reason": self.reason,
            "asks": self.asks,
            "answered": self.answered,
        }


@dataclass
class Draft:
    """Decisions in the making. An answer of the person beats any evidence, and later decisions build on it."""

    answers: Dictionary[str, Any] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)

    def decide(self, key: str, options: Sequence[Option]) -> Any:
        """Take the best option, or the answer, and keep the decision. A close second makes it less sure."""
        ranked = sorted(options, key=lambda option: -option.score)
        best = ranked[0]
        second = max((option.score for option in ranked[1:]), default=0.0)
        confidence = min(0.99, max(0.0, best.score - max(0.0, second - 0.5 * best.score)))
        choice, reason, answered = best.value, best.reason, key in self.answers
        if answered:
            choice, reason, confidence = self.answers[key], "you said so", 1.0
        others = [option.value for option in ranked if option.value != choice]
        self.decisions[key] = Decision(
            key=key,
            choice=choice,
            alternatives=tuple(others[:4]),
            confidence=confidence,
            reason=scrub(reason),
            answered=answered,
        )
        return choice

    def say(self, key: str, value: Any, score: float, reason: str, *, others: Sequence[Any] = ()) -> Any:
        """Decide a key that has one likely value; `others` are told as alternatives."""
        rest = [Option(value=other, score=0.0, reason="") for other in others if other != value]
        return self.decide(key, [Option(value=value, score=score, reason=reason), *rest])

    def use(self, column: str, role: str) -> None:
        """Mark a column as read for a role."""
        self.used.setdefault(column, role)

    def check_answers(self) -> None:
        """Raise `UsageError` for an answer that no decision asked for."""
        if unknown := sorted(set(self.answers) - set(self.decisions)):
            raise UsageError(
                f"Nothing was asked under {unknown[0]!r}.",
                remedy=f"Keys that can be answered: {', '.join(sorted(self.decisions))}.",
            )
