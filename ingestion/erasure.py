"""Erasure of a party (GDPR article 17; DESIGN 4.1): its originals leave the vault for good, tokens stay.

Snapshots, graph, indexes and logs hold tokens alone, so the vault is all there is to erase. With the party go the
originals of personal attributes and of further parties (card, device, …) that occur in no transaction without it,
in rows in which it is the source. Erased tokens are remembered: the same table read again does not bring an original
back. A legal hold wins. What was erased, when and why is kept by token, never with the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from ingestion.contracts import PartyRef
from ingestion.errors import IngestionError, UsageError
from ingestion.mapping import Mapping
from ingestion.privacy import Tokenizer, is_token
from ingestion.snapshot import Snapshot
from ingestion.vault import Vault
from ingestion.workspace import Workspace

_COLUMNS = ["source_type", "source_key", "target_type", "target_key", "parties", "attributes"]


class ErasureRefused(IngestionError):
    """A legal hold forbids the erasure."""

    exit_code = 4


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What was erased: the party's token, the tokens that were tied to it, and how many originals are gone."""

    token: str
    tied: tuple[str, ...]
    num_originals: int


def erase(workspace: Workspace, party: PartyRef, *, reason: str) -> Erasure:
    """Erase a party, named by its original or its token. Idempotent.

    Raises `ErasureRefused` under a legal hold, `UsageError` for a party whose type is not personal, an empty reason
    or one that repeats the original, `RetryLater` when another process is reading the vault.
    """
    with workspace.lock(doing="the erasure"):
        snapshot = Snapshot.open(workspace)
        token = token_of(workspace, party)
        vault = Vault.of(workspace)
        original = vault.original(token)
        if not reason.strip():
            raise UsageError("An erasure needs a reason.", remedy="Give one with --reason.")
        if any(value and value in reason for value in (original, None if token == party.key else party.key)):
            raise UsageError("The reason repeats the original, and it is kept.", remedy="Give one without it.")
        if (hold := vault.hold_of(token)) is not None:
            raise ErasureRefused(
                f"{token} is under a legal hold ({hold}), so nothing was erased.",
                remedy="Lift the hold first: `ringfence data hold remove`.",
            )
        tied = tuple(sorted(_tied_to(snapshot, PartyRef(type=party.type, key=token))))
        free = [one for one in tied if vault.hold_of(one) is None]
        workspace.emptied_works()
        erased = vault.erase([token, *free], reason=reason)
    return Erasure(token=token, tied=tuple(free), num_originals=erased)


def token_of(workspace: Workspace, party: PartyRef) -> str:
    """The token of a personal party. Raises `UsageError` when its type is not personal in this workspace."""
    mapping = Mapping.model_validate(Snapshot.open(workspace).manifest["mapping"])
    resolved = Tokenizer.of(workspace, mapping).resolve(party)
    if not is_token(resolved.key, resolved.type):
        raise UsageError(
            f"{party.type} is not personal in this workspace, so the vault holds nothing of it.",
            remedy=f"Personal types: {', '.join(sorted(mapping.personal_types)) or 'none'}.",
        )
    return resolved.key


def _tied_to(snapshot: Snapshot, party: PartyRef) -> set[str]:
    """Tokens of attributes and further parties that occur with this source and in no row without the party."""
    mine: set[str] = set()
    others: set[str] = set()
    for row in _rows(snapshot):
        tokens = {value for name, value in row["attributes"] or () if is_token(value, name)}
        tokens |= {item["key"] for item in row["parties"] if is_token(item["key"], item["type"])}
        if (row["source_type"], row["source_key"]) == (party.type, party.key):
            mine |= tokens
        elif (row["target_type"], row["target_key"]) != (party.type, party.key):
            others |= tokens
    return mine - others - {party.key}


def _rows(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    for path in sorted((snapshot.path / "transactions").glob("*.parquet")):
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(65_536, columns=_COLUMNS):
                yield from batch.to_pylist()
