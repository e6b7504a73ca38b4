"""Where labels come from: columns of the table, or files beside it, each with its own clock and its own words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ingestion.mapping_fields import Condition, Part, PartyType, Text, TextField, Time, TimeField

END_OF_DATA = "end_of_data"
Origin = Literal["analyst", "chargeback", "rule"]


def _time_or_end(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) and value != END_OF_DATA else value


KnownAt = Annotated[TimeField | Literal["end_of_data"], BeforeValidator(_time_or_end)]


class LabelColumn(Part):
    """A label in the table itself, known `delay_days` after the event for both classes alike, or at `known_at`."""

    kind: Literal["column"]
    column: str
    fraud: tuple[str, ...] = ("1", "true", "True")
    legitimate: tuple[str, ...] = ("0", "false", "False")
    delay_days: int | None = Field(None, ge=0)
    known_at: Time | None = None
    origin: Origin = "chargeback"
    for_training: bool = True

    @model_validator(mode="after")
    def _one_clock(self) -> LabelColumn:
        if (self.delay_days is None) == (self.known_at is None):
            raise ValueError("say when the label is known: either `delay_days` or `known_at`")
        return self

    @property
    def read_columns(self) -> tuple[str, ...]:
        """Columns of the transaction table that it is read from."""
        return (self.column, *(self.known_at.read_columns if self.known_at is not None else ()))


class LabeledEntity(Part):
    """The entity that a file of labels speaks of."""

    type: PartyType
    key: str


class LabelFile(Part):
    """A file of labels beside the transactions: of transactions, or of entities.

    `known_at` is a time of its own, or `end_of_data`: not known before the data ends. Labels of transactions may be
    known `delay_days` after the event instead.
    """

    kind: Literal["file"]
    file: str = Field(description="Name of the file in the folder of the transactions")
    optional: bool = True
    keep: Condition | None = Field(None, description="Rows of the file that are of this source")
    transaction_id: str = "transaction_id"
    entity: LabeledEntity | None = None
    label: Text = TextField(column="label")
    fraud: tuple[str, ...] = ("fraud",)
    legitimate: tuple[str, ...] = ("legitimate",)
    known_at: KnownAt | None = None
    delay_days: int | None = Field(None, ge=0)
    origin: Text = TextField(column="origin")
    reviewer: str | None = None
    reason: str | None = None
    for_training: bool = True

    @model_validator(mode="before")
    @classmethod
    def _usual_clock(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("known_at") is None and given.get("delay_days") is None:
            return given | {"known_at": "known_at"}
        return given

    @model_validator(mode="after")
    def _one_clock(self) -> LabelFile:
        if self.known_at is not None and self.delay_days is not None:
            raise ValueError("say when the label is known: either `delay_days` or `known_at`")
        if self.entity is not None and self.delay_days is not None:
            raise ValueError('an entity has no event to count days from: give `known_at`, a time or "end_of_data"')
        return self

    @property
    def subject(self) -> dict[str, str]:
        """Field that says what is labeled -> its column."""
        if self.entity is None:
            return {"transaction_id": self.transaction_id}
        return {"entity_key": self.entity.key}

    @property
    def time(self) -> TimeField | None:
        """The field with the time of each label, None when it has none of its own."""
        return self.known_at if isinstance(self.known_at, TimeField) else None


LabelSource = Annotated[LabelColumn | LabelFile, Field(discriminator="kind")]


def as_sources(value: Any) -> Any:
    """One table of labels, several, or none, as a list."""
    if value is None:
        return ()
    return (value,) if isinstance(value, dict | LabelColumn | LabelFile) else value
