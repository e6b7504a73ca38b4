"""Results are computed once for each key, and survive the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks._results import NotKept, Results


def test_a_result_is_computed_once_for_each_key(tmp_path: Path) -> None:
    calls = []

    def compute(value: float) -> dict[str, np.ndarray]:
        calls.append(value)
        return {"logits": np.asarray([value])}

    for setting in (1, 2, 1):
        found = Results(folder=tmp_path).get("row", {"setting": setting}, lambda setting=setting: compute(setting))
        assert found["logits"].tolist() == [setting]
        assert float(found["cpu_seconds"]) >= 0
    assert calls == [1, 2]


def test_a_computation_that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    def killed() -> dict[str, np.ndarray]:
        raise KeyboardInterrupt

    results = Results(folder=tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        results.get("row", {}, killed)
    assert results.get("row", {}, lambda: {"logits": np.zeros(1)})["logits"].tolist() == [0.0]


def test_a_report_of_what_is_kept_computes_nothing(tmp_path: Path) -> None:
    Results(folder=tmp_path).get("row", {"setting": 1}, lambda: {"logits": np.ones(1)})
    kept = Results(folder=tmp_path, kept_only=True)
    assert kept.get("row", {"setting": 1}, lambda: pytest.fail("computed"))["logits"].tolist() == [1.0]
    with pytest.raises(NotKept, match="row"):
        kept.get("row", {"setting": 2}, lambda: pytest.fail("computed"))
