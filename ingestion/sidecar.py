"""What stands beside a source file about its bytes: `FILE.sha256`, or a line of `SHA256SUMS` in its folder.

Both hold what `sha256sum` writes: 64 hex digits, and after them the name (`FILE.sha256` may leave it out).
"""

from __future__ import annotations

import re
from pathlib import Path

from ingestion.errors import DataContractError
from ingestion.pan import scrub

SUMS = "SHA256SUMS"
_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64})(?:[ \t]+\*?(?P<name>.+))?")


def stated_sha256(path: Path) -> str | None:
    """The SHA-256 that was handed over with a file, None when none was.

    Raises `DataContractError` for a sidecar that cannot be read: it was meant to protect the file.
    """
    own = path.with_name(path.name + ".sha256")
    if own.is_file():
        lines = _lines(own)
        if len(lines) != 1 or lines[0][1] not in (None, path.name):
            raise DataContractError(
                f"{scrub(own.name)} does not hold the one hash of {scrub(path.name)}.",
                remedy=f"Write it again (`sha256sum {scrub(path.name)}`), or take it away.",
            )
        return lines[0][0]
    sums = path.with_name(SUMS)
    if not sums.is_file():
        return None
    found = {digest for digest, name in _lines(sums) if name == path.name}
    if len(found) > 1:
        raise DataContractError(f"{SUMS} holds two hashes of {scrub(path.name)}.", remedy="Keep the right one.")
    return found.pop() if found else None


def _lines(file: Path) -> list[tuple[str, str | None]]:
    """(hash in lower case, name) of each line."""
    found: list[tuple[str, str | None]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataContractError(
                f"Line {number} of {scrub(file.name)} is no SHA-256 with a name.",
                remedy="Write the file again as `sha256sum` does, or take it away.",
            )
        name = match["name"]
        found.append((match["digest"].lower(), name.removeprefix("./") if name else None))
    return found
