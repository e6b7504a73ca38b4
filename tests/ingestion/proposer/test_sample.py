"""How a file is written: separator, letters, numbers; and rows of its start, middle and end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion.errors import DataContractError
from ingestion.numbers import NumberFormat
from ingestion.proposer.sample import take_sample


def written(path: Path, header: list[str], rows: list[list[str]], mark: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(mark.join(row) for row in [header, *rows]) + "\n", encoding=encoding)
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_cuts_evenly(mark: str, tmp_path: Path) -> None:
    rows = [[str(row), f"a b{' ' * (row % 3)}c", f"{row}.5"] for row in range(40)]
    sample = take_sample(written(tmp_path / "t.csv", ["n", "text", "sum"], rows, mark))
    assert sample.written.delimiter == mark
    assert sample.table.column_names == ["n", "text", "sum"]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["1.234,50", "12,00", "1.000.000,99"], NumberFormat(decimal=",", thousands=".")),
        (["1,234.50", "12.00", "7.10"], NumberFormat(decimal=".", thousands=",")),
        (["1 234,50", "12,00", "7,10"], NumberFormat(decimal=",", thousands=" ")),
        (["1234.50", "12.00", "7.10"], NumberFormat()),
        (["1234", "12", "7"], NumberFormat()),
    ],
)
def test_numbers_are_read_as_they_are_written(values: list[str], form: NumberFormat, tmp_path: Path) -> None:
    rows = [[str(row), values[row % len(values)]] for row in range(30)]
    assert take_sample(written(tmp_path / "t.csv", ["n", "sum"], rows, ";")).written.numbers == form


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_letters_tell_the_encoding(encoding: str, tmp_path: Path) -> None:
    rows = [[str(row), "Größe"] for row in range(30)]
    sample = take_sample(written(tmp_path / "t.csv", ["n", "Händler"], rows, ";", encoding))
    assert sample.written.encoding == encoding
    assert sample.table["Händler"][0].as_py() == "Größe"


def test_a_letter_cut_in_two_at_a_block_is_no_other_encoding(tmp_path: Path) -> None:
    rows = [[str(row), "ü" * 40] for row in range(30_000)]
    assert take_sample(written(tmp_path / "t.csv", ["n", "x"], rows, ",")).written.encoding == "utf-8"


def test_utf16_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-16")
    with pytest.raises(DataContractError, match="UTF-16"):
        take_sample(path)


def test_a_long_file_is_seen_at_its_start_middle_and_end(tmp_path: Path) -> None:
    rows = [[str(row), "x" * 20] for row in range(60_000)]
    sample = take_sample(written(tmp_path / "t.csv", ["n", "x"], rows, ","), most_rows=3_000)
    seen = [int(value) for value in sample.table["n"].to_pylist()]
    assert len(seen) == 3_000
    assert (seen[0], seen[-1]) == (0, 59_999)
    assert any(20_000 < value < 40_000 for value in seen)
    assert sample.num_rows == pytest.approx(60_000, rel=0.05)


def test_of_a_folder_the_largest_file_is_looked_at(tmp_path: Path) -> None:
    written(tmp_path / "a_labels.csv", ["id", "label"], [["1", "fraud"]], ",")
    written(tmp_path / "b_payments.csv", ["id", "sum"], [[str(row), "1.5"] for row in range(50)], ",")
    assert take_sample(tmp_path).name == "b_payments.csv"
