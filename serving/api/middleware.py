"""What happens around every request: ids, log line, metrics, security headers, body limits, the last error handler.

Plain ASGI, outermost first: `RequestEnvelope`, `LoadShedding`, authentication, `BodyGuard`, then the routes.
"""

from __future__ import annotations

import time
from contextlib import suppress

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.metrics import ApiMetrics
from serving.api.problems import INTERNAL, TOO_LARGE, UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE, problem_response
from serving.api.tracing import RequestIds
from serving.logs import where

MIB = 1024 * 1024
BODY_LIMIT_BYTES = 1 * MIB
BATCH_BODY_LIMIT_BYTES = 16 * MIB
BATCH_SUFFIX = ":score"
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
log = structlog.get_logger("ringfence.api")


class RequestEnvelope:
    """Ids in, headers out; one log line and one observation a request; nothing unexpected leaves as it is."""

    def __init__(self, app: ASGIApp, *, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ids = RequestIds.of(Headers(scope=scope))
        started, status = time.monotonic(), 500
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, has_started
            if message["type"] == "http.response.start":
                status, has_started = message["status"], True
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS | {"X-Request-ID": ids.request_id, "traceparent": ids.traceparent})
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(trace_id=ids.trace_id, request_id=ids.request_id)
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            log.error("request.failed", error=type(error).__name__, where=where(error))
            if has_started:
                raise
            response = problem_response(INTERNAL, INTERNAL.meaning, instance=scope["path"])
            await response(scope, receive, send_with_headers)
        finally:
            self._metrics.in_flight.dec()
            self._record(scope, status, time.monotonic() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        self._metrics.observe(method=scope["method"], route=route, status=status, seconds=seconds)
        log.info("request", method=scope["method"], route=route, status=status, milliseconds=round(seconds * 1_000, 1))


class LoadShedding:
    """503 at once for requests over what can be worked on; `/health/live` is always answered."""

    def __init__(self, app: ASGIApp, *, max_requests: int) -> None:
        self._app = app
        self._max_requests = max_requests
        self._num_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/health/live":
            await self._app(scope, receive, send)
            return
        if self._num_requests >= self._max_requests:
            detail = "Too many requests are being worked on."
            headers = {"Retry-After": "1"}
            response = problem_response(UNAVAILABLE, detail, instance=scope["path"], headers=headers)
            await response(scope, receive, send)
            return
        self._num_requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._num_requests -= 1


class _BodyTooLarge(Exception):
    pass


class BodyGuard:
    """413 for a body over the limit (declared or streamed), 415 for a body that is not declared as JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = BATCH_BODY_LIMIT_BYTES if scope["path"].endswith(BATCH_SUFFIX) else BODY_LIMIT_BYTES
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await _too_large(scope, receive, send, limit)
        elif not _is_json(headers.get("content-type", "")):
            response = problem_response(UNSUPPORTED_MEDIA_TYPE, UNSUPPORTED_MEDIA_TYPE.meaning, instance=scope["path"])
            await response(scope, receive, send)
        else:
            await self._limited(scope, receive, send, limit)

    async def _limited(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        received = 0
        is_over = False

        async def counted() -> Message:
            nonlocal received, is_over
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                is_over = True
                raise _BodyTooLarge
            return message

        async def unless_over(message: Message) -> None:
            if not is_over:
                await send(message)

        with suppress(_BodyTooLarge):
            await self._app(scope, counted, unless_over)
        if is_over:
            await _too_large(scope, receive, send, limit)


async def _too_large(scope: Scope, receive: Receive, send: Send, limit: int) -> None:
    detail = f"The body is over {limit // MIB} MiB."
    response = problem_response(TOO_LARGE, detail, instance=scope["path"], headers={"Connection": "close"})
    await response(scope, receive, send)


def _is_json(content_type: str) -> bool:
    """Whether a Content-Type names JSON.

    >>> _is_json("application/json; charset=utf-8"), _is_json("text/plain"), _is_json("")
    (True, False, False)
    """
    return content_type.partition(";")[0].strip().lower() == "application/json"
