"""The errors of the API: RFC 9457 problem details, one table of types, one page a type.

`type` is a path on this server, `/problems/<slug>`, where the page says what the error means and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, kw_only=True)
class ProblemType:
    """A kind of error: where its page is, its status, what it means and what a client does about it."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """Path of its page."""
        return f"/problems/{self.slug}"


def _type(slug: str, status: int, title: str, meaning: str, remedy: str) -> ProblemType:
    return ProblemType(slug=slug, status=status, title=title, meaning=meaning, remedy=remedy)


MALFORMED = _type(
    "malformed-request", 400, "Malformed request", "The body is not UTF-8 JSON.", "Send JSON in UTF-8 (RFC 8259)."
)
UNAUTHORIZED = _type(
    "unauthorized",
    401,
    "Unauthorized",
    "The request carries no API key, or a wrong one.",
    "Send the workspace's key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
)
FORBIDDEN = _type(
    "forbidden", 403, "Forbidden", "The key's role may not do this.", "Ask for a key whose role may, or leave it."
)
NOT_FOUND = _type(
    "not-found",
    404,
    "Not found",
    "There is no such route or resource, or it was not known at the time that was asked about.",
    "Check the path and the id; ask as of a later time.",
)
METHOD_NOT_ALLOWED = _type(
    "method-not-allowed",
    405,
    "Method not allowed",
    "The route exists, but not for this method.",
    "Use a method that the `Allow` header names.",
)
CONFLICT = _type(
    "conflict",
    409,
    "Conflict",
    "The request does not fit the state of the resource: the same Idempotency-Key is still being worked on, or the "
    "index holds data from after the time that was asked about.",
    "Read `detail`; wait and repeat, or ask as of a later time.",
)
PRECONDITION_FAILED = _type(
    "precondition-failed",
    412,
    "Precondition failed",
    "The resource has changed since the version that `If-Match` names.",
    "Read it again and repeat the change on what it is now.",
)
TOO_LARGE = _type(
    "content-too-large",
    413,
    "Content too large",
    "The body is over the limit: 16 MiB for scoring, 1 MiB elsewhere.",
    "Send fewer transactions in one request.",
)
UNSUPPORTED_MEDIA_TYPE = _type(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "The body is not declared as JSON.",
    "Send `Content-Type: application/json`.",
)
INVALID = _type(
    "invalid-request",
    422,
    "Invalid request",
    "A value does not fit the schema of the operation, or an Idempotency-Key was used with another body.",
    "Mend what `errors` points at; the schema is in /openapi.json.",
)
TOO_MANY_REQUESTS = _type(
    "too-many-requests", 429, "Too many requests", "The rate limit is reached.", "Wait as `Retry-After` says."
)
INTERNAL = _type(
    "internal-error",
    500,
    "Internal error",
    "Something failed on our side; it is in the log under `trace_id`.",
    "Repeat the request; report the trace id if it goes on.",
)
UNAVAILABLE = _type(
    "unavailable",
    503,
    "Unavailable",
    "A part that the operation needs is away: the state process, the graph or a release.",
    "Repeat the request as `Retry-After` says; /health/ready names the part.",
)
TIMEOUT = _type(
    "timeout", 504, "Timeout", "A part that the operation needs did not answer in time.", "Repeat the request."
)

PROBLEM_TYPES = {
    problem.slug: problem
    for problem in (
        MALFORMED,
        UNAUTHORIZED,
        FORBIDDEN,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        CONFLICT,
        PRECONDITION_FAILED,
        TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        INVALID,
        TOO_MANY_REQUESTS,
        INTERNAL,
        UNAVAILABLE,
        TIMEOUT,
    )
}
BY_STATUS = {problem.status: problem for problem in PROBLEM_TYPES.values()}


class ErrorItem(BaseModel):
    """One thing that is wrong in the request."""

    pointer: str = Field(description="JSON Pointer into the body, or `/query/NAME`, `/path/NAME`, `/header/NAME`")
    code: str = Field(description="Stable code of the rule that was broken")
    detail: str = Field(description="The rule, in words")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="Page of the problem type on this server")
    title: str
    status: int
    detail: str = Field(description="What happened this time")
    instance: str = Field(description="Path of the request")
    trace_id: str = Field(description="Trace id, as in the log and in `traceparent`")
    errors: list[ErrorItem] = Field(default_factory=list, description="What is wrong in the request, item by item")


class ApiError(Exception):
    """An error that is answered as a problem. Only the handlers of this folder know HTTP status."""

    def __init__(
        self,
        problem: ProblemType,
        detail: str,
        *,
        errors: Sequence[ErrorItem] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}


def problem_response(
    problem: ProblemType,
    detail: str,
    *,
    instance: str,
    errors: Sequence[ErrorItem] = (),
    headers: dict[str, str] | None = None,
    **extensions: Any,
) -> JSONResponse:
    """The answer for a problem, with the trace id of the request being served."""
    trace_id = structlog.contextvars.get_contextvars().get("trace_id", "")
    body = Problem(
        type=problem.uri,
        title=problem.title,
        status=problem.status,
        detail=detail,
        instance=instance,
        trace_id=trace_id,
        errors=list(errors),
    )
    return JSONResponse(
        body.model_dump() | extensions, status_code=problem.status, headers=headers, media_type=PROBLEM_JSON
    )
