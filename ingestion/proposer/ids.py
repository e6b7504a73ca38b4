"""Which transaction a row is, and which one it refers to."""

from __future__ import annotations

import json
import keyword

import pyarrow.compute as pc

from ingestion.proposer.column_look import ColumnLook
from ingestion.proposer.decision import Draft, Option
from ingestion.proposer.sample import Sample
from ingestion.proposer.words import says

#: Columns that an id is made of at most.
_MOST_HASHED = 12


def decide_id(sample: Sample, draft: Draft) -> None:
    """Decide `fields.transaction_id`: a unique column, else the place of the row in its file."""
    places = {name: place for place, name in enumerate(sample.looks)}
    options = [
        Option(value=look.name, score=_score(look, places[look.name]), reason="different in every row of the sample")
        for look in sample.looks.values()
        if look.is_unique and not look.decimals and look.name not in draft.used
    ]
    options += _made(sample, score=0.3 if options else 0.5)
    chosen = draft.decide("fields.transaction_id", options)
    if isinstance(chosen, str):
        draft.use(chosen, "transaction_id")


def _made(sample: Sample, *, score: float) -> list[Option]:
    """Ids that are made: of what the row says, where no two rows say the same; of its file and line otherwise."""
    found = []
    names = [name for name in sample.looks if not says(name, "label")][:_MOST_HASHED]
    if _all_differ(sample, names):
        told = f"no column is different in every row, but these {len(names)} together are"
        found.append(Option(value={"expression": f"hash({', '.join(map(_named, names))})"}, score=score, reason=told))
    told = "no column is different in every row: file and line name a row, so hand the same file over once"
    rows = {"expression": "concat(file_name(), '-', row_number())"}
    return [*found, Option(value=rows, score=score - 0.1 if found else score, reason=told)]


def _all_differ(sample: Sample, names: list[str]) -> bool:
    if not names:
        return False
    together = pc.binary_join_element_wise(
        *(sample.looks[name].texts for name in names), "\x1f", null_handling="replace", null_replacement=""
    )
    return len(together) == pc.count_distinct(together).as_py() > 1


def _named(column: str) -> str:
    """A column as an expression names it."""
    plain = column.isidentifier() and not column.startswith("__") and not keyword.iskeyword(column)
    return column if plain and column not in ("true", "false") else f"column({json.dumps(column, ensure_ascii=False)})"


def _score(look: ColumnLook, place: int) -> float:
    score = 0.5 + 0.2 * says(look.name, "transaction") + 0.12 * says(look.name, "id")
    score += 0.12 if place == 0 else 0.04 if place < 3 else 0.0
    if look.time is not None:
        score -= 0.3
    if any(says(look.name, other) for other in ("source", "target", "refers")):
        score -= 0.45
    return score - (0.2 * says(look.name, "amount") if look.is_number and not says(look.name, "id") else 0.0)


def decide_refers(sample: Sample, draft: Draft) -> None:
    """Decide `fields.refers_to`: a column whose values are ids of other rows."""
    chosen = draft.decisions["fields.transaction_id"].choice
    if not isinstance(chosen, str) or chosen not in sample.looks:
        return
    ids = sample.looks[chosen].texts
    options = []
    for look in sample.looks.values():
        if look.name in draft.used or look.distinct == 0 or look.fill > 0.9:
            continue
        inside = pc.mean(pc.is_in(look.texts.drop_null(), value_set=ids).cast("float64")).as_py()
        named = says(look.name, "refers")
        if inside >= 0.5 or (named and inside > 0.02):
            score = 0.45 + 0.4 * inside + 0.15 * named
            options.append(
                Option(value=look.name, score=score, reason=f"{inside:.0%} of its values are ids of other rows")
            )
    if options:
        found = draft.decide("fields.refers_to", [*options, Option(value=None, score=0.1, reason="")])
        if found is not None:
            draft.use(found, "refers_to")
