"""Independent computations leave the same results from one process and from several, and errors come through."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from benchmarks._workers import run_all


@pytest.mark.parametrize("workers", [1, 3])
def test_every_call_is_made_once(tmp_path: Path, workers: int) -> None:
    def write(number: int) -> None:
        with (tmp_path / str(number)).open("x") as file:
            file.write(str(number**2))

    run_all([partial(write, number) for number in range(5)], workers=workers)
    assert [(tmp_path / str(number)).read_text() for number in range(5)] == ["0", "1", "4", "9", "16"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised_here(workers: int) -> None:
    def fail() -> None:
        raise ValueError("row 7")

    with pytest.raises(ValueError, match="row 7"):
        run_all([lambda: None, fail], workers=workers)
