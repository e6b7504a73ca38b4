"""A proposal as a TOML file: every line says how sure it is and why, and what is asked is marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ingestion.proposer.decision import Decision
from ingestion.proposer.proposal import Proposal

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_KEYS = ("label_maturity_days", "delimiter", "encoding", "decimal", "thousands")


def render_toml(proposal: Proposal) -> str:
    """The mapping as TOML. What is asked is marked `ASK`; read back it is `proposal.mapping()`."""
    return "\n".join(_lines(proposal)) + "\n"


def _lines(proposal: Proposal) -> Iterator[str]:
    decisions, values = proposal.decisions, proposal.values()
    yield f"# Proposed by `ringfence data mapping init` from {proposal.num_sampled:,} rows of {_line(proposal.source)}."
    yield "# Each line says how sure it is (0 to 1) and why. Look at the lines marked ASK,"
    yield f"# then: ringfence data mapping check {_line(proposal.source)} --mapping this file"
    yield f"name = {_value(proposal.name)}"
    for key in _PLAIN_KEYS:
        if key in values:
            yield f"{key} = {_value(values[key])}{_comment(decisions.get(key))}"
    yield from _column_list("attributes", proposal)
    yield from _column_list("dropped", proposal)
    yield from _left_out(proposal)
    yield from _fields(values["fields"], decisions)
    for side in ("source", "target"):
        yield from ("", f"[{side}]")
        for part in ("type", "key"):
            yield f"{part} = {_value(values[side][part])}{_comment(decisions.get(f'{side}.{part}'))}"
    for party in values["parties"]:
        yield from ("", "[[parties]]", f"type = {_value(party['type'])}")
        yield f"key = {_value(party['key'])}{_comment(decisions.get('parties.' + party['type']))}"
    yield from ("", "[personal]", "types = [")
    for kind in values["personal"]["types"]:
        yield f"    {_value(kind)},{_comment(decisions.get(f'personal.{kind}'))}"
    yield "]"
    yield from _labels(values["labels"], decisions)


def _column_list(key: str, proposal: Proposal) -> Iterator[str]:
    columns = proposal.values()[key]
    if not columns:
        return
    yield f"{key} = ["
    for column in columns:
        yield f"    {_value(column)},{_comment(proposal.decisions[f'{key}.{column}'])}"
    yield "]"


def _left_out(proposal: Proposal) -> Iterator[str]:
    """Columns and keys that were looked at and left out, as comments."""
    for item in proposal.decisions.values():
        if item.choice is None or item.choice is False:
            yield f"# left out: {_line(item.key)}{_comment(item)}"


def _fields(fields: dict[str, Any], decisions: dict[str, Decision]) -> Iterator[str]:
    yield from ("", "[fields]")
    for name, field in fields.items():
        if set(field) == {"column"}:
            yield f"{name} = {_value(field['column'])}{_comment(decisions.get(f'fields.{name}'))}"
        elif len(field) == 1:
            yield f"{name} = {_value(field)}{_comment(decisions.get(f'fields.{name}'))}"
    for name, field in fields.items():
        if len(field) > 1:
            yield from _table(f"fields.{name}", field, f"fields.{name}", decisions)


def _table(header: str, parts: dict[str, Any], key: str, decisions: dict[str, Decision]) -> Iterator[str]:
    """A table with a line for each part; its column is what the decision `key` chose."""
    yield from ("", f"[{header}]")
    for part, value in parts.items():
        decision = decisions.get(key if part in ("column", "columns", "expression") else f"{key}.{part}")
        yield f"{part} = {_value(value)}{_comment(decision)}"


def _labels(labels: list[dict[str, Any]], decisions: dict[str, Decision]) -> Iterator[str]:
    places = [key.split(".")[0] for key, item in decisions.items() if key.endswith("].column") and item.choice]
    for place, label in zip(places, labels, strict=True):
        yield from ("", "[[labels]]")
        for part, value in label.items():
            yield f"{part} = {_value(value)}{_comment(decisions.get(f'{place}.{part}'))}"
            if part == "known_at":
                for more in (f"{place}.known_at.{name}" for name in value if name != "column"):
                    yield f"#   {more.rsplit('.', 1)[1]}:{_comment(decisions.get(more))}"


def _comment(decision: Decision | None) -> str:
    if decision is None:
        return ""
    told = f"  # {'ASK ' if decision.asks else ''}{decision.confidence:.2f}: {_line(decision.reason)}"
    if decision.asks and (others := [_short(other) for other in decision.alternatives if other is not None]):
        told += f"; or {', '.join(others)}"
    return told


def _short(value: Any) -> str:
    text = value["expression"] if isinstance(value, dict) and "expression" in value else value
    return _line(" + ".join(text) if isinstance(text, list) else str(text))


def _line(text: str) -> str:
    """A text that may stand in a comment: a name of a column cannot end it."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:160]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"{{ {_pairs(value)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    return str(value) if isinstance(value, int | float) else _text(value)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name if _BARE.fullmatch(name) else _text(name)} = {_value(item)}" for name, item in values.items()
    )


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
