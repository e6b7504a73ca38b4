"""Ids of a request: `X-Request-ID` echoed, W3C trace context taken from `traceparent` and given back."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(frozen=True, kw_only=True)
class RequestIds:
    """Trace, span and request id of one request."""

    trace_id: str
    span_id: str
    flags: str
    request_id: str

    @classmethod
    def of(cls, headers: Headers) -> RequestIds:
        """From the request; what is absent or malformed is made anew."""
        trace_id, flags = _incoming_trace(headers.get("traceparent", ""))
        span_id = secrets.token_hex(8)
        given = headers.get("x-request-id", "")
        return cls(
            trace_id=trace_id or secrets.token_hex(16),
            span_id=span_id,
            flags=flags,
            request_id=given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16),
        )

    @property
    def traceparent(self) -> str:
        """W3C trace context of our span."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def _incoming_trace(header: str) -> tuple[str | None, str]:
    """Trace id and flags of a `traceparent`; all-zero ids are invalid (W3C trace context, 3.2.2)."""
    match = _TRACEPARENT.fullmatch(header.strip())
    if match is None or set(match[1]) == {"0"} or set(match[2]) == {"0"}:
        return None, "01"
    return match[1], match[3]
