"""A full or read-only disk, told as what it is wherever it shows: Python, Arrow, SQLite, Spark's workers, the JVM."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingestion.errors import RetryLater

_FULL = ("No space left on device", "database or disk is full", "Disk quota exceeded")
_READ_ONLY = ("Read-only file system", "attempt to write a readonly database")
_CODES = {errno.ENOSPC: True, errno.EDQUOT: True, errno.EROFS: False}


class DiskRefused(RetryLater):
    """The disk is full or read-only. Nothing was published, and the same command works when that is mended."""


@contextmanager
def disk_errors(folder: Path, *, needed_bytes: int) -> Iterator[None]:
    """Turn any failure in the block that a full or read-only disk caused into `DiskRefused`.

    Args:
        folder: where the block writes.
        needed_bytes: about how much it needs, for the message.
    """
    try:
        yield
    except Exception as error:
        full = _is_full(error)
        if full is None and isinstance(error, PermissionError) and not os.access(folder, os.W_OK):
            full = False
        if full is None:
            raise
        free = shutil.disk_usage(folder).free
        what = "has no space left" if full else "cannot be written: it is read-only"
        remedy = f"Free at least {_mb(needed_bytes)} there" if full else "Mount it for writing"
        raise DiskRefused(
            f"{folder} {what} ({_mb(free)} free, about {_mb(needed_bytes)} needed). Nothing was published; what is"
            " in force is unchanged.",
            remedy=f"{remedy} and run the same command again.",
        ) from None


def _is_full(error: BaseException) -> bool | None:
    """True for a full disk, False for a read-only one, None for anything else; causes are looked at too."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _CODES:
            return _CODES[seen.errno]
        text = str(seen)
        if any(words in text for words in _FULL):
            return True
        if any(words in text for words in _READ_ONLY):
            return False
        seen = seen.__cause__ or seen.__context__
    return None


def _mb(size: int) -> str:
    return f"{max(size, 0) / 1e6:,.1f} MB"
