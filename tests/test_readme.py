"""What the README says is there, and its commands exist."""

import re
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from serving.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
#: Indented lines and what stands in backticks.
CODE = "\n".join(re.findall(r"^    .*$|`[^`\n]+`", README, re.MULTILINE))


def test_the_two_commands_and_their_size_come_first() -> None:
    first, second, third = README.splitlines()[:3]
    assert [line.split("#")[0].strip() for line in (first, second)] == ["make demo", "make test"]
    assert re.search(r"\d GB of Python packages.* \d GB of disk", third)
    assert not re.search(r"@[A-Z]+@", README)


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"(?:^    |[`(])((?:[a-z_]+/)+[\w./]*|[A-Z]+\.md)", README, re.M)))
)
def test_every_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^    |`)make ([a-z]+)", CODE, re.M))))
def test_every_make_target_is_known(target: str) -> None:
    run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def commands(within: typer.Typer = app) -> list[list[str]]:
    """Every command of the command line, by its words: those of its groups first."""
    found = [[command.name or command.callback.__name__] for command in within.registered_commands]
    for group in within.registered_groups:
        found += [[group.name, *words] for words in commands(group.typer_instance)]
    return found


@pytest.mark.parametrize(
    "words", sorted(set(re.findall(r"ringfence ((?:(?:data|mapping|graph|model|index) )*[a-z]+)", CODE)))
)
def test_every_command_of_the_readme_is_known(words: str) -> None:
    assert words.split() in commands()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    assert "Example: ringfence " + " ".join(words) in shown.output
