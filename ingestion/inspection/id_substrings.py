"""Check 4: parts of an id that tell the class: prefix, suffix, length, form, or a range of its number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.inspection.finding import Finding
from ingestion.inspection.regions import Region, best_threshold, measure
from ingestion.inspection.statistics import discoveries
from ingestion.inspection.table import Bools, Column, InspectedTable, Ints, form_of

#: Prefixes and suffixes of up to so many signs are looked at.
LONGEST_PART = 4


def find(table: InspectedTable) -> list[Finding]:
    """Findings on every id, party key and other name, mapped or not."""
    rng = np.random.default_rng(0)
    candidates: list[tuple[float, tuple[Column, str, Bools, Region] | None]] = []
    for column in table.columns.values():
        if column.kind != "identifier" or column.values is None or column.field == "refers_to":
            continue
        if column.name == table.label_column or column.num_values < 2:
            continue
        half_of_ids = rng.permutation(column.num_values) < column.num_values // 2
        half = np.append(half_of_ids, False)[_codes(column)]
        for said, chosen in _parts(table, column, half):
            region = measure(table, chosen, among=half, ids=_codes(column))
            found = (column, said, chosen, region) if region.separates else None
            candidates.append((region.p_value, found))
    best: dict[str, tuple[Column, str, Bools, Region]] = {}
    for found in discoveries(candidates):
        if found is not None and (found[0].name not in best or found[3].recall > best[found[0].name][3].recall + 0.01):
            best[found[0].name] = found
    return [_finding(table, *found) for found in best.values()]


def _codes(column: Column) -> Ints:
    assert column.codes is not None
    return column.codes


def _parts(table: InspectedTable, column: Column, half: Bools) -> Iterator[tuple[str, Bools]]:
    """Rows that a part of the id picks, chosen on the ids that are not in `half`."""
    assert column.values is not None
    codes = _codes(column)
    chosen_on = table.known & ~half & column.filled
    ids, size = codes[chosen_on], column.num_values
    rows = np.bincount(ids, minlength=size)
    frauds = np.bincount(ids[table.fraud[chosen_on]], minlength=size)
    for said, part in _features(column.values):
        place = pc.fill_null(part.indices, 0).to_numpy(zero_copy_only=False)
        number = len(part.dictionary)
        part_rows = np.bincount(place, rows, number)
        part_frauds = np.bincount(place, frauds, number)
        telling = (part_frauds >= 2) & (part_frauds >= 0.5 * part_rows)
        if telling.any():
            names = [str(part.dictionary[index].as_py()) for index in np.flatnonzero(telling)[:5].tolist()]
            names = [form_of(name) for name in names] if column.personal else names
            yield f"{said} {', '.join(names)}", np.append(telling[place], False)[codes]
    yield from _ranges(table, column, chosen_on)


def _features(values: pa.Array) -> Iterator[tuple[str, pa.DictionaryArray]]:
    for length in range(1, LONGEST_PART + 1):
        yield "begins with", pc.utf8_slice_codeunits(values, 0, length).dictionary_encode()
        yield "ends with", pc.utf8_slice_codeunits(values, -length).dictionary_encode()
    yield "has the length", pc.utf8_length(values).dictionary_encode()
    form = pc.replace_substring_regex(values, r"[0-9]+", "9")
    form = pc.replace_substring_regex(form, r"[A-Z]+", "A")
    yield "has the form", pc.replace_substring_regex(form, r"[a-z]+", "a").dictionary_encode()


def _ranges(table: InspectedTable, column: Column, chosen_on: Bools) -> Iterator[tuple[str, Bools]]:
    """Ranges of the number in an id of digits, or of a prefix and digits."""
    assert column.values is not None
    digits = pc.replace_substring_regex(column.values, r"^\D*(\d{1,15})$", r"\1")
    is_number = pc.match_substring_regex(digits, r"^\d{1,15}$")
    if not pc.any(is_number).as_py():
        return
    numbers = pc.fill_null(pc.if_else(is_number, digits, None).cast(pa.float64()), np.nan)
    of_row = np.append(numbers.to_numpy(zero_copy_only=False), np.nan)[_codes(column)]
    there = ~np.isnan(of_row)
    for upper in (True, False):
        cut = best_threshold(of_row[chosen_on & there], table.fraud[chosen_on & there], upper=upper)
        if cut is not None:
            with np.errstate(invalid="ignore"):
                yield (
                    f"has a number {'above' if upper else 'up to'} {cut:.0f}",
                    there & (of_row > cut if upper else of_row <= cut),
                )


def _finding(table: InspectedTable, column: Column, said: str, chosen: Bools, region: Region) -> Finding:
    whole = measure(table, chosen, ids=_codes(column))
    return Finding(
        check="id_substrings",
        severity="serious",
        columns=(column.name,),
        what=(
            f"{column.name} that {said}: {whole.precision:.1%} of {whole.rows:,} rows are fraud, "
            f"{whole.recall:.1%} of all frauds, over ids that share nothing else."
        ),
        to_do=(
            f"Find out who gives out {column.name}: ids that are given after the outcome, or by how a row came into "
            f"the table, must be replaced (mapping: hash them) and never become a feature."
        ),
        evidence=whole.evidence()
        | {"rule": said, "measured_on_other_ids": region.evidence(), "examples": _examples(table, column, chosen)},
    )


def _examples(table: InspectedTable, column: Column, chosen: Bools) -> list[dict[str, str | None]]:
    return table.examples(chosen & table.fraud, (column.name,))
