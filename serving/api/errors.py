"""Exceptions to problems: the one place where the failures of the lower folders get an HTTP status."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ingestion.errors import ArtifactError, DataContractError, RetryLater, RingfenceError, UsageError
from retrieval.errors import IndexTooNew, UnknownSubject
from serving.api.problems import (
    BY_STATUS,
    CONFLICT,
    INTERNAL,
    INVALID,
    MALFORMED,
    NOT_FOUND,
    TIMEOUT,
    UNAVAILABLE,
    ApiError,
    ErrorItem,
    ProblemType,
    problem_response,
)
from serving.state_protocol import StateTimeout

RETRY_AFTER_SECONDS = "2"
log = structlog.get_logger("ringfence.api")

#: First match wins.
STATUS_OF: tuple[tuple[type[RingfenceError], ProblemType], ...] = (
    (UnknownSubject, NOT_FOUND),
    (IndexTooNew, CONFLICT),
    (StateTimeout, TIMEOUT),
    (RetryLater, UNAVAILABLE),
    (ArtifactError, UNAVAILABLE),
    (UsageError, INVALID),
    (DataContractError, INVALID),
)


def add_handlers(app: FastAPI) -> None:
    """Every error of the application becomes a problem."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(RingfenceError, _ringfence_error)
    app.add_exception_handler(ResponseValidationError, _unexpected)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem_response(
        error.problem, error.detail, instance=request.url.path, errors=error.errors, headers=error.headers
    )


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = BY_STATUS.get(error.status_code, INTERNAL if error.status_code >= 500 else INVALID)
    headers = dict(error.headers or {})
    return problem_response(problem, problem.meaning, instance=request.url.path, headers=headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return problem_response(MALFORMED, "The body is not valid JSON.", instance=request.url.path)
    errors = [
        ErrorItem(pointer=pointer(item["loc"]), code=item["type"], detail=item["msg"].removeprefix("Value error, "))
        for item in found[:100]
    ]
    detail = f"{len(found)} value{'s do' if len(found) > 1 else ' does'} not fit the schema."
    return problem_response(INVALID, detail, instance=request.url.path, errors=errors)


async def _ringfence_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RingfenceError)
    problem = next((problem for kind, problem in STATUS_OF if isinstance(error, kind)), INTERNAL)
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if problem in (UNAVAILABLE, TIMEOUT) else {}
    if problem.status >= 500:  # what it says may name files of this machine
        log.error("request.failed", error=type(error).__name__, what=error.what)
        return problem_response(problem, problem.meaning, instance=request.url.path, headers=headers)
    return problem_response(problem, str(error), instance=request.url.path, headers=headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request.failed", error=type(error).__name__)
    return problem_response(INTERNAL, INTERNAL.meaning, instance=request.url.path)


def pointer(location: tuple[int | str, ...]) -> str:
    """JSON Pointer (RFC 6901) of a place that pydantic names.

    >>> pointer(("body", "transactions", 3, "a/b")), pointer(("query", "limit"))
    ('/transactions/3/a~1b', '/query/limit')
    """
    parts = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
