"""Alerts: transactions that a model scored at or above its threshold. Table `alerts` of `app.db`.

An alert is a pair (transaction, model); its time is the transaction's `available_at`. The nightly job writes
those of the tail, the API those of the transactions that it scores. An alert never changes: the score is the
one given then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from ingestion.contracts import PartyRef
from ingestion.failpoints import failpoint
from ingestion.workspace import Workspace
from serving.database import METADATA, database

AlertOrigin = Literal["nightly", "api"]
#: Rows in one INSERT: SQLite allows 32,766 bound values in a statement.
_ROWS_A_STATEMENT = 1_000

ALERTS = sa.Table(
    "alerts",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("transaction_id", sa.String, nullable=False),
    sa.Column("model_id", sa.String, nullable=False),
    sa.Column("release_id", sa.String, nullable=False),
    sa.Column("entity_type", sa.String, nullable=False),
    sa.Column("entity_key", sa.String, nullable=False),
    sa.Column("available_at", sa.BigInteger, nullable=False),
    sa.Column("event_time", sa.BigInteger, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("threshold", sa.Float, nullable=False),
    sa.Column("origin", sa.String, nullable=False),
    sa.UniqueConstraint("transaction_id", "model_id"),
    sa.Index("alerts_newest", "available_at", "id"),
    sa.Index("alerts_entity", "entity_type", "entity_key", "available_at"),
)


def alert_id(transaction_id: str, model_id: str) -> str:
    """The id of the alert that a model raises for a transaction.

    >>> alert_id("t-1", "model-0123456789ab")
    'alert-0ae578d0e3e7'
    """
    digest = hashlib.sha256(f"{model_id}\0{transaction_id}".encode()).hexdigest()
    return f"alert-{digest[:12]}"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert; times in µs. `entity` is the transaction's alert party, a token when it is personal."""

    transaction_id: str
    model_id: str
    release_id: str
    entity: PartyRef
    available_at: int
    event_time: int
    amount_minor: int
    currency: str
    score: float
    threshold: float
    origin: AlertOrigin

    def __post_init__(self) -> None:
        if not self.score >= self.threshold:
            raise ValueError(
                f"Transaction {self.transaction_id} scores {self.score}, below the threshold {self.threshold}: "
                "it is no alert."
            )

    @property
    def id(self) -> str:
        """See `alert_id`."""
        return alert_id(self.transaction_id, self.model_id)


@dataclass(frozen=True, kw_only=True)
class AlertFilter:
    """Which alerts to list: scores from `min_score`, times from `since` (µs, closed), of one `entity`."""

    min_score: float | None = None
    since: int | None = None
    entity: PartyRef | None = None


def write_alerts(workspace: Workspace, rows: Iterable[Alert]) -> int:
    """Add alerts in one transaction; those that are there already stay as they are. Returns how many are new."""
    with database(workspace) as engine:
        return add_alerts(engine, rows)


def add_alerts(engine: sa.Engine, rows: Iterable[Alert]) -> int:
    """`write_alerts` on an open database."""
    values = [_as_row(alert) for alert in rows]
    added = 0
    with engine.begin() as connection:
        for start in range(0, len(values), _ROWS_A_STATEMENT):
            statement = insert(ALERTS).values(values[start : start + _ROWS_A_STATEMENT]).on_conflict_do_nothing()
            added += connection.execute(statement).rowcount
        failpoint("alerts.before_commit")
    failpoint("alerts.after_commit")
    return added


def read_alert(engine: sa.Engine, identifier: str) -> Alert | None:
    """One alert by id."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(ALERTS).where(ALERTS.c.id == identifier)).mappings().first()
    return None if row is None else _from_row(row)


def list_alerts(
    engine: sa.Engine,
    wanted: AlertFilter,
    *,
    limit: int,
    after: tuple[int, str] | None = None,
) -> list[Alert]:
    """Newest first by (available_at, id); `after` is that key of the last alert of the page before."""
    query = sa.select(ALERTS).order_by(ALERTS.c.available_at.desc(), ALERTS.c.id.desc()).limit(limit)
    if wanted.min_score is not None:
        query = query.where(ALERTS.c.score >= wanted.min_score)
    if wanted.since is not None:
        query = query.where(ALERTS.c.available_at >= wanted.since)
    if wanted.entity is not None:
        query = query.where(ALERTS.c.entity_type == wanted.entity.type, ALERTS.c.entity_key == wanted.entity.key)
    if after is not None:
        query = query.where(sa.tuple_(ALERTS.c.available_at, ALERTS.c.id) < sa.tuple_(*after))
    with engine.connect() as connection:
        return [_from_row(row) for row in connection.execute(query).mappings()]


def alerted_transactions(engine: sa.Engine) -> frozenset[str]:
    """Transactions that are an alert of any model: none of them matures before it was reviewed."""
    with engine.connect() as connection:
        return frozenset(connection.execute(sa.select(ALERTS.c.transaction_id)).scalars())


def top_alerts(engine: sa.Engine, *, release_id: str, limit: int) -> Sequence[Alert]:
    """The alerts of a release with the highest scores, ties by id."""
    query = (
        sa.select(ALERTS)
        .where(ALERTS.c.release_id == release_id)
        .order_by(ALERTS.c.score.desc(), ALERTS.c.id)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [_from_row(row) for row in connection.execute(query).mappings()]


def _as_row(alert: Alert) -> dict[str, object]:
    values = asdict(alert)
    entity = values.pop("entity")
    return values | {"id": alert.id, "entity_type": entity["type"], "entity_key": entity["key"]}


def _from_row(row: sa.RowMapping) -> Alert:
    values = dict(row)
    del values["id"]
    entity = PartyRef(type=values.pop("entity_type"), key=values.pop("entity_key"))
    return Alert(entity=entity, **values)
