"""The fields of a mapping: where a text, a time, an amount or a party type of the contract comes from."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ingestion.expressions import checked_condition, checked_expression, parse_expression

#: Numeric forms of a time, as a count since 1970, and the µs in one unit.
EPOCH_UNITS = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1_000, "epoch_microseconds": 1}
#: Units of a step, in µs.
STEP_UNITS = {"seconds": 1_000_000, "minutes": 60_000_000, "hours": 3_600_000_000, "days": 86_400_000_000}

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,62}")


def _party_type(value: str) -> str:
    if not _TYPE.fullmatch(value):
        raise ValueError(f"{value!r} is no party type: lower-case letters, digits and _, a letter first")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no time zone: name one such as UTC or Europe/Paris") from error
    return value


def _column_in_short(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


PartyType = Annotated[str, AfterValidator(_party_type)]
Zone = Annotated[str, AfterValidator(_zone)]
ExpressionText = Annotated[str, AfterValidator(checked_expression)]
Condition = Annotated[str, AfterValidator(checked_condition)]


class Part(BaseModel):
    """A part of a mapping: an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextField(Part):
    """A contract field of text: a column, a constant or an expression, with values to translate."""

    column: str | None = None
    constant: str | None = None
    expression: ExpressionText | None = None
    values: dict[str, str] = Field(default_factory=dict, description="What the column says -> what the contract says")
    default: str | None = Field(None, description="Taken where the column is empty, or says nothing that `values` has")

    @model_validator(mode="after")
    def _one_origin(self) -> TextField:
        if sum(part is not None for part in (self.column, self.constant, self.expression)) != 1:
            raise ValueError("give either `column`, `constant` or `expression`")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table that it is read from."""
        return _columns(self.column, self.expression)


class TimeField(Part):
    """A time: its column or columns, the zone of times that carry none, and its form."""

    column: str | None = None
    columns: tuple[str, ...] = Field((), description="Several columns, joined by a space, such as a date and a time")
    zone: Zone | None = Field(None, description="Zone of times without an offset")
    zone_column: str | None = Field(None, description="Column with the zone of each row; `zone` where it is empty")
    format: str = Field("iso", description="iso, epoch_seconds, epoch_milliseconds, epoch_microseconds or strptime's")
    start: dt.datetime | None = Field(None, description="For steps: the time of step 0")
    unit: Literal["seconds", "minutes", "hours", "days"] | None = Field(None, description="For steps: their length")
    ambiguous: Literal["refuse", "earlier", "later"] = Field(
        "refuse", description="Which of two is meant where clocks were put back"
    )

    @model_validator(mode="after")
    def _consistent(self) -> TimeField:
        if (self.column is None) == (not self.columns):
            raise ValueError('give either `column`, or `columns` such as ["date", "time"]')
        if (self.start is None) != (self.unit is None):
            raise ValueError("steps need both `start` and `unit`")
        if self.start is not None:
            if self.start.tzinfo is None:
                raise ValueError(f"start {self.start.isoformat()} says no zone: end it with Z or an offset")
            if self.columns or self.zone or self.zone_column or self.format != "iso":
                raise ValueError("steps from `start` have one `column`, and no zone or format")
        if self.columns and self.format in EPOCH_UNITS:
            raise ValueError(f"format {self.format} reads one `column`")
        return self

    @property
    def told(self) -> str:
        """Its columns, for messages."""
        return self.column or " + ".join(self.columns)

    @property
    def read_columns(self) -> tuple[str, ...]:
        """Columns of the table that it is read from."""
        parts = self.columns or (self.column or "",)
        return parts if self.zone_column is None else (*parts, self.zone_column)


class AmountField(Part):
    """An amount: int64 minor units, or decimal major units of its currency."""

    column: str | None = None
    expression: ExpressionText | None = None
    unit: Literal["minor", "decimal"]
    rounding: Literal["refuse", "half_even"] = Field("refuse", description="For digits that the currency has not")
    sign: Literal["refuse", "absolute", "negative_is_refund"] = Field("refuse", description="What a minus says")
    currency_sign: str = Field("", max_length=8, pattern=r"^[^\d\s.,'+-]*$", description="Stands at the digits: $, EUR")

    @model_validator(mode="after")
    def _one_origin(self) -> AmountField:
        if (self.column is None) == (self.expression is None):
            raise ValueError("give either `column` or `expression`")
        if self.expression is not None and parse_expression(self.expression).kind not in ("number", "any"):
            raise ValueError(f"expression {self.expression!r} gives no number")
        if self.expression is not None and self.currency_sign:
            raise ValueError("`currency_sign` is for a `column`")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table that it is read from."""
        return _columns(self.column, self.expression)


class TypeColumn(TextField):
    """A party type read from a column or expression; what is not in `allowed` is a bad row."""

    allowed: tuple[PartyType, ...] = Field(min_length=1)


class Filter(Part):
    """Rows that `keep` does not hold for are left out, and counted under `reason`."""

    keep: Condition
    reason: str = Field(min_length=1, max_length=100)


Text = Annotated[TextField, BeforeValidator(_column_in_short)]
Time = Annotated[TimeField, BeforeValidator(_column_in_short)]


class PartySource(Part):
    """The source or the target: its type, and where its key comes from."""

    type: PartyType | TypeColumn
    key: Text

    @property
    def types(self) -> tuple[str, ...]:
        """All types that it may have."""
        return self.type.allowed if isinstance(self.type, TypeColumn) else (self.type,)


class FurtherParty(Part):
    """One more party of the transaction; an empty key means that there is none."""

    type: PartyType
    key: Text


def _columns(column: str | None, expression: str | None) -> tuple[str, ...]:
    if expression is not None:
        return parse_expression(expression).columns
    return () if column is None else (column,)
