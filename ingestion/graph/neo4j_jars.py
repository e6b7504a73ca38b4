"""The Neo4j Community server, fetched once from a Maven registry against the committed lock `neo4j.lock`.

The server is GPLv3: it is fetched when first needed, never shipped. Its jars lie in the user's cache
(`neo4j/5.26.30`), shared by workspaces; each is checked by SHA-256 before every start.

Registry: `RINGFENCE_MAVEN_MIRROR` (a base URL, or a folder in Maven's layout such as ~/.m2/repository), else the
repositories of jgo's configuration file, else Maven Central.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import certifi
import httpx
from filelock import FileLock
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL

from ingestion.artifacts import file_sha256, staging
from ingestion.cache import cache_folder
from ingestion.errors import RetryLater

Progress = Callable[[str, float], None]

VERSION = "5.26.30"
MIRROR_VARIABLE = "RINGFENCE_MAVEN_MIRROR"
_THREADS = 8
_ATTEMPTS = 3
_REMEDY = (
    f"Run the same command again; or set {MIRROR_VARIABLE} to a Maven mirror (URL or folder); or set "
    "RINGFENCE_GRAPH_URI to a Neo4j server of your own."
)


class JarsMissing(RetryLater):
    """The server's jars cannot be had for now; what was in the cache is as it was."""


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    coordinate: str
    sha256: str
    num_bytes: int

    @property
    def registry_path(self) -> str:
        """Path in Maven's layout.

        >>> Jar("io.netty:netty-x:4.1:linux-x86_64", "", 0).registry_path
        'io/netty/netty-x/4.1/netty-x-4.1-linux-x86_64.jar'
        """
        group, artifact, version, *classifier = self.coordinate.split(":")
        name = "-".join([artifact, version, *classifier])
        return f"{group.replace('.', '/')}/{artifact}/{version}/{name}.jar"

    @property
    def file_name(self) -> str:
        """Unique in one folder, which artifact names alone are not."""
        return self.coordinate.replace(":", "_") + ".jar"


@dataclass(frozen=True)
class ServerJars:
    """The complete, checked jars; `num_downloaded` bytes came over the network for it."""

    files: tuple[Path, ...]
    num_downloaded: int

    @property
    def class_path(self) -> str:
        """Only the jars of the lock: what else lies in the folder is not loaded."""
        return os.pathsep.join(str(file) for file in self.files)


@functools.cache
def read_lock() -> tuple[Jar, ...]:
    """The committed lock."""
    lines = Path(__file__).with_name("neo4j.lock").read_text(encoding="ascii").splitlines()
    fields = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Jar(coordinate, sha256, int(size)) for coordinate, sha256, size in fields)


def ensure_jars(progress: Progress | None = None, *, jars: tuple[Jar, ...] | None = None) -> ServerJars:
    """The server's jars, fetched where missing or damaged. Raises `JarsMissing` with what to do.

    Args:
        progress: called with what is being done and the fraction done.
        jars: the lock, if not the committed one (tests).
    """
    wanted = read_lock() if jars is None else jars
    parent = cache_folder() / "neo4j"
    parent.mkdir(exist_ok=True)
    folder = parent / VERSION
    with FileLock(parent / f"{VERSION}.lock"):
        missing = [jar for jar in wanted if not _is_good(folder / jar.file_name, jar)]
        downloaded = _fetch(missing, folder, progress) if missing else 0
    return ServerJars(tuple(folder / jar.file_name for jar in wanted), downloaded)


def registries() -> tuple[str, ...]:
    """Where to look, in order: base URLs or folders."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if mirror:
        return (mirror,)
    configured = GlobalSettings.load().repositories
    return tuple(dict.fromkeys([*configured.values(), MAVEN_CENTRAL_URL]))


def _is_good(path: Path, jar: Jar) -> bool:
    return path.is_file() and path.stat().st_size == jar.num_bytes and file_sha256(path) == jar.sha256


def _fetch(missing: list[Jar], folder: Path, progress: Progress | None) -> int:
    """Fetch all into a staging folder, then move: a failure leaves the cache as it was."""
    meter = _Meter(sum(jar.num_bytes for jar in missing), progress)
    with staging(folder.parent, prefix=VERSION) as staged, _client() as client:
        _fetch_all(missing, staged, _Source(registries(), client, meter))
        if not folder.exists():
            staged.rename(folder)
        else:
            for jar in missing:
                (staged / jar.file_name).replace(folder / jar.file_name)
    return meter.num_bytes


def _fetch_all(missing: Iterable[Jar], staged: Path, source: _Source) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(source.fetch, jar, staged / jar.file_name) for jar in missing]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _client() -> httpx.Client:
    """Trusts the system's authorities (a corporate one among them) and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return httpx.Client(verify=context, timeout=httpx.Timeout(30, connect=10), follow_redirects=True)


class _Meter:
    """Counts bytes over threads and tells how far it is."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.num_bytes = 0
        self._total = total
        self._progress = progress
        self._lock = threading.Lock()

    def add(self, num_bytes: int) -> None:
        with self._lock:
            self.num_bytes += num_bytes
            if self._progress is not None:
                done = min(self.num_bytes / self._total, 1.0)
                self._progress(f"fetching Neo4j {VERSION}: {self.num_bytes / 1e6:.0f} MB", done)


@dataclass(frozen=True)
class _Source:
    """The registries, asked in order, each a few times."""

    registries: tuple[str, ...]
    client: httpx.Client
    meter: _Meter

    def fetch(self, jar: Jar, path: Path) -> None:
        """One jar into `path`, checked against the lock."""
        reasons: list[str] = []
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(0.5 * 2**attempt)
            for registry in self.registries:
                try:
                    found = self._copy(f"{registry.rstrip('/')}/{jar.registry_path}", jar, path)
                except httpx.HTTPStatusError as error:  # its text holds the URL, in which a password may stand
                    reasons.append(f"HTTP {error.response.status_code}")
                    continue
                except (httpx.HTTPError, OSError) as error:
                    reasons.append(f"{type(error).__name__}: {error}")
                    continue
                if found == jar.sha256:
                    return
                reasons.append(f"SHA-256 is {found[:12]}…, the lock says {jar.sha256[:12]}…")
        raise JarsMissing(
            f"{jar.coordinate}, a jar of the Neo4j server, cannot be had ({reasons[-1]}).", remedy=_REMEDY
        )

    def _copy(self, location: str, jar: Jar, path: Path) -> str:
        """Copy from a URL or a folder, never more than the lock's size; return the SHA-256."""
        if not location.startswith(("http://", "https://")):
            shutil.copyfile(Path(location.removeprefix("file://")).expanduser(), path)
            self.meter.add(path.stat().st_size)
            return file_sha256(path)
        digest = hashlib.sha256()
        with self.client.stream("GET", location) as answer, path.open("wb") as file:
            answer.raise_for_status()
            for chunk in answer.iter_bytes(1 << 16):
                file.write(chunk)
                digest.update(chunk)
                self.meter.add(len(chunk))
                if file.tell() > jar.num_bytes:
                    break
        return digest.hexdigest()
