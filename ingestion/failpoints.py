"""Named places where a test can make the process die, to prove that a crash there loses nothing (TRUST 2.7).

`RINGFENCE_FAILPOINT=snapshot.before_publish:kill` makes the first `failpoint("snapshot.before_publish")` act.
Actions: kill (SIGKILL to this process), raise, enospc. Without the variable a fail point does nothing.
`RINGFENCE_FAILPOINT_LOG=FILE` appends the name of each point that is reached, so a test can show that it was.
"""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

VARIABLE = "RINGFENCE_FAILPOINT"
LOG_VARIABLE = "RINGFENCE_FAILPOINT_LOG"

#: Every fail point in the code; a test walks them all, and a name that is not here is refused.
NAMES = (
    "ingest.after_read",
    "ingest.after_features",
    "snapshot.before_publish",
    "snapshot.after_publish",
    "prune.after_rename",
    "graph.before_import",
    "graph.after_import",
    "graph.before_marker",
    "graph.after_marker",
    "model.before_publish",
    "model.after_publish",
    "index.before_publish",
    "index.after_publish",
    "alerts.before_commit",
    "alerts.after_commit",
    "release.before_write",
    "release.before_pointer",
    "release.after_pointer",
)


def failpoint(name: str) -> None:
    """Act as `RINGFENCE_FAILPOINT` says when it names this point; otherwise do nothing."""
    assert name in NAMES, f"fail point {name!r} is not listed in failpoints.NAMES"
    if log := os.environ.get(LOG_VARIABLE):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(name + "\n")
    wanted, _, action = os.environ.get(VARIABLE, "").partition(":")
    if wanted != name:
        return
    if action in ("", "kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    elif action == "raise":
        raise RuntimeError(f"fail point {name}")
    else:
        raise ValueError(f"unknown fail point action {action!r}: use kill, raise or enospc")
