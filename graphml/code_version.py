"""The version of the code that decides what a model is: part of a model's id, so new code trains anew."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).parent
_FEATURES = _PACKAGE.parent / "ingestion" / "features"


@lru_cache(maxsize=1)
def code_version() -> str:
    """`<distribution version>+<8 hex of the SHA-256 over the sources of graphml and of the features>`."""
    digest = hashlib.sha256()
    for folder in (_PACKAGE, _FEATURES):
        for file in sorted(folder.rglob("*.py")):
            digest.update(str(file.relative_to(folder.parent)).encode())
            digest.update(file.read_bytes())
    return f"{version('ringfence')}+{digest.hexdigest()[:8]}"
