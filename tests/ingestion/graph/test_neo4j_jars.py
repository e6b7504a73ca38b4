"""The server's jars: against the lock, from a registry that lies, breaks or is not there."""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ingestion.graph import neo4j_jars
from ingestion.graph.neo4j_jars import Jar, JarsMissing, ensure_jars, read_lock, registries

CONTENT = {f"org.example:part-{name}:1.0": name.encode() * 5_000 for name in "abc"}
LOCK = tuple(Jar(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in CONTENT.items())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGFENCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return tmp_path / "cache" / "neo4j" / neo4j_jars.VERSION


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A folder in Maven's layout with the three jars."""
    folder = tmp_path / "registry"
    for jar in LOCK:
        path = folder / jar.registry_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT[jar.coordinate])
    return folder


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The registry over HTTP on a loopback port."""
    handler = partial(QuietHandler, directory=str(registry))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_port}"
        monkeypatch.setenv(neo4j_jars.MIRROR_VARIABLE, url)
        yield url
        httpd.shutdown()


def left_behind(cache: Path) -> list[str]:
    """What lies beside the published folder and its lock."""
    return [path.name for path in cache.parent.iterdir() if path.name not in (cache.name, f"{cache.name}.lock")]


def test_the_committed_lock_names_the_server_and_no_host() -> None:
    jars = {jar.coordinate: jar for jar in read_lock()}
    assert f"org.neo4j.app:neo4j-server:{neo4j_jars.VERSION}" in jars
    assert f"org.neo4j:neo4j:{neo4j_jars.VERSION}" in jars
    assert len(jars) == len(read_lock()) == 210
    assert sum(jar.num_bytes for jar in jars.values()) == 127_888_119
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars.values())
    assert len({jar.file_name for jar in jars.values()}) == len(jars)
    natives = [name for name in jars if re.search(r"osx|windows|aarch", name)]
    assert not natives, "native libraries of other platforms stay out"
    text = Path(neo4j_jars.__file__).with_name("neo4j.lock").read_text()
    assert "://" not in text


def test_jars_are_fetched_once(cache: Path, mirror: str) -> None:
    told: list[float] = []
    first = ensure_jars(lambda doing, fraction: told.append(fraction), jars=LOCK)
    assert first.num_downloaded == sum(jar.num_bytes for jar in LOCK)
    assert [file.read_bytes() for file in first.files] == list(CONTENT.values())
    assert told[-1] == 1.0 and told == sorted(told)
    assert ensure_jars(jars=LOCK).num_downloaded == 0
    assert not left_behind(cache)


def test_a_folder_can_be_the_registry(cache: Path, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(neo4j_jars.MIRROR_VARIABLE, str(registry))
    assert len(ensure_jars(jars=LOCK).files) == 3


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), "the lock says"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "the lock says"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x" * 100_000), "the lock says"),
        (lambda path: path.unlink(), "HTTP 404"),
    ],
    ids=["tampered", "truncated", "longer", "missing"],
)
def test_a_bad_registry_leaves_nothing_half_done(
    cache: Path, registry: Path, mirror: str, damage: object, says: str
) -> None:
    assert callable(damage)
    damage(registry / LOCK[1].registry_path)
    with pytest.raises(JarsMissing, match=says) as caught:
        ensure_jars(jars=LOCK)
    assert caught.value.exit_code == 75
    assert neo4j_jars.MIRROR_VARIABLE in caught.value.remedy and "RINGFENCE_GRAPH_URI" in caught.value.remedy
    assert "part-b" in str(caught.value)
    assert not cache.exists() and not left_behind(cache)


def test_an_unreachable_registry_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv(neo4j_jars.MIRROR_VARIABLE, f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(JarsMissing, match="ConnectError"):
            ensure_jars(jars=LOCK)
    assert not cache.exists() and not left_behind(cache)


@pytest.mark.parametrize("content", [b"", b"y" * 5_000, None], ids=["emptied", "tampered", "removed"])
def test_a_damaged_jar_in_the_cache_is_fetched_again(cache: Path, mirror: str, content: bytes | None) -> None:
    damaged = ensure_jars(jars=LOCK).files[2]
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    mended = ensure_jars(jars=LOCK)
    assert mended.num_downloaded == LOCK[2].num_bytes
    assert damaged.read_bytes() == CONTENT[LOCK[2].coordinate]


def test_a_damaged_jar_is_refused_while_the_registry_is_away(
    cache: Path, mirror: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = ensure_jars(jars=LOCK).files[0]
    damaged.write_bytes(b"z" * LOCK[0].num_bytes)
    monkeypatch.setenv(neo4j_jars.MIRROR_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(JarsMissing):
        ensure_jars(jars=LOCK)


def test_only_jars_of_the_lock_are_on_the_class_path(cache: Path, mirror: str) -> None:
    ensure_jars(jars=LOCK)
    (cache / "a-stranger.jar").write_bytes(b"")
    class_path = ensure_jars(jars=LOCK).class_path.split(":")
    assert [Path(entry).name for entry in class_path] == [jar.file_name for jar in LOCK]


def test_a_mirror_replaces_the_configured_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(neo4j_jars.MIRROR_VARIABLE, "http://127.0.0.1:1/maven")
    assert registries() == ("http://127.0.0.1:1/maven",)
    monkeypatch.delenv(neo4j_jars.MIRROR_VARIABLE)
    assert all(urlsplit(url).scheme == "https" for url in registries()) and registries()


def test_an_error_never_shows_the_mirrors_password(cache: Path, mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(neo4j_jars.MIRROR_VARIABLE, mirror.replace("http://", "http://someone:canary@") + "/nowhere")
    with pytest.raises(JarsMissing) as caught:
        ensure_jars(jars=LOCK)
    assert "canary" not in str(caught.value)
