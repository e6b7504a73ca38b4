from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from ingestion import simulator

MODULES = [module.name for module in pkgutil.walk_packages(simulator.__path__, "ingestion.simulator.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in MODULES]
    assert sum(len(test.examples) for module in modules for test in finder.find(module)) >= 8
