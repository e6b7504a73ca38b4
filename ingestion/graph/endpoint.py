"""Where a graph server answers, and whether the process that a workspace started is still the same one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
import psutil

from ingestion.artifacts import write_atomically
from ingestion.config import Settings

FILE = "endpoint.json"
_CLOCK_TOLERANCE_SECONDS = 2.0  # a start time is boot time + ticks, and boot time is rounded


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A Neo4j server. `pid`, `pid_started` (seconds since 1970) and `lineage` are None for an external one.

    `num_downloaded` bytes were fetched to start it this time.
    """

    uri: str
    user: str
    password: str = field(repr=False)
    database: str
    pid: int | None = None
    pid_started: float | None = None
    lineage: str | None = None
    num_downloaded: int = 0

    @classmethod
    def external(cls, settings: Settings) -> Endpoint:
        """The server that the settings name."""
        assert settings.graph.uri is not None
        secret = settings.graph.password
        return cls(
            uri=settings.graph.uri,
            user=settings.graph.user,
            password="" if secret is None else secret.get_secret_value(),
            database=settings.graph.database,
        )

    @property
    def is_external(self) -> bool:
        return self.pid is None


def write_endpoint(folder: Path, endpoint: Endpoint) -> None:
    """Record a started server, without its password."""
    kept = {key: value for key, value in asdict(endpoint).items() if key not in ("password", "num_downloaded")}
    write_atomically(folder / FILE, orjson.dumps(kept))


def read_endpoint(folder: Path, password: str) -> Endpoint | None:
    """The recorded server; None when there is no record that can be read."""
    try:
        return Endpoint(**orjson.loads((folder / FILE).read_bytes()), password=password)
    except (FileNotFoundError, orjson.JSONDecodeError, TypeError):
        return None


def forget_endpoint(folder: Path) -> None:
    """Remove the record."""
    (folder / FILE).unlink(missing_ok=True)


def living_process(endpoint: Endpoint) -> psutil.Process | None:
    """The recorded process; None when it is gone, or when its pid belongs to another process by now."""
    if endpoint.pid is None or endpoint.pid_started is None:
        return None
    try:
        process = psutil.Process(endpoint.pid)
        same = abs(process.create_time() - endpoint.pid_started) <= _CLOCK_TOLERANCE_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None
