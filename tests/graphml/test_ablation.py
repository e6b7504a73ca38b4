"""Ablations: plans are checked, what is known is not computed again, verdicts follow the intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from graphml.ablation import WHOLE, Ablated, AblationPlan, ablate, training_for
from graphml.evaluation import Interval
from graphml.fused_training import FusedTraining
from graphml.run_config import TrainConfig
from ingestion.config import TrainSettings
from ingestion.errors import UsageError
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving.ablation_record import told, write
from tests.builders import build_snapshot, random_rows

PLAN = """
claim = "Wider | is better"
network = "graphsage"
folds = 2
seeds = [0]

[base]
epochs = 1
width = 8
seeds_per_epoch = 64

[parts.width]
width = 4

[parts."a|b"]
dropout = 0.0
"""


def plan(tmp_path: Path, text: str = PLAN) -> AblationPlan:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    return AblationPlan.read(file)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    rows, labels = random_rows(2_500, seed=5, fraud_rate=0.05)
    return build_snapshot(Workspace.open(tmp_path_factory.mktemp("ablation")), rows, labels=labels)


@pytest.fixture(scope="module")
def found(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ablated, Path, AblationPlan]:
    folder = tmp_path_factory.mktemp("kept")
    read = plan(folder)
    return ablate(snapshot, read, folder / "cache"), folder / "cache", read


def test_every_part_is_paired_with_the_whole(found: tuple[Ablated, Path, AblationPlan]) -> None:
    rows = found[0].rows
    assert [row.name for row in rows] == [WHOLE, "width", "a|b"]
    assert rows[0].difference is None
    for row in rows[1:]:
        assert row.difference is not None
        assert row.difference.low <= row.difference.value <= row.difference.high
        gap = row.average_precision.value - rows[0].average_precision.value
        assert row.difference.value == pytest.approx(gap)
    assert rows[1].average_precision.value != rows[0].average_precision.value


def test_a_second_run_computes_nothing_and_more_seeds_only_themselves(
    found: tuple[Ablated, Path, AblationPlan], snapshot: Snapshot
) -> None:
    first, folder, read = found
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    assert len(before) == 6  # three rows on two folds
    again = ablate(snapshot, read, folder)
    assert [row.average_precision for row in again.rows] == [row.average_precision for row in first.rows]
    more = read.model_copy(update={"seeds": (0, 1)})
    assert ablate(snapshot, more, folder).rows[0].seed_sd is not None
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    assert len(after) == 12
    assert all(after[path] == time for path, time in before.items())


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(-0.02, -0.01, "keep"), (-0.02, 0.01, "drop: nothing shown"), (0.01, 0.02, "drop")]
)
def test_verdicts(found: tuple[Ablated, Path, AblationPlan], low: float, high: float, verdict: str) -> None:
    whole, part, _ = found[0].rows
    row = replace(part, difference=Interval((low + high) / 2, low, high))
    judged = replace(found[0], rows=(whole, row))
    assert judged.verdict(row) == verdict
    assert judged.kept == (("width",) if verdict == "keep" else ())


def test_the_record_says_what_was_run_and_a_bar_breaks_no_table(
    found: tuple[Ablated, Path, AblationPlan], tmp_path: Path
) -> None:
    page = write(tmp_path, "wider", "snap-1", found[0])
    text = page.read_text()
    assert text == told("wider", "snap-1", found[0])
    assert "**Claim.** `Wider | is better`" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert {line.replace("\\|", "").count("|") for line in rows} == {8}
    assert "width = 4" in text and "snap-1" in text
    assert (tmp_path / "wider.json").exists()


@pytest.mark.parametrize(
    ("change", "told_of"),
    [
        (('network = "graphsage"', 'network = "trees"'), "network is 'trees'"),
        (("width = 4", "breadth = 4"), "width names 'breadth', which graphsage has not"),
        (("folds = 2", "folds = 0"), "folds is 0"),
        (("[parts.width]\nwidth = 4", ""), ""),
        (("epochs = 1", "epochs = 0"), "epochs is 0"),
        (("claim =", "claims ="), "claim"),
        (('[parts."a|b"]', "[parts.whole]"), "a part is called 'whole'"),
        (("seeds = [0]", "seeds = [0"), "is no TOML"),
    ],
)
def test_a_bad_plan_is_refused_by_name(tmp_path: Path, change: tuple[str, str], told_of: str) -> None:
    text = PLAN.replace(*change)
    if not told_of:  # one part is enough
        assert list(plan(tmp_path, text).parts) == ["a|b"]
        return
    with pytest.raises(UsageError) as refused:
        plan(tmp_path, text)
    assert told_of in refused.value.what
    assert refused.value.remedy


def test_a_part_is_judged_together_with_the_base(tmp_path: Path) -> None:
    base = PLAN.replace('"graphsage"', '"fused"').replace(
        "[parts.width]", "next_event = 0.1\nsurprise = true\n\n[parts.width]"
    )
    assert plan(tmp_path, base.replace("[parts.width]\nwidth = 4", "[parts.head]\nsurprise = false")).base["surprise"]
    with pytest.raises(UsageError, match="would not know what to expect"):
        plan(tmp_path, base.replace("[parts.width]\nwidth = 4", "[parts.loss]\nnext_event = 0.0"))


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        AblationPlan.read(tmp_path / "none.toml")


def test_settings_of_a_transformer() -> None:
    made = training_for("fused", {"epochs": 3, "pretraining": 2, "window": 8, "fanouts": [4, 4]}, (0, 1))
    assert isinstance(made, FusedTraining)
    assert (made.trainer.epochs, made.window, made.fanouts, made.columns) == (3, 8, (4, 4), (0, 1))
    assert made.pretraining is not None and made.pretraining.epochs == 2
    assert training_for("decoder", {}, (0,)).fanouts == (0, 0)


def test_graph_networks_need_no_features_of_the_event(snapshot: Snapshot) -> None:
    bare = SimpleNamespace(spec=replace(snapshot.spec, event=()))
    settings = TrainSettings(networks=("graphsage",))
    made = TrainConfig.of(SimpleNamespace(train=settings), bare)  # type: ignore[arg-type]
    assert [network.network for network in made.networks] == ["graphsage"]
    with pytest.raises(UsageError, match="no features of the event itself"):
        TrainConfig.of(SimpleNamespace(train=TrainSettings(networks=("fused",))), bare)  # type: ignore[arg-type]
