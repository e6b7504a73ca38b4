"""Models of a user's own: loaded from a file, checked, run under settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphml.data_view import DataView, EvaluationData
from graphml.own_models import BadScores, OwnModelFailed, load_own_model, scored
from graphml.tuning import settings_of
from ingestion.errors import UsageError
from tests.graphml.cases import HOUR, graph_of

SOURCE = """
from dataclasses import dataclass
import neighbor_of_mine

@dataclass
class Mine:
    weight: float = 1.0
    seed: int = 0
    space = {"weight": [1.0, 2.0]}

    def fit(self, view):
        self.fitted = True

    def score(self, view):
        return view.features[:, 0] * self.weight + self.seed

class Plain:
    def fit(self, view): ...
    def score(self, view):
        return view.positions

class HalfDone:
    def fit(self, view): ...

not_a_class = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "neighbor_of_mine.py").write_text("")
    (tmp_path / "my_model.py").write_text(SOURCE)
    return tmp_path / "my_model.py"


@pytest.fixture
def view() -> DataView:
    graph = graph_of([[0, 1]] * 4, [i * HOUR for i in range(4)])
    data = EvaluationData(graph=graph, feature_names=("number",), read=lambda name: None, rows=np.arange(4))
    return data.to_score(np.asarray([1, 3]))


def test_a_class_of_a_file_becomes_a_row(file: Path, view: DataView) -> None:
    entry = load_own_model(f"{file}:Mine")
    assert (entry.name, entry.is_own, entry.space) == ("Mine", True, {"weight": [1.0, 2.0]})
    assert scored("Mine", entry.model(5), view).tolist() == [6.0, 8.0]
    other = entry.under({"weight": 2.0})
    assert scored("Mine", other.model(0), view).tolist() == [2.0, 6.0]
    assert other.fingerprint not in (entry.fingerprint, entry.under({"weight": 1.0}).fingerprint)
    assert scored("Plain", load_own_model(f"{file}:Plain").model(5), view).tolist() == [1.0, 3.0]


def test_the_fingerprint_follows_the_file(file: Path) -> None:
    before = load_own_model(f"{file}:Mine").fingerprint
    assert load_own_model(f"{file}:Mine").fingerprint == before
    assert load_own_model(f"{file}:Plain").fingerprint != before
    file.write_text(SOURCE + "# changed")
    assert load_own_model(f"{file}:Mine").fingerprint != before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my_model.py", "names no model"),
        ("my_model.py:not a name", "names no model"),
        ("elsewhere.py:Mine", "is not there"),
        ("my_model.py:Nobody", "has no class Nobody"),
        ("my_model.py:not_a_class", "has no class not_a_class"),
        ("my_model.py:HalfDone", "has no score in HalfDone"),
    ],
)
def test_what_is_no_model_is_told_with_a_remedy(file: Path, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        load_own_model(str(file.parent / name))
    assert caught.value.remedy


def test_a_file_that_cannot_be_imported_says_why(file: Path) -> None:
    file.write_text("import does_not_exist")
    with pytest.raises(UsageError, match="ModuleNotFoundError: No module named 'does_not_exist'"):
        load_own_model(f"{file}:Mine")


@pytest.mark.parametrize("error", ["SystemExit(0)", "ValueError('no frauds')", "GeneratorExit()"])
@pytest.mark.parametrize("step", ["__init__", "fit", "score"])
def test_whatever_a_model_raises_is_told_by_row_step_and_line(
    tmp_path: Path, view: DataView, step: str, error: str
) -> None:
    bodies = {name: f"raise {error}" if name == step else "pass" for name in ("__init__", "fit", "score")}
    lines = [f"    def {name}(self{'' if name == '__init__' else ', view'}): {body}" for name, body in bodies.items()]
    (tmp_path / "bad.py").write_text("\n".join(["class Bad:", *lines]))
    entry = load_own_model(f"{tmp_path / 'bad.py'}:Bad")
    line = 2 + ["__init__", "fit", "score"].index(step)
    with pytest.raises(OwnModelFailed, match=rf"Bad: {step} raised {error.split('(')[0]}: .*bad.py, line {line}"):
        model = entry.model(0)
        model.fit(view)
        model.score(view)


def test_our_own_errors_are_told_with_row_step_and_their_remedy(tmp_path: Path, view: DataView) -> None:
    (tmp_path / "peeks.py").write_text(
        "class Peeks:\n"
        "    def fit(self, view): ...\n"
        "    def score(self, view):\n"
        "        return view.features_at([99])\n"
    )
    with pytest.raises(
        OwnModelFailed, match=r"Peeks: score raised SealedRow: Position 99 .*peeks.py, line 4"
    ) as caught:
        load_own_model(f"{tmp_path / 'peeks.py'}:Peeks").model(0).score(view)
    assert "Look only at what lies before" in caught.value.remedy


def test_an_error_without_words_and_a_class_without_signature_are_told(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "class Odd(Exception):\n"
        "    def __str__(self): raise KeyError\n"
        "class Raises:\n"
        "    def __init__(self): raise Odd\n"
        "    def fit(self, view): ...\n"
        "    def score(self, view): ...\n"
        "class Unsigned(Raises):\n"
        "    __signature__ = 3\n"
    )
    with pytest.raises(OwnModelFailed, match=r"Raises: __init__ raised Odd: \(its text cannot be had: KeyError"):
        load_own_model(f"{tmp_path / 'odd.py'}:Raises").model(0)
    with pytest.raises(OwnModelFailed, match="Unsigned: __init__ raised TypeError"):
        load_own_model(f"{tmp_path / 'odd.py'}:Unsigned")


@pytest.mark.parametrize("space", ["range(3)", "np.asarray([1, 2])", "(1, 2)"])
def test_any_sequence_will_do_for_a_space(file: Path, space: str) -> None:
    body = "    def fit(self, view): ...\n    def score(self, view): ..."
    file.write_text(f"import numpy as np\nclass Mine:\n    space = {{'a': {space}}}\n{body}")
    assert len(settings_of(load_own_model(f"{file}:Mine").space, 12, 0)) in (2, 3)


def test_a_file_that_ends_the_program_is_told(file: Path) -> None:
    file.write_text("raise SystemExit(0)")
    with pytest.raises(UsageError, match="cannot be imported: SystemExit: 0"):
        load_own_model(f"{file}:Mine")


@pytest.mark.parametrize(
    ("space", "told"),
    [("{'a': []}", r"gives \[\] for 'a'"), ("{'a': 3}", "gives 3 for 'a'"), ("['a']", "is list, no dictionary")],
)
def test_a_space_that_nothing_can_be_drawn_from_is_refused(file: Path, space: str, told: str) -> None:
    file.write_text(f"class Mine:\n    space = {space}\n    def fit(self, view): ...\n    def score(self, view): ...")
    with pytest.raises(UsageError, match=told):
        load_own_model(f"{file}:Mine")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros(3), r"float64 of shape \(3,\) for 2 rows"),
        (np.zeros((2, 2)), r"float64 of shape \(2, 2\) for 2 rows"),
        (np.asarray(["high", "low"]), r"of shape \(2,\) for 2 rows"),
        (np.asarray([0.5, np.nan]), "1 of 2 scores are not finite, the first of row 1: nan"),
        ([0.5, np.inf], "1 of 2 scores are not finite, the first of row 1: inf"),
    ],
    ids=["short", "two columns", "words", "nan", "inf"],
)
def test_scores_that_rank_nothing_are_refused(view: DataView, given: object, told: str) -> None:
    class Bad:
        def fit(self, view: DataView) -> None: ...

        def score(self, view: DataView) -> object:
            return given

    with pytest.raises(BadScores, match=told):
        scored("Bad", Bad(), view)


@pytest.mark.parametrize("where", ["self.kept", "Memo.kept", "KEPT"])
def test_what_a_scoring_keeps_is_not_found_by_the_next_one(tmp_path: Path, view: DataView, where: str) -> None:
    path = tmp_path / "memo.py"
    path.write_text(
        "KEPT = {}\n"
        "class Memo:\n"
        "    kept = {}\n"
        "    def __init__(self): self.kept = self.kept if 'self' not in WHERE else {}\n"
        "    def fit(self, view): Memo.fitted = getattr(Memo, 'fitted', 0) + 1\n"
        "    def score(self, view):\n"
        f"        kept = {where}\n"
        "        kept[len(kept)] = 1\n"
        "        return view.positions * 0 + len(kept) + 10 * Memo.fitted\n"
        f"WHERE = {where!r}\n"
    )
    entry = load_own_model(f"{path}:Memo")
    model = entry.model(0)
    model.fit(view)
    found = [scored("Memo", model, view).tolist() for _ in range(3)]
    assert found[0] == found[1] == found[2]
    other = entry.model(0)
    other.fit(view)  # nor what an earlier fit left in the class
    assert scored("Memo", other, view).tolist() == found[0]


def test_a_model_that_cannot_be_copied_is_told(tmp_path: Path, view: DataView) -> None:
    path = tmp_path / "locked.py"
    path.write_text(
        "import threading\n"
        "class Locked:\n"
        "    def fit(self, view): self.lock = threading.Lock()\n"
        "    def score(self, view): return view.positions\n"
    )
    model = load_own_model(f"{path}:Locked").model(0)
    model.fit(view)
    with pytest.raises(OwnModelFailed, match="copied"):
        scored("Locked", model, view)


def test_each_model_keeps_the_file_as_it_was_read_and_can_pickle_its_classes(tmp_path: Path, view: DataView) -> None:
    path = tmp_path / "kinds.py"
    text = (
        "import pickle\n"
        "from enum import Enum\n"
        "from typing import NamedTuple\n"
        "class Kind(Enum):\n"
        "    A = 1\n"
        "class Pair(NamedTuple):\n"
        "    left: int = 3\n"
        "class Kinds:\n"
        "    def fit(self, view): self.pair = Pair()\n"
        "    def score(self, view): return view.positions + pickle.loads(pickle.dumps(self.pair)).left + Kind.A.value\n"
    )
    path.write_text(text)
    entry = load_own_model(f"{path}:Kinds")
    first, second = entry.model(0), entry.model(0)
    first.fit(view)
    path.write_text(text.replace("left: int = 3", "left: int = 4"))  # edited while an evaluation runs
    second.fit(view)
    third = entry.model(0)
    third.fit(view)
    wanted = (view.positions + 4).tolist()
    assert [scored("Kinds", model, view).tolist() for model in (first, second, third)] == [wanted] * 3
