"""The examples in docstrings are run."""

import doctest
import importlib
from pathlib import Path

import pytest

from ingestion import native

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ingestion", "graphml", "retrieval", "serving")


def modules_with_examples() -> list[str]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files if ">>> " in path.read_text()]


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_hold(module: str) -> None:
    native.prepare()
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
