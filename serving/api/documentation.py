"""How operations are documented: an example of each answer, and of each error of the shared table."""

from __future__ import annotations

from typing import Any

from serving.api.problems import (
    BY_STATUS,
    CONFLICT,
    FORBIDDEN,
    INTERNAL,
    INVALID,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    PROBLEM_JSON,
    TIMEOUT,
    TOO_LARGE,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemType,
)

Responses = dict[int | str, dict[str, Any]]
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_READS = (
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    CONFLICT,
    INVALID,
    TOO_MANY_REQUESTS,
    INTERNAL,
    UNAVAILABLE,
    TIMEOUT,
)
_WRITES = (MALFORMED, PRECONDITION_FAILED, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)


def _documented(problem: ProblemType) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.meaning,
        "instance": "/v1/alerts",
        "trace_id": _TRACE,
        "errors": [],
    }
    if problem is INVALID:
        example["errors"] = [
            {
                "pointer": "/query/limit",
                "code": "less_than_equal",
                "detail": "Input should be less than or equal to 200",
            }
        ]
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": problem.meaning, "content": {PROBLEM_JSON: {"schema": schema, "example": example}}}


def read_errors() -> Responses:
    """Errors of an operation that reads."""
    return {problem.status: _documented(problem) for problem in _READS}


def write_errors() -> Responses:
    """Errors of an operation that has a body."""
    return {problem.status: _documented(problem) for problem in sorted((*_READS, *_WRITES), key=_status)}


def errors(*statuses: int) -> Responses:
    """Some errors of the table."""
    return {status: _documented(BY_STATUS[status]) for status in statuses}


def ok(example: dict[str, Any], *, status: int = 200, description: str = "The answer") -> Responses:
    """An answer with its example."""
    return {status: {"description": description, "content": {"application/json": {"example": example}}}}


def _status(problem: ProblemType) -> int:
    return problem.status
