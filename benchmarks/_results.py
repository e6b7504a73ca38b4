"""Results as small files, one a computation, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # tests import this module without the benchmarks' folder
    from _report import Report

Arrays = dict[str, NDArray[Any]]


class NotKept(LookupError):
    """A result is not there, and must not be computed."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """A folder of `.npz` files, named by what was computed and a hash of everything that it hangs on.

    `kept_only`: nothing is computed; what is not there raises `NotKept`.
    """

    folder: Path
    kept_only: bool = False

    def get(self, name: str, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of `compute`, from their file when there is one; `cpu_seconds` () is what they took."""
        text = json.dumps(dict(key), sort_keys=True, default=str)
        path = self.folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.npz"
        if path.exists():
            with np.load(path) as found:
                return dict(found)
        if self.kept_only:
            raise NotKept(f"{name} {text}")
        begin = time.process_time()
        arrays = compute()
        arrays["cpu_seconds"] = np.asarray(time.process_time() - begin)
        arrays["key"] = np.asarray(text)
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished.npz")
        np.savez_compressed(unfinished, **arrays)
        unfinished.replace(path)
        return arrays


@contextmanager
def reported_missing(report: Report, name: str) -> Iterator[None]:
    """Where nothing may be computed, what is not kept is named in the report's `config`, under `not_run`."""
    try:
        yield
    except NotKept:
        print(f"not run: {name}", flush=True)
        report.config.setdefault("not_run", []).append(name)


def miss_not_run(report: Report) -> None:
    """A report that leaves something out misses a goal, whatever the rest reaches."""
    if "not_run" in report.config:
        report.ratio("everything was run", 0.0, at_least=1.0)
