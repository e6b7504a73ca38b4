"""Finished investigations in `app.db`: by an id that the question and the release give."""

from __future__ import annotations

from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from ingestion.artifacts import short_hash
from serving.database import METADATA

INVESTIGATIONS = sa.Table(
    "investigations",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("release_id", sa.String, nullable=False),
    sa.Column("alert_id", sa.String, nullable=True),
    sa.Column("as_of", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)


def investigation_id(*, release_id: str, subject: str, as_of: int) -> str:
    """The same question of the same release has the same id: its answer does not change.

    >>> investigation_id(release_id="release-1", subject="account:a", as_of=5)
    'investigation-493cbf744823'
    """
    return f"investigation-{short_hash([release_id, subject, as_of])}"


def save(engine: sa.Engine, body: dict[str, Any], *, as_of: int) -> None:
    """Keep an investigation in place of one with the same id."""
    row = {
        "id": body["id"],
        "release_id": body["release_id"],
        "alert_id": body["alert_id"],
        "as_of": as_of,
        "body": orjson.dumps(body),
    }
    statement = insert(INVESTIGATIONS).values(row)
    statement = statement.on_conflict_do_update(index_elements=["id"], set_={"body": statement.excluded.body})
    with engine.begin() as connection:
        connection.execute(statement)


def read(engine: sa.Engine, identifier: str) -> dict[str, Any] | None:
    """One investigation by id."""
    query = sa.select(INVESTIGATIONS.c.body).where(INVESTIGATIONS.c.id == identifier)
    with engine.connect() as connection:
        body = connection.execute(query).scalar_one_or_none()
    if body is None:
        return None
    found: dict[str, Any] = orjson.loads(body)
    return found
