"""Pages for people: one a problem type (open), and the reference of the operations (needs the key). No script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from serving.api.problems import NOT_FOUND, PROBLEM_TYPES, ApiError

router = APIRouter(include_in_schema=False)
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent.parent.parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_METHODS = ("get", "post", "put", "patch", "delete")


@router.get("/problems")
def problems() -> HTMLResponse:
    """All problem types."""
    return _page("api_problems.html.j2", problems=list(PROBLEM_TYPES.values()))


@router.get("/problems/style.css")
def style() -> Response:
    """The style of these pages."""
    css = (Path(__file__).parent.parent.parent / "templates" / "api.css").read_text(encoding="utf-8")
    return Response(css, media_type="text/css")


@router.get("/problems/{slug}")
def problem(slug: str) -> HTMLResponse:
    """One problem type: what it means, what to do."""
    if slug not in PROBLEM_TYPES:
        raise ApiError(NOT_FOUND, "There is no such problem type.")
    return _page("api_problems.html.j2", problems=[PROBLEM_TYPES[slug]])


@router.get("/docs")
def reference(request: Request) -> HTMLResponse:
    """The operations, with parameters and examples."""
    document = request.app.openapi()
    operations = [
        {"method": method.upper(), "path": path, **operation, "answer": _answer(operation), "sent": _sent(operation)}
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in _METHODS
    ]
    return _page("api_docs.html.j2", info=document["info"], operations=operations)


def _page(template: str, **values: Any) -> HTMLResponse:
    return HTMLResponse(_TEMPLATES.get_template(template).render(**values))


def _answer(operation: dict[str, Any]) -> Any:
    """The example of the first success."""
    success = next(operation["responses"][status] for status in sorted(operation["responses"]) if status < "300")
    return next(iter(success["content"].values()))["example"]


def _sent(operation: dict[str, Any]) -> Any:
    """The example of the body, None when there is none."""
    body = operation.get("requestBody")
    return None if body is None else next(iter(body["content"].values()))["example"]
