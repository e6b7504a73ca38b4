"""Writes `docs/openapi.json`, the document that a test compares with: `python -m serving.api.write_document`."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from ingestion.artifacts import write_atomically
from serving.api.app import routed_app

DEFAULT = Path("docs/openapi.json")


def write(path: Path) -> None:
    """Write the document of the routes; no workspace is needed."""
    write_atomically(
        path, orjson.dumps(routed_app().openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
