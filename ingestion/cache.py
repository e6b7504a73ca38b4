"""The cache folder of a user, shared by workspaces: what was fetched once and can be fetched again."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "RINGFENCE_CACHE"


def cache_folder() -> Path:
    """`RINGFENCE_CACHE`, else `~/.cache/ringfence`; made when it is missing (mode 0700)."""
    named = os.environ.get(VARIABLE)
    folder = Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "ringfence"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
