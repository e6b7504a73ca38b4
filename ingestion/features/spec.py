"""The feature spec: which features a snapshot has. It is part of the snapshot's id and of every model.

A spec is a TOML file of families. Each names streams: roles of the transaction (`source`, `target`, a further party
type, `*` for every role that the snapshot has), `pair` (source and target together), `source_in` (what the source
received) and `target_out` (what the target sent). The last two, and motifs, exist where a type of party occurs on both
ends. Every window is (t - width, t], t the event time of the scored transaction; label windows are cut by `known_at`.

Features come in two rounds: the second sees, for each transaction of the past, values of the first (`near`), and
whether the amount of a labelled transaction was unusual for its source (`unexplained` frauds).
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ingestion.errors import MappingError
from ingestion.features.kernels import ACTIVITY, LABELS, MONEY

EVENT_FEATURES = (
    "amount",  # major units of its own currency
    "is_weekend",  # Saturday or Sunday, UTC
    "is_night",  # hour <= 6, UTC, as in the Handbook
    "hour",
    "is_declined",
    "is_transfer",
    "is_refund",
    "is_authorisation",
)
UNITS = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
PAIR, SOURCE_IN, TARGET_OUT = "pair", "source_in", "target_out"
TWO_WAY = (SOURCE_IN, TARGET_OUT)
#: What the target received: the stream of scatter-gather.
TARGET_IN = "target_in"
#: Names of streams, which no further party type may have.
RESERVED_ROLES = ("source", "target", PAIR, SOURCE_IN, TARGET_OUT, TARGET_IN)
MOTIFS = ("cycle_2", "cycle_3", "cycle_4", "scatter_gather")
IS_UNUSUAL = "source_is_unusual"
#: Family -> the statistics that it may have.
STATISTICS: dict[str, tuple[str, ...]] = {
    "windows": (*ACTIVITY[:4], *MONEY[:7]),
    "history": (*ACTIVITY[4:8], *MONEY[7:]),
    "label_windows": LABELS[:5],
    "label_history": LABELS[5:14],
    "label_decays": LABELS[14:],
    "near": ("near",),
    "motifs": MOTIFS,
}
WINDOWED = ("windows", "label_windows", "label_decays", "near", "motifs")


@dataclass(frozen=True, kw_only=True)
class Family:
    """Statistics of some streams. `windows` are widths such as 1h or 30d (half-lives for `label_decays`); `of` names
    the features that `near` averages; `counts_self` includes the scored transaction in its own windows."""

    kind: str
    roles: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    counts_self: bool = True

    def __post_init__(self) -> None:
        for name in self.statistics:
            if name not in STATISTICS[self.kind]:
                known = ", ".join(STATISTICS[self.kind])
                raise MappingError(f"There is no statistic {name!r} of {self.kind}.", remedy=f"Known: {known}.")
        for width in self.windows:
            micros(width)
        if (self.kind in WINDOWED) != bool(self.windows):
            need = "needs `windows`" if self.kind in WINDOWED else "has no windows"
            raise MappingError(f"A family of {self.kind} {need}.", remedy='Write for example windows = ["1d", "7d"].')
        if (self.kind.startswith("label") or "unusual_share" in self.statistics) and set(self.roles) & set(TWO_WAY):
            raise MappingError(
                f"{', '.join(TWO_WAY)} have no labels and no unusual_share.", remedy="Name other roles for them."
            )
        if self.kind == "motifs" and self.roles:
            raise MappingError("Motifs have no `roles`.", remedy="Leave them out: they are of source and target.")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One feature: its name, family, stream (None for the event alone and motifs), statistic and window (or
    half-life) as text; `of` is the feature that `near` averages. `round` is 1 or 2."""

    name: str
    kind: str
    role: str | None
    statistic: str
    window: str | None = None
    of: str | None = None

    @property
    def round(self) -> int:
        """2 when it needs values of the first round."""
        return 2 if self.kind in ("near", "motifs") or "unexplained" in self.statistic else 1


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """Features of the event alone, then those of the families, in the order of the feature matrix."""

    name: str
    event: tuple[str, ...] = ()
    families: tuple[Family, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        for name in self.event:
            if name not in EVENT_FEATURES:
                known = ", ".join(EVENT_FEATURES)
                raise MappingError(f"There is no event feature {name!r}.", remedy=f"Known: {known}.")
        if "*" in self.roles:
            return
        names = self.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise MappingError(f"Feature spec {self.name!r} has {twice[0]!r} twice.", remedy="Name it once.")
        for role in self.roles:
            if len({family.counts_self for family in self.families if role in family.roles and _own(family)}) > 1:
                raise MappingError(f"Windows of {role!r} disagree on counts_self.", remedy="Set it alike.")
        for name in self.carried:
            if name not in names or self.column(name).round != 1:
                raise MappingError(f"`near` averages {name!r}, which is none.", remedy="Name a feature of round one.")
        if any("unexplained" in column.statistic for column in self.columns) and IS_UNUSUAL not in names:
            raise MappingError(
                "Unexplained frauds need the feature source_is_unusual.",
                remedy='Add it: [[history]] roles = ["source"], statistics = ["is_unusual"].',
            )

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Every feature, in order."""
        event = [Column(name=name, kind="event", role=None, statistic=name) for name in self.event]
        return (*event, *(column for family in self.families for column in _columns(family)))

    @cached_property
    def names(self) -> list[str]:
        """Column names of the feature matrix, in order."""
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        """One feature by name. Raises `KeyError`."""
        return next(column for column in self.columns if column.name == name)

    @property
    def roles(self) -> tuple[str, ...]:
        """Streams that need a history, in order of first mention."""
        return tuple(dict.fromkeys(role for family in self.families for role in family.roles))

    @property
    def carried(self) -> tuple[str, ...]:
        """Features of the first round that the second one sees."""
        return tuple(dict.fromkeys(name for family in self.families for name in family.of))

    @property
    def has_motifs(self) -> bool:
        """Whether lists of neighbors have to be kept."""
        return any(family.kind == "motifs" for family in self.families)

    def for_roles(self, roles: Sequence[str], *, two_way: bool = False) -> FeatureSpec:
        """The spec with `*` spelled out for a snapshot's roles, and what the snapshot cannot have left out.

        `two_way` says that some type of party occurs both as source and as target.
        """
        known = [*roles, PAIR, *(TWO_WAY if two_way else ())]
        families = []
        for family in self.families:
            if family.kind == "motifs" and not two_way:
                continue
            named = [role for name in family.roles for role in (roles if name == "*" else [name]) if role in known]
            if named or family.kind == "motifs":
                families.append(replace(family, roles=tuple(dict.fromkeys(named))))
        names = {column.name for family in families if family.kind != "near" for column in _columns(family)}
        names |= set(self.event)
        kept = [replace(family, of=tuple(name for name in family.of if name in names)) for family in families]
        return FeatureSpec(
            name=self.name,
            event=self.event,
            families=tuple(family for family in kept if family.kind != "near" or family.of),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a manifest; `from_dict` reads it back."""
        families = [
            {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(family).items()}
            for family in self.families
        ]
        return {"name": self.name, "event": list(self.event), "families": families}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureSpec:
        """Read what `as_dict` or a TOML file gave. Raises `MappingError` for unknown names."""
        items = [*data.get("families", [])]
        items += [{"kind": kind, **item} for kind in STATISTICS for item in data.get(kind, [])]
        if odd := sorted(set(data) - {"name", "event", "families", *STATISTICS}):
            known = ", ".join(STATISTICS)
            raise MappingError(f"The feature spec has an unknown key {odd[0]!r}.", remedy=f"Families: {known}.")
        if "name" not in data:
            raise MappingError("The feature spec lacks a `name`.", remedy="Add the key.")
        try:
            families = tuple(Family(**_frozen(item)) for item in items)
        except TypeError as error:
            raise MappingError(f"A family of the feature spec is refused: {error}.", remedy="Mend its keys.") from error
        return cls(name=data["name"], event=tuple(data.get("event", [])), families=families)


def load_spec(name_or_path: str) -> FeatureSpec:
    """A shipped spec by name (`default`, `handbook`) or a TOML file by path."""
    shipped = Path(__file__).with_name(f"{name_or_path}.toml")
    path = shipped if shipped.exists() else Path(name_or_path)
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in shipped.parent.glob("*.toml")))
        raise MappingError(f"There is no feature spec {name_or_path!r}.", remedy=f"Shipped: {known}; or give a file.")
    try:
        return FeatureSpec.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingError(f"{path.name} is not valid TOML: {error}.", remedy="Mend the file.") from error


def micros(width: str) -> int:
    """Microseconds of a width such as 30m, 1h or 7d. Raises `MappingError`.

    >>> micros("1h")
    3600000000
    """
    number, unit = width[:-1], width[-1:]
    if not number.isdigit() or int(number) == 0 or unit not in UNITS:
        raise MappingError(f"{width!r} is no window.", remedy="Write a whole number and m, h or d: 30m, 1h, 7d.")
    return int(number) * UNITS[unit]


def _frozen(item: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}


def _own(family: Family) -> bool:
    return family.kind in ("windows", "near")


def _columns(family: Family) -> list[Column]:
    """The features of a family: stream by stream, window by window."""
    found = []
    for role in family.roles or (None,):
        for window in family.windows or (None,):
            for statistic in family.statistics or ("near",):
                for of in family.of or (None,):
                    words = [role, statistic, of, window]
                    name = "_".join(word for word in words if word is not None)
                    found.append(
                        Column(name=name, kind=family.kind, role=role, statistic=statistic, window=window, of=of)
                    )
    return found
