"""A proposal: the decisions on every key of a mapping, and the mapping that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ingestion.contracts import KINDS
from ingestion.errors import MappingError
from ingestion.mapping import Mapping
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.proposer import amounts, codes, ids, labels, leftovers, moments, parties
from ingestion.proposer.decision import Decision, Draft
from ingestion.proposer.sample import Sample, take_sample
from ingestion.proposer.words import fold

_LABEL = re.compile(r"labels\[(\d+)\]\.(.+)")


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """`name` of the mapping, `decisions` by key in the order they were made, `columns` of the table."""

    name: str
    source: str
    num_sampled: int
    columns: tuple[str, ...]
    decisions: dict[str, Decision]

    @property
    def questions(self) -> list[Decision]:
        """Decisions that a person should look at, the least sure first."""
        return sorted((item for item in self.decisions.values() if item.asks), key=lambda item: item.confidence)

    def asks_about(self, key: str) -> bool:
        """Whether a key of `differences.differing_keys` is among the questions."""
        labels = {item.choice: name.split(".")[0] for name, item in self.decisions.items() if name.endswith("].column")}
        parts = key.split(".")
        if parts[0] == "labels":
            key = ".".join([labels.get(parts[1], f"labels.{parts[1]}"), *parts[2:]])
        parties = {item.choice: name for name, item in self.decisions.items() if name.startswith("parties.")}
        if parts[0] == "parties":
            key = parties.get(".".join(parts[1:]), f"attributes.{'.'.join(parts[1:])}")
        return any(item.key == key or key.startswith(f"{item.key}.") for item in self.questions)

    def values(self) -> dict[str, Any]:
        """The mapping as plain data, as its TOML would be read."""
        return mapping_values(self.name, {key: item.choice for key, item in self.decisions.items()})

    def mapping(self) -> Mapping:
        """The mapping. Raises `MappingError` when the decisions do not make one."""
        try:
            return Mapping.model_validate(self.values())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            told = ", ".join(item.key for item in self.questions)
            raise MappingError(
                f"No mapping can be made of {self.source} yet: {where}: {first['msg'].removeprefix('Value error, ')}.",
                remedy=f"Answer what is open: {told or 'nothing is'}.",
            ) from error

    def as_dict(self) -> dict[str, Any]:
        """Plain data, JSON-ready."""
        return {
            "name": self.name,
            "source": self.source,
            "rows_sampled": self.num_sampled,
            "decisions": [item.as_dict() for item in self.decisions.values()],
            "questions": [item.key for item in self.questions],
        }


def propose_mapping(source: Path, *, answers: Dictionary[str, Any] | None = None) -> Proposal:
    """Propose a mapping for a file. Raises `DataContractError` when it cannot be read, `UsageError` for an odd key."""
    return propose(take_sample(source), answers=answers)


def propose(sample: Sample, *, answers: Dictionary[str, Any] | None = None) -> Proposal:
    """Propose a mapping for a sample; `answers` (key -> value) settle what they name."""
    draft = Draft(answers=dict(answers or {}))
    _decide_writing(sample, draft)
    moments.decide_times(sample, draft)
    ids.decide_id(sample, draft)
    amount = amounts.decide_amount(sample, draft)
    codes.decide_currency(sample, draft, amount)
    amounts.decide_unit(sample, draft, amount)
    labels.decide_labels(sample, draft)
    ids.decide_refers(sample, draft)
    codes.decide_outcome(sample, draft)
    parties.decide_parties(sample, draft)
    _decide_kind(sample, draft)
    codes.decide_channel(sample, draft)
    leftovers.decide_leftovers(sample, draft)
    _decide_personal(draft)
    draft.check_answers()
    return Proposal(
        name=name_of(sample.name),
        source=sample.name,
        num_sampled=sample.table.num_rows,
        columns=tuple(sample.looks),
        decisions=draft.decisions,
    )


def name_of(file: str) -> str:
    """A mapping's name from that of a file.

    >>> name_of("Export März 2024.csv")
    'export-marz-2024'
    """
    plain = re.sub(r"[^a-z0-9]+", "-", fold(Path(file).stem)).strip("-")
    return plain or "table"


def _decide_writing(sample: Sample, draft: Draft) -> None:
    written = sample.written
    if written.delimiter != "," or written.rivals:
        score = 0.5 if written.rivals else 0.97
        draft.say("delimiter", written.delimiter, score, "cuts every line into as many columns", others=written.rivals)
    if written.encoding != "utf-8":
        told = "the file is no UTF-8; read so, its letters make sense"
        draft.say("encoding", written.encoding, 0.8, told, others=["latin-1", "cp1252"])
    score, doubt = (0.5, "; or it stands before a fraction of three digits") if written.groups_guessed else (0.95, "")
    if written.numbers.decimal != ".":
        draft.say("decimal", written.numbers.decimal, score, f"before the fraction of the numbers{doubt}", others=["."])
    if written.numbers.thousands:
        told = f"between the groups of the numbers{doubt}"
        draft.say("thousands", written.numbers.thousands, score, told, others=[None])


def _decide_kind(sample: Sample, draft: Draft) -> None:
    source, target = (draft.decisions.get(f"{side}.type") for side in ("source", "target"))
    to_shop = target is not None and target.choice in ("merchant", "terminal")
    same = source is not None and target is not None and target.choice in ("account", "wallet", "customer")
    usual = "payment" if to_shop or not same else "transfer"
    told = f"who is paid: {target.choice}" if target is not None and isinstance(target.choice, str) else ""
    codes.decide_kind(sample, draft, usual=usual, why=told or "types differ by row")


def _decide_personal(draft: Draft) -> None:
    for kind in sorted(_types(draft)):
        personal = kind in parties.PERSONAL_TYPES or kind.split("_")[-1] in parties.PERSONAL_TYPES
        told = "names a person, or leads to one" if personal else "names a thing"
        draft.say(f"personal.{kind}", personal, 0.85, told, others=[not personal])


def _types(draft: Draft) -> set[str]:
    found = {
        key.removeprefix("parties.")
        for key, item in draft.decisions.items()
        if key.startswith("parties.") and item.choice
    }
    for side in ("source", "target"):
        kind = draft.decisions[f"{side}.type"].choice
        found |= {kind} if isinstance(kind, str) else set(kind["allowed"])
    return found


def mapping_values(name: str, choices: Dictionary[str, Any]) -> dict[str, Any]:
    """Choices by key as the tree of a mapping."""
    values: dict[str, Any] = {"name": name}
    for key in ("label_maturity_days", "delimiter", "encoding", "decimal", "thousands"):
        if choices.get(key) is not None:
            values[key] = choices[key]
    values["attributes"] = [
        key.removeprefix("attributes.") for key, on in choices.items() if key.startswith("attributes.") and on
    ]
    values["dropped"] = [
        key.removeprefix("dropped.") for key, on in choices.items() if key.startswith("dropped.") and on
    ]
    values["fields"] = _fields(choices)
    for side in ("source", "target"):
        values[side] = {"type": choices[f"{side}.type"], "key": choices[f"{side}.key"]}
    values["parties"] = [
        {"type": key.removeprefix("parties."), "key": column}
        for key, column in choices.items()
        if key.startswith("parties.") and column is not None
    ]
    values["personal"] = {
        "types": [key.removeprefix("personal.") for key, on in choices.items() if key.startswith("personal.") and on]
    }
    values["labels"] = _labels(choices)
    return values


def _fields(choices: Dictionary[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, choice in choices.items():
        parts = key.split(".")
        if parts[0] != "fields" or len(parts) != 2 or choice is None:
            continue
        more = {k.split(".")[2]: v for k, v in choices.items() if k.startswith(f"{key}.") and v is not None}
        fields[parts[1]] = _field(parts[1], choice, more)
    return fields


def _field(name: str, choice: Any, more: dict[str, Any]) -> dict[str, Any]:
    if isinstance(choice, dict):
        return choice | more
    if isinstance(choice, list):
        return {"columns": choice} | more
    if _is_constant(name, choice, more):
        return {"constant": choice}
    return {"column": choice} | more


def _is_constant(name: str, choice: str, more: dict[str, Any]) -> bool:
    """Kinds and currencies are constants when they are values of the contract and no column is read for them."""
    return not more and ((name == "kind" and choice in KINDS) or (name == "currency" and choice in CURRENCY_EXPONENTS))


def _labels(choices: Dictionary[str, Any]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for key, choice in choices.items():
        if (matched := _LABEL.fullmatch(key)) is None or choice is None:
            continue
        source = found.setdefault(int(matched.group(1)), {"kind": "column"})
        parts = matched.group(2).split(".")
        if len(parts) == 1:
            source[parts[0]] = {"column": choice} if parts[0] == "known_at" else choice
        else:
            source[parts[0]][parts[1]] = choice
    return [source for _, source in sorted(found.items()) if "column" in source]
