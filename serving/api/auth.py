"""Who asks: one API key a workspace. Closed by default: a route is open only when it is named here.

This is the one place where a request gets its principal; roles and tokens of a login service come in here.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from fastapi import Request
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api.problems import UNAUTHORIZED, problem_response

KEY_SECRET = "api.key"  # the name of the secret in the workspace
OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/version", "/problems"})
OPEN_PREFIXES = ("/problems/",)

#: Only for the OpenAPI document: the middleware has checked the key before a route runs.
bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="The workspace's API key")
key_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="key", description="The same key")


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is asking, and in which role."""

    name: str
    role: str


def principal(request: Request) -> Principal:
    """The principal of a request, for routes that look at the role."""
    found: Principal = request.scope["state"]["principal"]
    return found


class Authentication:
    """ASGI middleware: 401 for everything but the open routes unless the key is right."""

    def __init__(self, app: ASGIApp, *, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        given = _given_key(Headers(scope=scope))
        if given is None or not hmac.compare_digest(given, self._key):
            detail = "The API key is missing." if given is None else "The API key is wrong."
            headers = {"WWW-Authenticate": 'Bearer realm="ringfence"'}
            response = problem_response(UNAUTHORIZED, detail, instance=scope["path"], headers=headers)
            await response(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = Principal(name="api-key", role="owner")
        await self._app(scope, receive, send)


def is_open(path: str) -> bool:
    """Whether a path needs no key.

    >>> is_open("/health/live"), is_open("/metrics"), is_open("/v1/alerts")
    (True, False, False)
    """
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


def _given_key(headers: Headers) -> bytes | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip().encode("latin-1")
    key = headers.get("x-api-key")
    return None if key is None else key.encode("latin-1")
