"""The doctor runs with nothing installed and names what is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving import doctor

ROOT = Path(__file__).resolve().parents[2]


def test_it_runs_on_the_standard_library_alone() -> None:
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "serving" / "doctor.py"), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    report = json.loads(run.stdout)
    names = {check["name"]: check for check in report["checks"]}
    assert names["Python"]["state"] == "ok"
    assert run.returncode == (0 if report["ok"] else 1)
    assert all(check["remedy"] for check in report["checks"] if check["state"] == "missing")


def test_a_missing_tool_and_an_old_java_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("RINGFENCE_JAVA_HOME", raising=False)
    assert doctor.check_tool("git", "to clone").state == "missing"
    assert doctor.check_java().state == "note"
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    assert doctor.check_java().state == "note"
    old.write_text("#!/bin/sh\necho 'openjdk version \"21.0.2\"' >&2\n")
    assert doctor.check_java().state == "ok"


def test_the_pins_are_read() -> None:
    assert doctor.pinned_versions()["torch"] == "2.13.0"
