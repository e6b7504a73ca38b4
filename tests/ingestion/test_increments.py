"""Night after night: an increment shares files with its parent and equals an ingest of everything in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from ingestion.contracts import TRANSACTION
from ingestion.ingest import IngestResult, ingest
from ingestion.mapping import load_mapping
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import DAY, START, Row, build_snapshot, label, random_rows, transaction
from tests.ingestion.tables import write_source

MAPPING = load_mapping("ringfence")
NOW = START + 200 * DAY
FOLDERS = ("transactions", "labels", "features", "entities")

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark", "small_parts")]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts so small that a few hundred rows have many."""
    monkeypatch.setattr("ingestion.jobs.sharing.CLOSED_ROWS", 30)
    monkeypatch.setattr("ingestion.features.job.ROWS_A_PART", 64)
    monkeypatch.setattr("ingestion.jobs.build.ENTITIES_A_PART", 16)


def night(workspace: Workspace, folder: Path, rows: list[Row], labels: list[Row], **options: Any) -> IngestResult:
    """Ingest one night's table."""
    return ingest(workspace, write_source(folder, rows, labels), MAPPING, now=NOW, **options)


def shared(parent: Snapshot, child: Snapshot, folder: str) -> tuple[int, int]:
    """Files of a folder that are the parent's own, and all of them."""
    before = {path.stat().st_ino for path in (parent.path / folder).iterdir()}
    files = list((child.path / folder).iterdir())
    return sum(path.stat().st_ino in before for path in files), len(files)


def equals_one_go(snapshot: Snapshot, folder: Path, alerts: tuple[str, ...] = ()) -> None:
    """Rows, order, labels, features, entities as the array path makes them of everything at once."""
    labels = snapshot.labels()
    explicit = labels.filter(pc.not_equal(labels.column("origin"), "matured"))
    rows = snapshot.transactions(TRANSACTION.names)
    whole = build_snapshot(
        Workspace.open(folder), rows, labels=explicit, roles=snapshot.roles, unreviewed_alerts=alerts, two_way=True
    )
    assert rows.to_pylist() == whole.transactions(TRANSACTION.names).to_pylist(), "the order of the sequence"
    assert labels.to_pylist() == whole.labels().to_pylist()
    assert snapshot.features().tobytes() == whole.features().tobytes()
    first = {(row["type"], row["key"]): row["first_known_at"] for row in snapshot.entities().to_pylist()}
    assert first == {(row["type"], row["key"]): row["first_known_at"] for row in whole.entities().to_pylist()}
    ours, theirs = snapshot.arrays.entity.ravel().tolist(), whole.arrays.entity.ravel().tolist()
    assert len(set(zip(ours, theirs, strict=True))) == len(set(ours)) == len(set(theirs)), "ids renamed one to one"
    assert snapshot.entities().column("entity_id").to_pylist() == list(range(snapshot.entities().num_rows))


@pytest.mark.parametrize("seed", [2])
def test_nights_with_late_rows_and_labels_equal_one_go(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, labels = random_rows(900, seed=seed, days=40, late_share=0.1)
    rows = [row for row in rows if row["source_key"] != row["target_key"]]  # the mapping has no transfer to oneself
    ids = {row["transaction_id"] for row in rows}
    labels = [entry for entry in labels if entry["transaction_id"] in ids]
    ends = [START + 25 * DAY, START + 32 * DAY, START + 60 * DAY]
    arrival = [max(row["event_time"], row["known_at"]) for row in rows]
    night_of = np.searchsorted(ends, arrival)
    straggler = rng.random(len(rows)) < 0.02  # delivered long after their known_at: the past changes
    night_of = np.where(straggler, np.minimum(night_of + 1, len(ends) - 1), night_of)
    of_row = {row["transaction_id"]: int(at) for row, at in zip(rows, night_of, strict=True)}
    told = [
        max(of_row[entry["transaction_id"]], int(np.searchsorted(ends[:-1], entry["known_at"]))) for entry in labels
    ]
    told = [min(at + int(rng.random() < 0.1), len(ends) - 1) for at in told]  # a label that is told late unmatures
    alerts = tuple(sorted(row["transaction_id"] for row in rows[::97]))
    workspace = Workspace.open(tmp_path / "workspace")
    before = None
    for number in range(len(ends)):
        its_rows = [row for row in rows if of_row[row["transaction_id"]] == number]
        its_labels = [entry for entry, at in zip(labels, told, strict=True) if at == number]
        result = night(workspace, tmp_path / str(number), its_rows, its_labels, unreviewed_alerts=alerts)
        snapshot = Snapshot.open(workspace)
        assert (result.num_new, result.num_quarantined) == (len(its_rows), 0)
        equals_one_go(snapshot, tmp_path / f"whole-{number}", alerts)
        if before is not None:
            assert snapshot.manifest["parent"] == before.id
        before = snapshot


def test_a_night_without_latecomers_shares_all_that_is_closed(tmp_path: Path) -> None:
    """And what it shares is the same file; a change deep in the past leaves what lies before it."""
    rows = [
        transaction(f"t{index:04d}", START + index * DAY // 20, f"account:a{index % 11}", f"merchant:m{index % 7}")
        for index in range(430)
    ]
    workspace = Workspace.open(tmp_path / "workspace")
    night(workspace, tmp_path / "1", rows[:400], [label("t0000", START + DAY)])
    first = Snapshot.open(workspace)
    night(workspace, tmp_path / "2", rows[400:420], [])
    second = Snapshot.open(workspace)
    equals_one_go(second, tmp_path / "whole-2")
    assert shared(first, second, "transactions") == (1, 2), "the first night's part was closed"
    assert shared(first, second, "features") == (6, 7), "400 rows are 6 whole parts of 64"
    assert shared(first, second, "entities") == (1, 2), "18 parties: a whole part of 16"
    kept, total = shared(first, second, "labels")
    assert (kept, total) == (1, 2)

    night(workspace, tmp_path / "3", rows[420:], [label("t0100", START + 6 * DAY)])  # known on the 6th day, told now
    third = Snapshot.open(workspace)
    equals_one_go(third, tmp_path / "whole-3")
    assert shared(second, third, "transactions")[0] == 1, "no row came late: the first part stays"
    assert shared(second, third, "labels")[0] == 0, "the label lies in the first part"
    assert shared(second, third, "features")[0] == 120 // 64, "features change from the 6th day on, 120 rows in"

    late = transaction("late", START + 10 * DAY, "account:new", "merchant:m1")
    night(workspace, tmp_path / "4", [late], [])
    fourth = Snapshot.open(workspace)
    equals_one_go(fourth, tmp_path / "whole-4")
    assert shared(third, fourth, "features")[0] == 200 // 64


def test_another_maturity_or_spec_rebuilds_what_hangs_on_it(tmp_path: Path) -> None:
    rows = [
        transaction(f"t{index:04d}", START + index * DAY // 20, f"account:a{index % 11}", f"merchant:m{index % 7}")
        for index in range(300)
    ]
    workspace = Workspace.open(tmp_path / "workspace")
    source = write_source(tmp_path / "1", rows, [label("t0000", START + DAY)])
    ingest(workspace, source, MAPPING, now=NOW)
    first = Snapshot.open(workspace)
    later = MAPPING.model_copy(update={"label_maturity_days": 9})
    ingest(workspace, source, later, now=NOW)
    second = Snapshot.open(workspace)
    assert second.manifest["parent"] == first.id
    assert shared(first, second, "transactions") == (1, 1)
    assert shared(first, second, "features")[0] == 140 // 64, "the first that matured did so on the 7th day"
    rebuilt = build_snapshot(
        Workspace.open(tmp_path / "whole"),
        rows,
        labels=[label("t0000", START + DAY)],
        roles=second.roles,
        maturity_days=9,
        two_way=True,
    )
    assert second.features().tobytes() == rebuilt.features().tobytes()
