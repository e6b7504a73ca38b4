"""What is asked about a decision, in words, and how an answer is read."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from ingestion.errors import UsageError
from ingestion.proposer.decision import Decision

#: Pattern of a key -> the question; `{0}` is what the pattern's group found.
_QUESTIONS: tuple[tuple[str, str], ...] = (
    (r"fields\.event_time", "Which column says when it happened?"),
    (r"fields\.known_at", "Which column says when the row arrived?"),
    (r".*\.zone", "In which time zone are these times?"),
    (r".*\.zone_column", "Which column names the time zone of each row?"),
    (r".*\.format", "How are these times written?"),
    (r"fields\.event_time\.unit", "How long is one step?"),
    (r"fields\.event_time\.start", "When was step 0?"),
    (r"fields\.transaction_id", "Which column names the transaction?"),
    (r"fields\.amount", "Which column is the amount?"),
    (r"fields\.amount\.unit", "Is the amount in minor units (cents) or decimal?"),
    (r"fields\.amount\.rounding", "What about digits that the currency has not?"),
    (r"fields\.amount\.sign", "What does a minus say?"),
    (r"fields\.currency", "Which column, or which ISO 4217 code, is the currency?"),
    (r"fields\.(\w+)\.values", "What do the values of the {0} mean?"),
    (r"fields\.(\w+)\.default", "What is the {0} where a value is not understood?"),
    (r"fields\.(\w+)", "Which column is the {0}?"),
    (r"source\.key", "Which column names who pays?"),
    (r"target\.key", "Which column names who is paid?"),
    (r"(source|target)\.type", "What is the {0}: account, customer, card, merchant, …?"),
    (r"parties\.(\w+)", "Which column names the {0}?"),
    (r"labels\[\d+\]\.column", "Which column says whether it was fraud?"),
    (r"labels\[\d+\]\.fraud", "Which values say fraud?"),
    (r"labels\[\d+\]\.legitimate", "Which values say legitimate?"),
    (r"labels\[\d+\]\.origin", "Who found out: chargeback, analyst or rule?"),
    (r"labels\[\d+\]\.delay_days", "How many days after the event is the label known?"),
    (r"labels\[\d+\]\.known_at", "Which column says when the label was known?"),
    (r"label_maturity_days", "After how many days does a row without a label count as legitimate?"),
    (r"attributes\.(.+)", "Keep column {0}?"),
    (r"dropped\.(.+)", "Keep column {0} out, because it comes from the outcome?"),
    (r"personal\.(.+)", "Is {0} personal?"),
    (r"(\w+)", "What is the {0} of the file?"),
)


def question_of(decision: Decision) -> str:
    """The question behind a decision.

    >>> item = Decision(key="attributes.MCC", choice=True, alternatives=(), confidence=0.5, reason="")
    >>> question_of(item)
    'Keep column MCC?'
    """
    for pattern, words in _QUESTIONS:
        if (found := re.fullmatch(pattern, decision.key, re.DOTALL)) is not None:
            return words.format(*found.groups())
    return f"{decision.key}?"


def parse_answers(given: list[str]) -> dict[str, Any]:
    """Answers of the form `key=value`. Raises `UsageError` for one without `=`.

    >>> parse_answers(["fields.currency=EUR", "labels[0].delay_days=30", "attributes.MCC=false", "fields.memo=none"])
    {'fields.currency': 'EUR', 'labels[0].delay_days': 30, 'attributes.MCC': False, 'fields.memo': None}
    """
    answers: dict[str, Any] = {}
    for item in given:
        key, mark, value = item.partition("=")
        if not mark or not key.strip():
            raise UsageError(
                f"{item!r} is no answer.", remedy="Write key=value, as in fields.event_time.zone=Europe/Paris."
            )
        answers[key.strip()] = parse_answer(key.strip(), value.strip())
    return answers


def parse_answer(key: str, value: str) -> Any:
    """An answer as a TOML value: `none` leaves the key out; lists and tables are TOML, all else is text."""
    if value.lower() == "none":
        return None
    if key.startswith(("attributes.", "dropped.", "personal.")):
        if value.lower() not in ("true", "false", "yes", "no", "y", "n"):
            raise UsageError(f"{value!r} is no answer to {key}.", remedy="Say true or false.")
        return value.lower() in ("true", "yes", "y")
    if key.endswith("_days"):
        if not value.isdigit():
            raise UsageError(f"{value!r} is no number of days.", remedy=f"Say {key}=7, for example.")
        return int(value)
    if value.startswith(("[", "{")):
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{value!r} is no TOML value: {error}.", remedy="Write it as in the mapping.") from error
    return value
