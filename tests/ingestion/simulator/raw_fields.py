"""Features for the learnability tests: every raw field of single rows, and causal aggregates of neighbors."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.contracts import MICROSECONDS_PER_DAY

Floats = NDArray[np.float64]
IDS = ("transaction_id", "source_id", "target_id", "holder_name", "email", "card_number", "device_id", "ip_address")
WORDS = ("source_type", "target_type", "currency", "kind", "outcome", "channel", "merchant_category", "country")
ROLES = ("source_id", "target_id", "device_id", "ip_address")
WINDOWS = (MICROSECONDS_PER_DAY, 7 * MICROSECONDS_PER_DAY)


def in_sequence(table: pa.Table, *others: pa.Table) -> list[pa.Table]:
    """The table and others with the same rows, in the order of the sequence."""
    order = pc.sort_indices(
        table, [("known_at", "ascending"), ("event_time", "ascending"), ("transaction_id", "ascending")]
    )
    return [item.take(order) for item in (table, *others)]


def raw_matrix(table: pa.Table, train: int, *, memo_words: int = 50) -> Floats:
    """Every field of each row as numbers, (n, F): times and their parts, amount and its digits, codes of words,
    presence, lengths, hashed beginnings and ends of ids and whole ids, words of the memo (those that are most
    frequent in the first `train` rows).
    """
    time = table["event_time"].cast(pa.int64()).to_numpy()
    known = table["known_at"].cast(pa.int64()).to_numpy()
    amount = table["amount_minor"].to_numpy()
    second = time // 1_000_000
    columns: list[NDArray[np.generic]] = [
        time, known - time, second // 3_600 % 24, second // 86_400 % 7, second // 60 % 60, second % 60,
        time % 1_000_000, amount, amount % 100, amount % 500, amount % 1_000 == 0,
        table["refers_to"].is_valid().to_numpy(),
    ]  # fmt: skip
    for name in WORDS:
        words = table[name].fill_null("").to_pylist()
        columns += [np.array([word == other for word in words]) for other in sorted(set(words))]
    for name in IDS:
        values = table[name].fill_null("").to_pylist()
        columns.append(np.array([len(value) for value in values]))
        for part in (slice(0, 2), slice(0, 4), slice(0, 8), slice(-1, None), slice(-2, None), slice(None)):
            columns.append(_hashes([value[part] for value in values]))
    columns += _memo_columns(table["memo"].fill_null("").to_pylist(), train, memo_words)
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


def neighbor_matrix(table: pa.Table) -> Floats:
    """For each row and each party: count, mean amount and distinct counterparties of the party's earlier rows of
    the last day and week, (n, 24); NaN where there is no such party. Rows must be in the order of the sequence.
    """
    time = table["event_time"].cast(pa.int64()).to_pylist()
    amount = table["amount_minor"].to_pylist()
    source, target = table["source_id"].to_pylist(), table["target_id"].to_pylist()
    blocks = []
    for role in ROLES:
        party = table[role].to_pylist()
        partner = source if role != "source_id" else target
        blocks += [_window(time, amount, party, partner, window) for window in WINDOWS]
    return np.concatenate(blocks, axis=1)


def _window(time: list[int], amount: list[int], party: list[str | None], partner: list[str], window: int) -> Floats:
    out = np.full((len(time), 3), np.nan)
    queues: defaultdict[str, deque[tuple[int, int, str]]] = defaultdict(deque)
    sums: Counter[str] = Counter()
    partners: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row, key in enumerate(party):
        if key is None:
            continue
        queue, now = queues[key], time[row]
        while queue and queue[0][0] <= now - window:
            _, paid, who = queue.popleft()
            sums[key] -= paid
            partners[key][who] -= 1
            if not partners[key][who]:
                del partners[key][who]
        out[row] = len(queue), sums[key] / max(len(queue), 1), len(partners[key])
        queue.append((now, amount[row], partner[row]))
        sums[key] += amount[row]
        partners[key][partner[row]] += 1
    return out


def _hashes(values: list[str]) -> NDArray[np.int64]:
    """One number a value, the same for equal ones. It says nothing of how often or since when a value occurs, which
    would be history and not a field of the row.
    """
    codes = {value: zlib.crc32(value.encode()) for value in set(values)}
    return np.array([codes[value] for value in values])


def _memo_columns(memos: list[str], train: int, number: int) -> Iterable[NDArray[np.generic]]:
    split = [set(memo.lower().split()) for memo in memos]
    common = [word for word, _ in Counter(word for words in split[:train] for word in words).most_common(number)]
    yield np.array([len(memo) for memo in memos])
    yield np.array([sum(letter.isdigit() for letter in memo) for memo in memos])
    for word in common:
        yield np.array([word in words for words in split])
