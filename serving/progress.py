"""Progress of long work: bars on a terminal, one JSON line a stage otherwise; a record in `stages.jsonl`."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

#: (what is being done, fraction done 0 … 1): what every long function of the lower folders accepts.
ProgressCallback = Callable[[str, float], None]


class StageLog:
    """Runs stages one after another and tells how they go.

    Args:
        record: `stages.jsonl` to append to, one object a finished or failed stage; None keeps no record.
    """

    def __init__(self, record: Path | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self._record = record
        self._console = Console(stderr=True)
        if record is not None:
            record.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time a stage; what it puts into `Stage.output` is recorded with it."""
        stage = Stage(name)
        started = time.monotonic()
        try:
            with self._shown(stage):
                yield stage
        except BaseException as error:
            self._write(stage, "failed", started, error=f"{type(error).__name__}: {error}")
            raise
        self._write(stage, "done", started)

    @contextmanager
    def _shown(self, stage: Stage) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.fields[stage]:<10}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("", total=1.0, stage=stage.name)
            stage.bind(progress, task)
            yield
            progress.update(task, completed=1.0, description=stage.summary)

    def _write(self, stage: Stage, state: str, started: float, **more: Any) -> None:
        entry = {
            "stage": stage.name,
            "state": state,
            "seconds": round(time.monotonic() - started, 2),
            "ended_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "output": stage.output,
        } | more
        self.entries.append(entry)
        line = orjson.dumps(entry)
        if self._record is not None:
            with self._record.open("ab") as file:
                file.write(line + b"\n")
        if not self._console.is_terminal:
            sys.stderr.write(line.decode() + "\n")
            sys.stderr.flush()


class Stage:
    """One running stage. Call it as a `ProgressCallback`; put results into `output`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.output: dict[str, Any] = {}
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def bind(self, progress: Progress, task: TaskID) -> None:
        """Show on this bar."""
        self._progress, self._task = progress, task

    @property
    def summary(self) -> str:
        """What the finished bar says."""
        return ", ".join(f"{key} {value}" for key, value in list(self.output.items())[:4])

    def __call__(self, doing: str, fraction: float) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=min(max(fraction, 0.0), 1.0), description=doing)
