"""Random numbers: one independent stream a part, so that a change in one part leaves the others as they were."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of the part called `name`; the same for equal arguments, in every process."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


def pick(rng: np.random.Generator, cumulative: Floats, size: int) -> Ints:
    """`size` indices drawn with replacement; `cumulative` holds running sums of the weights.

    >>> pick(np.random.default_rng(0), np.array([0.0, 5.0, 5.0]), 3).tolist()
    [1, 1, 1]
    """
    return np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right").astype(np.int64)


def zipf_weights(size: int, exponent: float) -> Floats:
    """Weights 1 / rank ** exponent, (size,).

    >>> zipf_weights(3, 1.0).round(2).tolist()
    [1.0, 0.5, 0.33]
    """
    return np.arange(1, size + 1, dtype=np.float64) ** -exponent


def shares_of(total: int, shares: dict[str, float]) -> dict[str, int]:
    """Split a whole number by shares, largest remainders first, so that the parts sum to `total`.

    >>> shares_of(10, {"a": 1, "b": 1, "c": 1})
    {'a': 4, 'b': 3, 'c': 3}
    """
    weight = sum(shares.values())
    exact = {name: total * share / weight for name, share in shares.items()}
    parts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: parts[name] - exact[name])
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    return parts
