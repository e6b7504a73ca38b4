"""The served workspace of `tests/serving`, for the tests of the whole API."""

from __future__ import annotations

from tests.serving.conftest import api, built, served

__all__ = ["api", "built", "served"]
