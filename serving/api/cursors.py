"""Opaque page cursors: a keyset position signed with the workspace's key, bound to the operation and its filters."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

import orjson

from ingestion.artifacts import short_hash
from serving.api.problems import INVALID, NOT_FOUND, ApiError, ErrorItem, ProblemType

KEY_SECRET = "cursor.key"  # the name of the secret in the workspace
_SIGNATURE_BYTES = 16


class Cursors:
    """Makes and reads cursors of one workspace."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def make(self, position: list[Any], *, operation: str, filters: dict[str, Any]) -> str:
        """A cursor after `position`, the sort key of the last item of a page.

        >>> cursors = Cursors("key")
        >>> cursors.read(cursors.make([7, "a"], operation="list", filters={}), operation="list", filters={})
        [7, 'a']
        """
        body = orjson.dumps([position, short_hash([operation, filters])])
        return base64.urlsafe_b64encode(self._signature(body) + body).rstrip(b"=").decode()

    def read(self, cursor: str, *, operation: str, filters: dict[str, Any]) -> list[Any]:
        """The position in a cursor.

        Raises `ApiError` 404 when it is not one of ours (it names no page), 422 when it belongs to other filters.
        """
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            raise _refused(NOT_FOUND, "cursor_unknown", "It is not a cursor of this server.") from None
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(body)):
            raise _refused(NOT_FOUND, "cursor_unknown", "It is not a cursor of this server.")
        position, bound_to = orjson.loads(body)
        if bound_to != short_hash([operation, filters]):
            raise _refused(INVALID, "cursor_of_other_query", "It belongs to other filters: start again without it.")
        return list(position)

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_SIGNATURE_BYTES]


def _refused(problem: ProblemType, code: str, detail: str) -> ApiError:
    item = ErrorItem(pointer="/query/cursor", code=code, detail=detail)
    return ApiError(problem, f"The cursor is refused. {detail}", errors=[item])
