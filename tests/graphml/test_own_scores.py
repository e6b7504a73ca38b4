"""Scores of a user's own model: read with clear errors, judged as the ladder's rows are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from graphml.calibration import Calibration
from graphml.comparison import compare
from graphml.judged import FILE, Judged
from graphml.ladder import Ladder, TestWindow, judge_row
from graphml.own_scores import OwnScores, read_own_scores
from ingestion.errors import ArtifactError, DataContractError, UsageError

NUM = 400


@pytest.fixture(scope="module")
def judged() -> Judged:
    rng = np.random.default_rng(4)
    is_fraud = rng.random(NUM) < 0.1
    window = TestWindow(
        is_fraud=is_fraud,
        day=np.sort(rng.integers(0, 7, NUM)),
        party=rng.integers(0, 60, NUM),
        parties=rng.integers(-1, 60, (NUM, 2)),
        known_before=rng.random(NUM) < 0.02,
        amount=rng.integers(1, 100, NUM).astype(np.float64),
        unit="EUR",
    )
    validation = rng.random(NUM) < 0.1

    def scores(outcome: np.ndarray, strength: float) -> np.ndarray:
        return strength * outcome + np.random.default_rng(int(10 * strength)).normal(size=NUM)

    return Judged(
        validation_ids=tuple(f"v{row:04d}" for row in range(NUM)),
        validation_is_fraud=validation,
        validation_scores={"weak": scores(validation, 0.5), "strong": scores(validation, 2.0)},
        test_ids=tuple(f"t{row:04d}" for row in range(NUM)),
        test=window,
        test_scores={"weak": scores(is_fraud, 0.5), "strong": scores(is_fraud, 2.0)},
    )


@pytest.fixture(scope="module")
def ladder(judged: Judged) -> Ladder:
    rows = tuple(
        judge_row(
            judged.test,
            name=name,
            is_servable=True,
            cost=0,
            validation_average_precision=0.5,
            logits=judged.test_scores[name],
            calibration=Calibration(slope=1.0, offset=0.0),
            alert_budget=0.05,
        )
        for name in judged.test_scores
    )
    return Ladder(
        rows=rows,
        served="strong",
        base_rate=float(judged.test.is_fraud.mean()),
        num_transactions=NUM,
        num_frauds=int(judged.test.is_fraud.sum()),
        alert_budget=0.05,
    )


def own_file(folder: Path, judged: Judged, *, name: str = "own.csv", ids: str = "transaction_id") -> Path:
    """Both windows' `weak` scores in any order, and two rows of neither."""
    rows = [*zip(judged.test_ids, judged.test_scores["weak"], strict=True)]
    rows += [*zip(judged.validation_ids, judged.validation_scores["weak"], strict=True), ("x1", 0.0), ("x2", 1.0)]
    order = np.random.default_rng(1).permutation(len(rows))
    table = pa.table({ids: [rows[at][0] for at in order], "score": [float(rows[at][1]) for at in order]})
    write = pq.write_table if name.endswith("parquet") else csv.write_csv
    write(table, folder / name)
    return folder / name


def test_what_was_judged_is_read_back(judged: Judged, tmp_path: Path) -> None:
    judged.write(tmp_path)
    back = Judged.read(tmp_path)
    assert (back.validation_ids, back.test_ids) == (judged.validation_ids, judged.test_ids)
    assert np.array_equal(back.validation_is_fraud, judged.validation_is_fraud)
    for name, values in vars(judged.test).items():
        assert np.array_equal(getattr(back.test, name), values), name
    for name in ("weak", "strong"):
        assert back.test_scores[name].tobytes() == judged.test_scores[name].tobytes()
        assert back.validation_scores[name].tobytes() == judged.validation_scores[name].tobytes()
    pq.write_table(pq.read_table(tmp_path / FILE).replace_schema_metadata(None), tmp_path / FILE)
    with pytest.raises(ArtifactError, match="earlier version"):
        Judged.read(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(ArtifactError, match="earlier version"):
        Judged.read(tmp_path)


@pytest.mark.parametrize(("name", "ids"), [("own.csv", "transaction_id"), ("own.parquet", "id")])
def test_an_own_row_is_judged_as_the_ladders_own(
    judged: Judged, ladder: Ladder, tmp_path: Path, name: str, ids: str
) -> None:
    own = read_own_scores(own_file(tmp_path, judged, name=name, ids=ids), judged)
    assert own.test.tobytes() == judged.test_scores["weak"].tobytes()
    assert own.num_ignored == 2
    found = compare(ladder, judged, {"mine": own})
    mine, weak = found.rows[-1], found.rows[0]
    assert (mine.name, weak.name) == ("mine", "weak")
    for metric in ("average_precision", "auc", "card_precision", "recall_at_budget", "value_recall_at_budget"):
        assert getattr(mine, metric) == getattr(weak, metric), metric
    assert found.differences["mine"] == found.differences["weak"]
    assert found.differences["mine"].high < 0, "weaker than the served row, whatever the draw"
    assert mine.calibration_error is not None and mine.calibration_error < 0.1
    assert found.suspects == ()


def test_without_validation_scores_nothing_is_calibrated(judged: Judged, ladder: Ladder) -> None:
    own = OwnScores(test=judged.test_scores["weak"], validation=None, num_ignored=0)
    row = compare(ladder, judged, {"mine": own}).rows[-1]
    assert (row.calibration_error, row.validation_average_precision) == (None, None)


def test_scores_on_any_scale_are_calibrated(judged: Judged, ladder: Ladder) -> None:
    plain = compare(ladder, judged, {"mine": own_scaled(judged, 1.0)}).rows[-1]
    assert plain.calibration_error is not None
    for scale in (1e-12, 1e12, 1e99):
        row = compare(ladder, judged, {"mine": own_scaled(judged, scale)}).rows[-1]
        assert row.calibration_error == pytest.approx(plain.calibration_error, abs=1e-3), scale
        assert row.average_precision == plain.average_precision


def own_scaled(judged: Judged, scale: float) -> OwnScores:
    test, validation = judged.test_scores["strong"], judged.validation_scores["strong"]
    return OwnScores(test=test * scale, validation=validation * scale, num_ignored=0)


def test_scores_that_know_the_outcome_are_suspected(judged: Judged, ladder: Ladder) -> None:
    noise = np.random.default_rng(0).normal(scale=0.1, size=NUM)
    own = OwnScores(test=judged.test.is_fraud + noise, validation=None, num_ignored=0)
    assert compare(ladder, judged, {"leaky": own}).suspects == ("leaky",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda ids, scores: (ids[1:], scores[1:]), "no score for 1 of the 400 judged .* t0000"),
        (lambda ids, scores: ([*ids, ids[3]], [*scores, 0.5]), "t0003 twice"),
        (lambda ids, scores: (ids, [*scores[:5], float("nan"), *scores[6:]]), "row 6: the score of t0005 is nan"),
        (lambda ids, scores: (ids, [*scores[:5], None, *scores[6:]]), "row 6: the score of t0005 is None"),
        (lambda ids, scores: (ids, [*scores[:5], float("inf"), *scores[6:]]), "row 6: the score of t0005 is inf"),
        (lambda ids, scores: (ids, ["high"] * len(ids)), "`score` holds no numbers"),
    ],
    ids=["missing", "twice", "nan", "null", "inf", "words"],
)
def test_bad_scores_name_the_row_and_the_remedy(judged: Judged, tmp_path: Path, change, told: str) -> None:  # type: ignore[no-untyped-def]
    ids, scores = change(list(judged.test_ids), judged.test_scores["weak"].tolist())
    pq.write_table(pa.table({"transaction_id": ids, "score": scores}), tmp_path / "own.parquet")
    with pytest.raises(DataContractError, match=told) as caught:
        read_own_scores(tmp_path / "own.parquet", judged)
    assert caught.value.remedy


def test_a_file_that_is_no_table_of_scores_is_refused(judged: Judged, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        read_own_scores(tmp_path / "nowhere.csv", judged)
    csv.write_csv(pa.table({"key": ["a"], "value": [1.0]}), tmp_path / "other.csv")
    with pytest.raises(DataContractError, match="has the columns key, value"):
        read_own_scores(tmp_path / "other.csv", judged)
    (tmp_path / "twice.csv").write_text("id,score,score\na,1,2\n")
    with pytest.raises(DataContractError, match="has score twice as a column"):
        read_own_scores(tmp_path / "twice.csv", judged)
    csv.write_csv(pa.table({"id": judged.test_ids, "score": judged.test_scores["weak"] * 1e305}), tmp_path / "huge.csv")
    with pytest.raises(DataContractError, match="which ranks nothing"):
        read_own_scores(tmp_path / "huge.csv", judged)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataContractError, match="cannot be read"):
        read_own_scores(tmp_path / "broken.parquet", judged)


def test_a_part_of_the_validation_window_is_refused(judged: Judged, tmp_path: Path) -> None:
    ids = [*judged.validation_ids[5:], *judged.test_ids]
    path = tmp_path / "part.csv"
    csv.write_csv(pa.table({"id": ids, "score": np.arange(len(ids), dtype=float)}), path)
    with pytest.raises(DataContractError, match=f"for 5 of the {NUM} judged transactions of the validation window, v0"):
        read_own_scores(path, judged)


def test_ids_that_are_lists_or_empty_are_refused(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "ids.parquet"
    pq.write_table(pa.table({"id": pa.array([["a"], ["b"]]), "score": [1.0, 2.0]}), path)
    with pytest.raises(DataContractError, match="`id` holds no ids"):
        read_own_scores(path, judged)
    pq.write_table(pa.table({"id": ["a", None], "score": [1.0, 2.0]}), path)
    with pytest.raises(DataContractError, match="row 2: `id` is empty"):
        read_own_scores(path, judged)
