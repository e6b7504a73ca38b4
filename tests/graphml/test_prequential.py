"""Folds fitted and scored: kept, found again, gone on with after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphml.own_models import Entry
from tests.graphml.prequential_case import PLAN, SEEDS, Noisy, case, entry


@pytest.fixture(autouse=True)
def count() -> None:
    Noisy.fits = 0


def scores(found: dict) -> bytes:  # type: ignore[type-arg]
    return b"".join(one.scores.tobytes() for rows in found.values() for seed in rows for one in seed)


def test_every_row_is_fitted_once_a_fold_and_seed_and_then_found(tmp_path: Path) -> None:
    told: list[float] = []
    first = case(tmp_path).run([entry()], SEEDS, progress=lambda what, fraction: told.append(fraction))
    assert Noisy.fits == len(SEEDS) * PLAN.num_folds == len(told) and told == sorted(told)
    assert [len(seed) for seed in first["noisy"]] == [PLAN.num_folds] * len(SEEDS)
    again = case(tmp_path).run([entry()], SEEDS)
    assert Noisy.fits == 6 and scores(again) == scores(first)
    assert first["noisy"][0][0].cpu_seconds == again["noisy"][0][0].cpu_seconds >= 0


def test_more_seeds_or_rows_compute_only_the_rest(tmp_path: Path) -> None:
    case(tmp_path).run([entry()], [0])
    case(tmp_path).run([entry(), entry("other")], [0, 1])
    assert Noisy.fits == 3 + 9


def test_what_may_change_a_score_has_a_result_of_its_own(tmp_path: Path) -> None:
    case(tmp_path).run([entry()], [0])
    case(tmp_path).run([entry(strength=2.0)], [0])
    assert Noisy.fits == 6
    case(tmp_path, days=37).run([entry()], [0])  # other folds
    assert Noisy.fits == 9


def test_a_killed_evaluation_goes_on_and_ends_in_the_same_numbers(tmp_path: Path) -> None:
    whole = case(tmp_path / "whole").run([entry()], SEEDS)
    command = [sys.executable, "-m", "tests.graphml.prequential_case", str(tmp_path / "killed"), "4"]
    died = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert len(list((tmp_path / "killed").rglob("*.npz"))) == 3
    Noisy.fits = 0
    resumed = case(tmp_path / "killed").run([entry()], SEEDS)
    assert Noisy.fits == 3, "the three that were there are not made again"
    assert scores(resumed) == scores(whole)


def test_any_flipped_bit_of_a_result_is_found(tmp_path: Path) -> None:
    judged = case(tmp_path)
    before = judged.result(entry(), 0, 0)
    (path,) = tmp_path.rglob("*.npz")
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert judged.result(entry(), 0, 0).scores.tobytes() == before.scores.tobytes(), at


@pytest.mark.parametrize(
    "damage", [lambda data: data[:40], lambda data: b"", lambda data: data[:70] + b"x" + data[71:]]
)
def test_a_damaged_result_is_made_again(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    first = case(tmp_path).run([entry()], [0])
    path = sorted(tmp_path.rglob("*.npz"))[1]
    path.write_bytes(damage(path.read_bytes()))
    assert scores(case(tmp_path).run([entry()], [0])) == scores(first)
    assert Noisy.fits == 4


def test_the_control_sees_shuffled_links(tmp_path: Path) -> None:
    seen = {}

    class Looks(Noisy):
        def fit(self, view) -> None:  # type: ignore[no-untyped-def]
            seen[self.seed] = view.graph.entity.copy()

    def control(shuffled: bool) -> Entry:
        return Entry(name="looks", make=Looks, fingerprint="looks", edges_shuffled=shuffled)

    found = case(tmp_path)
    found.result(control(False), 0, 0)
    assert np.array_equal(seen[0], found.data.graph.entity[: len(seen[0])])
    found.result(control(True), 0, 7)
    assert np.array_equal(seen[7][:, 0], seen[0][:, 0]), "sources stay"
