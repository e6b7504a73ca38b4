"""The feature spec: which features a snapshot has. It is part of the snapshot's id and of every model.

A family names a role of the transaction (`source`, `target`, a further party type, or `*` for every role that
the snapshot has), its windows in days and its statistics. Every window is (t - width, t], t the event time of
the scored transaction; label windows are cut by the label's `known_at`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingestion.errors import MappingError

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
WINDOW_STATISTICS = ("count", "amount_mean")
LABEL_STATISTICS = ("label_count", "fraud_rate")


@dataclass(frozen=True, kw_only=True)
class WindowFamily:
    """Statistics of one role's windows of `days`; `counts_self` includes the scored transaction."""

    role: str
    days: tuple[int, ...]
    statistics: tuple[str, ...]
    counts_self: bool = True

    def names(self) -> list[str]:
        """`<role>_<statistic>_<days>d`, windows first."""
        return [f"{self.role}_{statistic}_{days}d" for days in self.days for statistic in self.statistics]


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """Event features, transaction windows and label windows, in the order of the feature matrix."""

    name: str
    event: tuple[str, ...]
    windows: tuple[WindowFamily, ...]
    label_windows: tuple[WindowFamily, ...]

    def __post_init__(self) -> None:
        _only("event feature", self.event, EVENT_FEATURES)
        for family in self.windows:
            _only("window statistic", family.statistics, WINDOW_STATISTICS)
        for family in self.label_windows:
            _only("label statistic", family.statistics, LABEL_STATISTICS)
        for families in (self.windows, self.label_windows):
            roles = [family.role for family in families]
            if len(set(roles)) != len(roles):
                raise MappingError(f"Feature spec {self.name!r} names a role twice.", remedy="Join its windows.")

    @property
    def names(self) -> list[str]:
        """Column names of the feature matrix, in order."""
        return list(self.event) + [name for family in self.windows + self.label_windows for name in family.names()]

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that need a history, in order of first mention."""
        return tuple(dict.fromkeys(family.role for family in self.windows + self.label_windows))

    def family(self, role: str) -> tuple[WindowFamily | None, WindowFamily | None]:
        """The transaction windows and the label windows of a role."""
        find = lambda families: next((family for family in families if family.role == role), None)  # noqa: E731
        return find(self.windows), find(self.label_windows)

    def for_roles(self, roles: Sequence[str]) -> FeatureSpec:
        """The spec with `*` spelled out for a snapshot's roles, and families of absent roles left out."""
        expand = lambda families: tuple(  # noqa: E731
            WindowFamily(**(asdict(family) | {"role": role}))
            for family in families
            for role in (roles if family.role == "*" else [family.role])
            if role in roles
        )
        return FeatureSpec(
            name=self.name, event=self.event, windows=expand(self.windows), label_windows=expand(self.label_windows)
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a manifest; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureSpec:
        """Read what `as_dict` or a TOML file gave. Raises `MappingError` for unknown names."""
        families = lambda key: tuple(  # noqa: E731
            WindowFamily(
                role=item["role"],
                days=tuple(item["days"]),
                statistics=tuple(item["statistics"]),
                counts_self=item.get("counts_self", True),
            )
            for item in data.get(key, [])
        )
        try:
            return cls(
                name=data["name"],
                event=tuple(data.get("event", [])),
                windows=families("windows"),
                label_windows=families("label_windows"),
            )
        except KeyError as error:
            raise MappingError(f"The feature spec lacks {error}.", remedy="Add the key.") from error


def load_spec(name_or_path: str) -> FeatureSpec:
    """A shipped spec by name (`default`, `handbook`) or a TOML file by path."""
    shipped = Path(__file__).with_name(f"{name_or_path}.toml")
    path = shipped if shipped.exists() else Path(name_or_path)
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in shipped.parent.glob("*.toml")))
        raise MappingError(f"There is no feature spec {name_or_path!r}.", remedy=f"Shipped: {known}; or give a file.")
    with path.open("rb") as file:
        return FeatureSpec.from_dict(tomllib.load(file))


def _only(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise MappingError(f"{name!r} is not a {what}.", remedy=f"Known: {', '.join(known)}.")
