"""Personal values become tokens: a keyed hash that is the same for the same value, and tells nothing.

`token = type + "_" + 32 hex digits of HMAC-SHA256(workspace key, type NUL value)`. The originals go to the vault
(`ingestion/vault.py`) alone. Card numbers are tokens whatever the mapping says, and free text is scrubbed of them.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.contracts import PARTY, PartyRef
from ingestion.mapping import Mapping
from ingestion.pan import FEW, pan_digits, scrub_array
from ingestion.resolution.identifiers import link_attributes, with_attributes
from ingestion.resolution.rules import NO_RULES, Resolution
from ingestion.workspace import Workspace

#: Stands for a personal value where a person only needs to know that there was one.
MASKED = "[personal]"
KEY_NAME = "token.key"
ORIGINALS = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("token", "type", "original")])

_TOKEN = re.compile(r"[a-z][a-z0-9_]*_[0-9a-f]{32}")
_CARD_KEY = r"^\s*\p{Nd}[\p{Nd}\s\-.]{11,40}\p{Nd}\s*$"


def is_token(key: str, type: str) -> bool:
    """Whether a key has the form of a token of this type.

    >>> is_token("account_" + "0" * 32, "account"), is_token("account-17", "account")
    (True, False)
    """
    return key.startswith(f"{type}_") and _TOKEN.fullmatch(key) is not None


@dataclass(frozen=True, kw_only=True)
class Protected:
    """Rows with tokens in place of personal values, and the originals for the vault (ORIGINALS, unique)."""

    table: pa.Table
    originals: pa.Table


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """Makes tokens for one workspace: its secret key, what its mapping calls personal, its rules of resolution."""

    key: str
    types: frozenset[str]
    attributes: frozenset[str]
    resolution: Resolution = NO_RULES

    def __repr__(self) -> str:
        return f"Tokenizer(types={sorted(self.types)}, attributes={sorted(self.attributes)})"

    @classmethod
    def of(cls, workspace: Workspace, mapping: Mapping) -> Tokenizer:
        """The tokenizer of a workspace and its mapping."""
        return cls(
            key=workspace.secret(KEY_NAME),
            types=mapping.personal_types,
            attributes=frozenset(mapping.personal.attributes),
            resolution=mapping.resolution,
        )

    def token(self, type: str, value: str) -> str:
        """The token of one value; a card number's separators do not matter."""
        plain = pan_digits(value) or value
        digest = hmac.digest(self.key.encode(), f"{type}\0{plain}".encode(), "sha256")
        return f"{type}_{digest.hex()[:32]}"

    def is_personal(self, type: str, value: str) -> bool:
        """Whether a party's key is replaced by a token."""
        return type in self.types or pan_digits(value) is not None

    def resolve(self, party: PartyRef) -> PartyRef:
        """The party as the snapshot knows it: an original of a personal type becomes its token, a token stays.

        For what a person asks. Data that comes in never goes this way: there a key that looks like a token is an
        original like any other.
        """
        if is_token(party.key, party.type) or not self.is_personal(party.type, party.key):
            return party
        return PartyRef(type=party.type, key=self.token(party.type, party.key))

    def protect(self, table: pa.Table) -> Protected:
        """Replace the personal values of rows of `contracts.TRANSACTION` and scrub their texts.

        What the rules of resolution make of the originals is added to the attributes.
        """
        links = link_attributes(table, self.resolution, self.token)
        originals: list[pa.Table] = []
        for role in ("source", "target"):
            keys = self._keys(_array(table, f"{role}_type"), _array(table, f"{role}_key"), originals)
            table = _replace(table, f"{role}_key", keys)
        parties = _array(table, "parties")
        types, keys = parties.flatten().flatten()
        fields = [PARTY.field(index) for index in range(PARTY.num_fields)]
        inner = pa.StructArray.from_arrays([types, self._keys(types, keys, originals)], fields=fields)
        table = _replace(table, "parties", _relist(parties, inner))
        attributes = self._attributes(_array(table, "attributes"), originals)
        table = _replace(table, "attributes", with_attributes(attributes, links))
        for name in ("channel", "memo"):
            table = _replace(table, name, scrub_array(_array(table, name)))
        found = pa.concat_tables([ORIGINALS.empty_table(), *originals])
        return Protected(table=table, originals=found.group_by(ORIGINALS.names).aggregate([]).cast(ORIGINALS))

    def protect_labels(self, labels: pa.Table) -> Protected:
        """Replace the keys of personal entities in labels (fields of `contracts.LABEL`), and scrub their texts."""
        originals: list[pa.Table] = []
        if labels.column("entity_key").null_count < labels.num_rows:
            keys = self._keys(_array(labels, "entity_type"), _array(labels, "entity_key"), originals)
            labels = _replace(labels, "entity_key", keys)
        for name in ("reviewer", "reason"):
            labels = _replace(labels, name, scrub_array(_array(labels, name)))
        found = pa.concat_tables([ORIGINALS.empty_table(), *originals])
        return Protected(table=labels, originals=found.group_by(ORIGINALS.names).aggregate([]).cast(ORIGINALS))

    def _keys(self, types: pa.Array, keys: pa.Array, originals: list[pa.Table]) -> pa.Array:
        """Party keys with tokens where they are personal; the originals are appended."""
        like_card = _like_card(keys)
        for type in pc.unique(types).to_pylist():
            mask = pc.equal(types, type)
            if type not in self.types:
                mask = pc.and_(mask, like_card)
                if pc.any(mask).as_py():
                    cards = pa.array([pan_digits(key) is not None for key in keys.filter(mask).to_pylist()])
                    mask = pc.replace_with_mask(mask, mask, cards)
            keys = self._replace_by_tokens(type, keys, mask, originals)
        return keys

    def _attributes(self, attributes: pa.Array, originals: list[pa.Table]) -> pa.Array:
        """Attributes with tokens where they are personal, and without card numbers elsewhere."""
        names, values = attributes.keys, attributes.items
        for name in pc.unique(names).to_pylist():
            mask = pc.equal(names, name)
            if name in self.attributes:
                values = self._replace_by_tokens(name, values, mask, originals)
            else:
                values = pc.replace_with_mask(values, mask, scrub_array(values.filter(mask)))
        return pa.MapArray.from_arrays(attributes.offsets, names, values)

    def _replace_by_tokens(self, type: str, values: pa.Array, mask: pa.Array, originals: list[pa.Table]) -> pa.Array:
        chosen = values.filter(mask).dictionary_encode()
        texts = chosen.dictionary.to_pylist()
        if not texts:
            return values
        tokens = pa.array([self.token(type, text) for text in texts], pa.string())
        kinds = pa.array([type] * len(texts), pa.string())
        originals.append(pa.Table.from_arrays([tokens, kinds, chosen.dictionary], schema=ORIGINALS))
        return pc.replace_with_mask(values, mask, tokens.take(chosen.indices))


def _like_card(keys: pa.Array) -> pa.Array:
    """Keys that may be card numbers; of few, those that are."""
    if len(keys) <= FEW:
        return pa.array([key is not None and pan_digits(key) is not None for key in keys.to_pylist()], pa.bool_())
    return pc.fill_null(pc.match_substring_regex(keys, _CARD_KEY), False)


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column


def _replace(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), values)


def _relist(lists: pa.ListArray, values: pa.Array) -> pa.ListArray:
    """Lists of the same lengths over new flat values."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, values, type=lists.type)
