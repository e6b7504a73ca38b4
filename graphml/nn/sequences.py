"""Packed event sequences, and the band of events that each event may look at.

Sequences of any lengths lie side by side without padding. Cut into pieces of the window's length, an event's window
lies within its own piece and the one before: a band costs two windows an event, however long the sequences are (three
when events look both ways).

Legend: L events of all sequences, W window, P pieces of W events, K = 2 W keys (3 W both ways), H width.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphml.torch_first import torch
from ingestion.contracts import MICROSECONDS_PER_HOUR


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """`sequence_L` int64, the number of each event's sequence, equal ones side by side; `time_L` int64 µs.

    Order within a sequence is what an event may see; times need not follow it (late events), gaps are 0 or more.
    """

    sequence_L: torch.Tensor
    time_L: torch.Tensor

    def __post_init__(self) -> None:
        if self.sequence_L.shape != self.time_L.shape or self.sequence_L.ndim != 1:
            raise ValueError(
                f"sequence_L has shape {tuple(self.sequence_L.shape)} and time_L {tuple(self.time_L.shape)}; give one "
                "number and one time an event."
            )

    def __len__(self) -> int:
        return len(self.sequence_L)

    def band(self, window: int, *, both_ways: bool = False) -> Band:
        """What each event may look at: the last `window` events of its own sequence, itself among them; `both_ways` as
        many on its other side too."""
        if window < 1:
            raise ValueError(f"window is {window}; it counts the event itself, so it is 1 or more.")
        own, time = pieces(self.sequence_L, window, fill=-1), pieces(self.time_L, window, fill=0)
        at = torch.arange((3 if both_ways else 2) * window, device=own.device)
        back = at[window : 2 * window, None] - at  # (W, K) events from a key to a query
        near = (back.abs() if both_ways else back.where(back >= 0, window)) < window
        keys = _around(time, both_ways=both_ways, fill=0)
        gap = gap_hours(time, keys)
        return Band(
            window=window,
            num_events=len(self),
            both_ways=both_ways,
            allowed_PWK=near & (own[:, :, None] == _around(own, both_ways=both_ways, fill=-2)[:, None, :]),
            gap_PWK=torch.maximum(gap, gap_hours(keys, time).transpose(1, 2)) if both_ways else gap,
        )


@dataclass(frozen=True, kw_only=True)
class Band:
    """`allowed_PWK` (P, W, K) whether a query of a piece sees a key of the pieces around; `gap_PWK` float32 hours
    between the two. Made once for all layers."""

    window: int
    num_events: int
    both_ways: bool
    allowed_PWK: torch.Tensor
    gap_PWK: torch.Tensor

    def queries(self, x_LH: torch.Tensor) -> torch.Tensor:
        """(L, H) -> (P, W, H)."""
        return pieces(x_LH, self.window, fill=0.0)

    def keys(self, x_LH: torch.Tensor) -> torch.Tensor:
        """(L, H) -> (P, K, H)."""
        return _around(pieces(x_LH, self.window, fill=0.0), both_ways=self.both_ways, fill=0.0)

    def events(self, x_PWH: torch.Tensor) -> torch.Tensor:
        """(P, W, H) -> (L, H)."""
        return x_PWH.flatten(0, 1)[: self.num_events]


def pieces(x_L: torch.Tensor, window: int, *, fill: float) -> torch.Tensor:
    """(L, …) -> (P, W, …), the last piece filled up.

    >>> pieces(torch.tensor([1, 2, 3]), 2, fill=-1).tolist()
    [[1, 2], [3, -1]]
    """
    missing = -len(x_L) % window
    if missing:
        x_L = torch.cat([x_L, x_L.new_full((missing, *x_L.shape[1:]), fill)])
    return x_L.unflatten(0, (-1, window))


def gap_hours(time: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
    """Hours, 0 or more, from each of `earlier` (…, K) to each of `time` (…, Q), µs: (…, Q, K) float32.

    >>> gap_hours(torch.tensor([7_200_000_000]), torch.tensor([0, 9_000_000_000])).tolist()
    [[2.0, 0.0]]
    """
    between = (time[..., :, None] - earlier[..., None, :]).clamp(min=0)
    return (between.double() / MICROSECONDS_PER_HOUR).float()


def _around(x_PW: torch.Tensor, *, both_ways: bool, fill: float) -> torch.Tensor:
    """(P, W, …) -> (P, K, …): the piece before, the piece itself and, both ways, the piece behind."""
    beyond = torch.full_like(x_PW[:1], fill)
    parts = [torch.cat([beyond, x_PW[:-1]]), x_PW]
    if both_ways:
        parts.append(torch.cat([x_PW[1:], beyond]))
    return torch.cat(parts, dim=1)
