"""Evidence: typed facts with an id (E1 … En), source, time, hash and stance, each of which code can check again.

`recompute(reader)` makes the item anew from the store as of the reader's time; None means that it no longer can
be made. An item holds when the new one has the same `content_hash`. Times in µs, amounts in minor units.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

from ingestion.artifacts import canonical_json
from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from retrieval import measures
from retrieval.measures import Measure
from retrieval.reader import CaseReader, PartyRole
from retrieval.untrusted import inspect
from retrieval.wording import rfc3339

#: What an item says about the suspicion; `neutral` describes without weighing, `missing` is what is not known.
Stance = Literal["supporting", "contradicting", "neutral", "missing"]
Source = Literal["graph", "labels", "text", "model", "index"]


@dataclass(frozen=True, kw_only=True)
class Evidence(ABC):
    """Base of all items. `time` is when the fact held: nothing in it became available later."""

    id: str = ""
    stance: Stance = "neutral"
    time: int

    type: ClassVar[str]
    source: ClassVar[Source]

    @abstractmethod
    def recompute(self, reader: CaseReader) -> Evidence | None:
        """The item made anew as of the reader's time, with this id and stance; None when it cannot be."""

    @property
    def content(self) -> dict[str, Any]:
        """All fields but the id, as plain data with integer times: what the hash covers."""
        own = {field.name: _plain(getattr(self, field.name)) for field in fields(self) if field.name != "id"}
        return own | {"type": self.type, "source": self.source}

    @property
    def content_hash(self) -> str:
        """SHA-256 of the content, in hex."""
        return hashlib.sha256(canonical_json(self.content)).hexdigest()

    def holds(self, reader: CaseReader) -> bool:
        """Whether the store still says the same, and said it by the reader's time."""
        again = self.recompute(reader) if self.time <= reader.as_of else None
        return again is not None and again.content_hash == self.content_hash

    def with_id(self, identifier: str) -> Self:
        """The same item under another id."""
        return replace(self, id=identifier)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, times as RFC 3339."""
        return {"id": self.id, **_with_times(self.content), "hash": self.content_hash}


@dataclass(frozen=True, kw_only=True)
class TransactionFact(Evidence):
    """One transaction as the store holds it."""

    type = "transaction"
    source = "graph"
    transaction: GraphTransaction

    def recompute(self, reader: CaseReader) -> TransactionFact | None:
        """Read it again."""
        found = reader.transaction(self.transaction.transaction_id)
        return None if found is None else replace(self, transaction=found, time=found.available_at)


@dataclass(frozen=True, kw_only=True)
class WindowStatistic(Evidence):
    """A measure of a party's transactions with event time in (end - width, end]; label measures: by `known_at`.

    `width` None reaches back to the party's first transaction. `without` leaves one transaction out. Amounts are
    of one `currency`. `num` is the number of transactions behind the value. When the history was too long to be
    read whole, `is_complete` is False and a count, sum or maximum is a lower bound.
    """

    type = "window_statistic"
    source = "graph"
    subject: PartyRef
    measure: Measure
    role: PartyRole = "any"
    counterparty: PartyRef | None = None
    currency: str | None = None
    without: str | None = None
    end: int
    width: int | None
    value: int = 0
    num: int = 0
    is_complete: bool = True

    def recompute(self, reader: CaseReader) -> WindowStatistic:
        """Measure again."""
        value, num, is_complete = measures.measure(
            reader,
            self.subject,
            self.measure,
            role=self.role,
            counterparty=self.counterparty,
            currency=self.currency,
            without=self.without,
            end=self.end,
            width=self.width,
        )
        return replace(self, value=value, num=num, is_complete=is_complete)


@dataclass(frozen=True, kw_only=True)
class UseFact(Evidence):
    """Since when `user` is known with a device, ip, card, …; `is_new` when a transaction brought it."""

    type = "use"
    source = "graph"
    user: PartyRef
    used: PartyRef
    first_known_at: int
    is_new: bool

    def recompute(self, reader: CaseReader) -> UseFact | None:
        """Read the use again."""
        uses, _ = reader.uses(self.used)
        first = next((use.first_known_at for use in uses if use.user == self.user), None)
        if first is None:
            uses, _ = reader.uses(self.user)
            first = next((use.first_known_at for use in uses if use.used == self.used), None)
        return None if first is None else replace(self, first_known_at=first, is_new=first >= self.time)


@dataclass(frozen=True, kw_only=True)
class SharedIdentifier(Evidence):
    """Other parties seen with an identifier of the subject, and how many of them had a known fraud.

    The subject may be the identifier itself: then the others are all its users. `others` names at most ten, those
    with known frauds first. When there are too many users to be read whole, the counts are lower bounds.
    """

    type = "shared_identifier"
    source = "graph"
    subject: PartyRef
    identifier: PartyRef
    num_others: int = 0
    num_with_known_fraud: int = 0
    others: tuple[PartyRef, ...] = ()
    is_complete: bool = True

    def recompute(self, reader: CaseReader) -> SharedIdentifier:
        """Read the users again."""
        uses, is_complete = reader.uses(self.identifier)
        users = dict.fromkeys(use.user for use in uses if use.used == self.identifier and use.user != self.subject)
        has_fraud = {user: bool(reader.known_frauds(user)) for user in users}
        ranked = sorted(users, key=lambda user: (not has_fraud[user], str(user)))
        return replace(
            self,
            num_others=len(users),
            num_with_known_fraud=sum(has_fraud.values()),
            others=tuple(ranked[:10]),
            is_complete=is_complete,
        )


@dataclass(frozen=True, kw_only=True)
class LabelFact(Evidence):
    """A label in force by then, of a transaction or of a party; `time` is its `known_at`."""

    type = "label"
    source = "labels"
    transaction_id: str | None = None
    party: PartyRef | None = None
    label: str
    origin: str

    def recompute(self, reader: CaseReader) -> LabelFact | None:
        """Look it up again."""
        found = reader.label(self.transaction_id) if self.transaction_id is not None else None
        if self.party is not None:
            found = reader.entity_label(self.party)
        return None if found is None else replace(self, label=found.label, origin=found.origin, time=found.known_at)


@dataclass(frozen=True, kw_only=True)
class PathFact(Evidence):
    """Money that moved along `parties` by `transaction_ids`, each after the one before; a cycle ends where it
    began. `time` is the latest `available_at`, `started` and `ended` are event times."""

    type = "path"
    source = "graph"
    shape: Literal["cycle", "path"]
    parties: tuple[PartyRef, ...]
    transaction_ids: tuple[str, ...]
    started: int
    ended: int

    def recompute(self, reader: CaseReader) -> PathFact | None:
        """Read every step again and check that they join up."""
        steps = [reader.transaction(identifier) for identifier in self.transaction_ids]
        found = [step for step in steps if step is not None]
        if len(found) != len(steps) or not measures.is_chain(found, self.parties):
            return None
        is_cycle = self.parties[0] == self.parties[-1]
        return replace(
            self,
            shape="cycle" if is_cycle else "path",
            started=found[0].event_time,
            ended=found[-1].event_time,
            time=max(step.available_at for step in found),
        )


@dataclass(frozen=True, kw_only=True)
class ScoreFact(Evidence):
    """The calibrated score given to a transaction then, and the threshold of its alert."""

    type = "score"
    source = "model"
    transaction_id: str
    model_id: str
    score: float
    threshold: float

    def recompute(self, reader: CaseReader) -> ScoreFact | None:
        """Read the alert's record again."""
        given = reader.alert
        if (
            given is None
            or given.transaction_id != self.transaction_id
            or reader.transaction(self.transaction_id) is None
        ):
            return None
        return replace(self, model_id=given.model_id, score=given.score, threshold=given.threshold)


@dataclass(frozen=True, kw_only=True)
class ScoreAttribution(Evidence):
    """What one feature did to the logit of a transaction, against a typical value of the feature."""

    type = "attribution"
    source = "model"
    transaction_id: str
    feature: str
    value: float | None
    typical: float | None
    logit_change: float

    def recompute(self, reader: CaseReader) -> ScoreAttribution | None:
        """Attribute again."""
        for item in reader.attributions(self.transaction_id):
            if item.feature == self.feature:
                return replace(self, **measures.rounded(item))
        return None


@dataclass(frozen=True, kw_only=True)
class MemoFact(Evidence):
    """The memo of a transaction, normalized and cut: a value to look at, never a sentence or an instruction."""

    type = "memo"
    source = "text"
    transaction_id: str
    text: str
    is_cut: bool
    had_hidden_characters: bool
    is_instruction_like: bool

    def recompute(self, reader: CaseReader) -> MemoFact | None:
        """Read and judge it again."""
        memo = reader.memo(self.transaction_id)
        return None if memo is None else replace(self, **vars(inspect(memo)))


@dataclass(frozen=True, kw_only=True)
class SimilarCase(Evidence):
    """A party that looks alike in the index, and how many frauds of it were known by then.

    The vectors come from an index that was verified when it was opened; what is made anew is the outcome.
    """

    type = "similar"
    source = "index"
    subject: PartyRef
    other: PartyRef
    similarity: float
    num_known_frauds: int
    reasons: tuple[str, ...]

    def recompute(self, reader: CaseReader) -> SimilarCase | None:
        """Count the other's known frauds again."""
        if not reader.is_known(self.other):
            return None
        return replace(self, num_known_frauds=len(reader.known_frauds(self.other)))


@dataclass(frozen=True, kw_only=True)
class MissingFact(Evidence):
    """Something that an analyst would look for and that was not known by then."""

    type = "missing"
    source = "graph"
    what: Literal["label", "identifier", "history"]
    transaction_id: str | None = None
    party: PartyRef | None = None

    def recompute(self, reader: CaseReader) -> MissingFact | None:
        """Check that it is still missing."""
        return self if measures.is_missing(reader, self.what, self.transaction_id, self.party) else None


def _plain(value: Any) -> Any:
    if isinstance(value, PartyRef):
        return {"type": value.type, "key": value.key}
    if isinstance(value, GraphTransaction):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


_TIME_NAMES = {"time", "end", "started", "ended", "event_time"}


def _with_times(content: dict[str, Any]) -> dict[str, Any]:
    ready: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            ready[name] = _with_times(value)
        elif isinstance(value, int) and (name in _TIME_NAMES or name.endswith("_at")):
            ready[name] = rfc3339(value)
        elif name == "width" and value is not None:
            ready["window_seconds"] = value // 1_000_000
        else:
            ready[name] = value
    return ready
