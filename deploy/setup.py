"""Make the project's own virtual environment with the pinned versions. Standard library only.

    python3.11 deploy/setup.py --extras spark,train --stamp run -- [arguments for pip]

The environment is made once and made again when `pyproject.toml` or `constraints.txt` changes; an interrupted
set-up is simply repeated. Ends with what was downloaded and how much disk it takes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
UNITS = {"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "bytes": 1.0}


def pins() -> str:
    """Hash of the files that say what is installed."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def require_python() -> None:
    """Refuse another Python with what to do."""
    if sys.version_info[:2] != (3, 11):
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"ringfence needs Python 3.11, this is {version}. Name one: make demo PYTHON=/path/to/python3.11")


def fresh_environment(pins_now: str) -> None:
    """Keep the environment when its pins are these, else make a new one."""
    recorded = VENV / "pins"
    if recorded.exists() and recorded.read_text() == pins_now:
        return
    if VENV.exists():
        print("The pins changed: the environment is made again.", file=sys.stderr)
        shutil.rmtree(VENV)
    venv.create(VENV, with_pip=True)
    recorded.write_text(pins_now)


def show(text: str) -> None:
    """One line that is written over on a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r  {text:70.70}\r", end="", file=sys.stderr, flush=True)


def install(extras: str, pip_arguments: list[str]) -> float:
    """Install with pip, with progress on a terminal; return the bytes that pip downloaded."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "-c", str(ROOT / "constraints.txt"), *pip_arguments]
    command += ["-e", f"{ROOT}[{extras}]"]
    downloaded = 0.0
    log: list[str] = []
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.append(line)
            found = re.search(r"Downloading (\S+) \(([\d.]+) (\w+)\)", line)
            if found:
                downloaded += float(found[2]) * UNITS.get(found[3], 0.0)
                package = found[1].rsplit("/", 1)[-1].split("-")[0]
                show(f"{downloaded / 1e6:7.0f} MB, {time.monotonic() - started:4.0f} s  {package}")
            elif line.startswith("Installing collected"):
                show("installing …")
    show("")
    if process.returncode != 0:
        sys.stderr.writelines(log[-15:])
        sys.exit("Set-up failed: see pip's message above. With a package mirror: make setup PIP_ARGS='--index-url URL'")
    return downloaded


def disk_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def main() -> None:
    """Make or complete the environment and stamp it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", required=True, help="extras of pyproject.toml, comma-separated")
    parser.add_argument("--stamp", required=True, help="name of the stamp file that make looks at")
    parser.add_argument("pip_arguments", nargs="*", help="passed on to pip")
    arguments = parser.parse_args()
    require_python()
    started = time.monotonic()
    print("Setting up .venv (once; minutes, gigabytes: see README) …", file=sys.stderr)
    fresh_environment(pins())
    downloaded = install(arguments.extras, arguments.pip_arguments)
    (VENV / f".ready-{arguments.stamp}").touch()
    print(
        f"Set-up done in {time.monotonic() - started:.0f} s: downloaded {downloaded / 1e9:.2f} GB of packages, "
        f".venv takes {disk_bytes(VENV) / 1e9:.2f} GB of disk.",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
