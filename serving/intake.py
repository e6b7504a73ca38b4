"""What a row must pass before it is scored: the contract is checked, personal values become tokens.

The rules and the tokens are those of ingest (`ingestion.quality`, `ingestion.privacy`): a row that the API takes
is one that the nightly job would take, under the same keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from ingestion.contracts import TRANSACTION
from ingestion.mapping import Mapping as TableMapping
from ingestion.privacy import Tokenizer
from ingestion.quality import Faults, find_faults
from ingestion.vault import Vault
from serving.events import TransactionEvent

_NULLABLE = pa.schema([field.with_nullable(True) for field in TRANSACTION])


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a row is turned away: a code, the field at fault, what to do."""

    reason: str
    field: str | None
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A row with tokens in place of personal values, and its fault, None when it keeps the contract."""

    event: TransactionEvent
    fault: Fault | None


class Intake(Protocol):
    """Checks and tokenises rows; the originals go to the vault."""

    def prepare(self, rows: Sequence[Mapping[str, Any]]) -> list[Prepared]:
        """One answer a row, in order. Rows are logical rows with original keys and times in µs."""
        ...


def wall_clock() -> int:
    """Now, µs since 1970."""
    return time.time_ns() // 1_000


class MappedIntake:
    """The intake of a workspace under the mapping of its snapshot.

    Attributes that the mapping does not keep are left out, as ingest leaves them out. A source or target of a type
    that is not among `trained_types` is a fault here alone: the model in force has not met it.
    """

    def __init__(
        self,
        *,
        mapping: TableMapping,
        tokenizer: Tokenizer,
        vault: Vault,
        trained_types: Collection[str],
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._mapping = mapping
        self._trained_types = frozenset(trained_types)
        self._tokenizer = tokenizer
        self._vault = vault
        self._clock = clock

    def prepare(self, rows: Sequence[Mapping[str, Any]]) -> list[Prepared]:
        """See `Intake`."""
        table = pa.Table.from_pylist([self._arrow_row(row) for row in rows], schema=_NULLABLE)
        faults = Faults(len(rows))
        find_faults(table, faults, self._mapping, now=self._clock())
        protected = self._tokenizer.protect(table)
        if protected.originals.num_rows:
            self._vault.add(protected.originals)
        return [
            Prepared(event=_event(tokens, row), fault=_fault(faults, index) or self._untrained(row))
            for index, (tokens, row) in enumerate(zip(protected.table.to_pylist(), rows, strict=True))
        ]

    def _untrained(self, row: Mapping[str, Any]) -> Fault | None:
        for field in ("source_type", "target_type"):
            if row[field] not in self._trained_types:
                return Fault(
                    reason="party_type_untrained",
                    field=field,
                    remedy="Ingest transactions of that type and train again: `ringfence nightly`.",
                )
        return None

    def _arrow_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row as Arrow reads it; a time of arrival that was not said is the event's for the check."""
        kept = {key: value for key, value in (row.get("attributes") or {}).items() if key in self._mapping.attributes}
        known_at = row["event_time"] if row.get("known_at") is None else row["known_at"]
        return {**row, "known_at": known_at, "attributes": sorted(kept.items())}


def _event(tokens: dict[str, Any], row: Mapping[str, Any]) -> TransactionEvent:
    """The row with tokens; its times as the sender gave them."""
    times = {"event_time": row["event_time"], "known_at": row.get("known_at")}
    return TransactionEvent.from_row(tokens | times)


def _fault(faults: Faults, index: int) -> Fault | None:
    problem = faults.problems.get(index)
    return None if problem is None else Fault(reason=problem.reason, field=problem.field, remedy=problem.remedy)
