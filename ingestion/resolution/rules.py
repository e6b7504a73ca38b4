"""Which identifiers link entities: `[resolution]` of a mapping.

[resolution]
placeholders = ["unknown", "n/a"]     # replaces the shipped list

[[resolution.rules]]
name = "same_person"
entity = "account"                    # what is linked: a type of the source or the target
by = ["holder_name", "birth_date"]    # party types and attributes of the row; all of them must be there
normalize = { holder_name = "name", birth_date = "text" }    # or one word for all
max_entities = 20                     # more holders than that make the identifier a hub, which links nobody
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Normal = Literal["none", "text", "email", "name"]

#: Values that say that there is none, compared after `normalize.squeezed`. A run of one character is one as well.
PLACEHOLDERS = (
    "unknown",
    "n/a",
    "na",
    "none",
    "null",
    "nil",
    "nan",
    "empty",
    "missing",
    "undefined",
    "test",
    "dummy",
    "default",
    "anonymous",
    "other",
    "notavailable",
    "notprovided",
    "notapplicable",
    "noemail",
    "noreply",
    "donotreply",
    "tbd",
)
#: Attributes with this prefix are made by a rule when a row is read; no column of a table has such a name.
PREFIX = "link:"
#: What such an attribute says where the row has a placeholder, and so no identifier.
PLACEHOLDER = "placeholder"


class LinkRule(BaseModel):
    """Entities of a type that share an identifier are linked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    entity: str = Field(description="Type that is linked; the source or the target has it")
    by: tuple[str, ...] = Field(min_length=1, description="Party types and attributes; together they identify")
    normalize: Normal | dict[str, Normal] = Field("none", description="For all of `by`, or for each")
    role: Literal["source", "target"] | None = Field(
        None, description="Whose identifier it is; the source's if that has the type, else the target's"
    )
    max_entities: int = Field(20, ge=2, le=900, description="With more holders it is a hub")

    @model_validator(mode="after")
    def _known_parts(self) -> LinkRule:
        if len(set(self.by)) != len(self.by):
            raise ValueError(f"rule {self.name!r} names a part of `by` twice")
        if isinstance(self.normalize, dict) and (odd := sorted(set(self.normalize) - set(self.by))):
            raise ValueError(f"rule {self.name!r} normalizes {odd[0]!r}, which is not in its `by`")
        return self

    def normal(self, part: str) -> Normal:
        """How a part of `by` is normalized."""
        return self.normalize.get(part, "none") if isinstance(self.normalize, dict) else self.normalize

    @property
    def is_derived(self) -> bool:
        """Whether its identifier is made when a row is read; else the party or the attribute itself is it."""
        return len(self.by) > 1 or self.normal(self.by[0]) != "none"

    @property
    def attribute(self) -> str:
        """The attribute that carries a derived identifier, or the word that a row has a placeholder."""
        return PREFIX + self.name


class Resolution(BaseModel):
    """All rules of a mapping, and what is no identifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[LinkRule, ...] = ()
    placeholders: tuple[str, ...] = Field(PLACEHOLDERS, description="Values that never link")

    @model_validator(mode="after")
    def _names_once(self) -> Resolution:
        names = [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            raise ValueError("each of the rules needs a name of its own")
        return self

    def check(self, *, entities: set[str], parties: set[str], attributes: set[str]) -> None:
        """Raise `ValueError` for a rule that does not fit the mapping's types and attributes."""
        for rule in self.rules:
            if rule.entity not in entities:
                raise ValueError(f"rule {rule.name!r} links {rule.entity!r}, which is no type of source or target")
            if odd := [part for part in rule.by if part not in parties | attributes]:
                raise ValueError(f"rule {rule.name!r} needs {odd[0]!r}, which is no further party and no attribute")
            if odd := [part for part in rule.by if part in parties & attributes]:
                raise ValueError(f"rule {rule.name!r} names {odd[0]!r}, which is a party and an attribute")

    def reading(self) -> list[Any]:
        """What decides at reading: a lineage keeps to it, for rows at rest are not read again. JSON-ready."""
        rules = [[rule.name, [[part, rule.normal(part)] for part in rule.by]] for rule in self.rules]
        return [sorted(rules), sorted(self.placeholders) if self.rules else []]


NO_RULES = Resolution()
