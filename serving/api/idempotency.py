"""`Idempotency-Key`: the same key and body get the stored answer for 24 hours (IETF draft, Stripe's practice).

Same key, other body: 422. Still being worked on: 409. A key whose worker died is free again after a minute.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from fastapi import Header
from fastapi.responses import Response
from sqlalchemy.dialects.sqlite import insert

from serving.api.problems import CONFLICT, INVALID, ApiError, ErrorItem
from serving.database import METADATA

KEPT_SECONDS = 24 * 3_600
ABANDONED_SECONDS = 60

KEYS = sa.Table(
    "idempotency",
    METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("operation", sa.String, primary_key=True),
    sa.Column("body_hash", sa.String, nullable=False),
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("status", sa.Integer, nullable=True),
    sa.Column("location", sa.String, nullable=True),
    sa.Column("body", sa.LargeBinary, nullable=True),
    sa.Index("idempotency_started", "started_at"),
)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Repeat a request with the same key and body to get the same answer, for 24 hours",
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9._:-]+$",
        examples=["7f1c0d5e-2f6b-4a0e-9c51-0a4b5f6d7e8f"],
    ),
]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A finished answer: status, JSON body and, for what was created, where it is."""

    status: int
    body: bytes
    location: str | None = None

    def response(self) -> Response:
        """The HTTP response."""
        headers = {} if self.location is None else {"Location": self.location}
        return Response(self.body, status_code=self.status, media_type="application/json", headers=headers)


class IdempotencyStore:
    """Keys in `app.db`. `clock` gives seconds since 1970."""

    def __init__(self, engine: sa.Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def run(self, key: str | None, *, operation: str, body: bytes, work: Callable[[], Answer]) -> Answer:
        """The stored answer of the key, or that of `work`; an answer is stored unless `work` raises."""
        if key is None:
            return work()
        digest = hashlib.sha256(body).hexdigest()
        stored = self._claim(key, operation, digest)
        if stored is not None:
            return stored
        try:
            answer = work()
        except BaseException:
            self._release(key, operation)
            raise
        self._finish(key, operation, answer)
        return answer

    def _claim(self, key: str, operation: str, digest: str) -> Answer | None:
        """The finished answer, or None when the key is ours now. Raises `ApiError` 409 or 422."""
        now = self._clock()
        with self._engine.begin() as connection:
            stale = (KEYS.c.started_at < now - KEPT_SECONDS) | (
                KEYS.c.status.is_(None) & (KEYS.c.started_at < now - ABANDONED_SECONDS)
            )
            connection.execute(sa.delete(KEYS).where(stale))
            row = {"key": key, "operation": operation, "body_hash": digest, "started_at": now}
            if connection.execute(insert(KEYS).values(row).on_conflict_do_nothing()).rowcount == 1:
                return None
            found = connection.execute(sa.select(KEYS).where(_is(key, operation))).mappings().one()
        if found["body_hash"] != digest:
            item = ErrorItem(
                pointer="/header/Idempotency-Key",
                code="idempotency_key_reused",
                detail="Use a new key for a new request.",
            )
            raise ApiError(INVALID, "The Idempotency-Key was used with another body.", errors=[item])
        if found["status"] is None:
            raise ApiError(
                CONFLICT, "A request with this Idempotency-Key is being worked on.", headers={"Retry-After": "1"}
            )
        return Answer(status=found["status"], body=found["body"], location=found["location"])

    def _finish(self, key: str, operation: str, answer: Answer) -> None:
        values = {"status": answer.status, "body": answer.body, "location": answer.location}
        with self._engine.begin() as connection:
            connection.execute(sa.update(KEYS).where(_is(key, operation)).values(values))

    def _release(self, key: str, operation: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.delete(KEYS).where(_is(key, operation)))


def _is(key: str, operation: str) -> sa.ColumnElement[bool]:
    return (KEYS.c.key == key) & (KEYS.c.operation == operation)
