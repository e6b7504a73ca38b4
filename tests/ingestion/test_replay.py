"""Quarantine replay by Spark: what a mended mapping makes good enters once, the rest stays with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingestion.errors import DataContractError
from ingestion.ingest import IngestResult, ingest
from ingestion.mapping import Mapping, load_mapping
from ingestion.replay import Replay
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]

HANDBOOK = load_mapping("fraud-handbook")
STRICT = HANDBOOK.model_copy(update={"rules": HANDBOOK.rules.model_copy(update={"max_amount_minor": 1_000})})
HEADER = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO\n"


def write(path: Path, *, odd: str = "x") -> Path:
    """20 rows: lines 13 to 21 hold more than 10.00, line 7 a damaged amount."""
    lines = [f"{i},2018-04-01 {i:02d}:00:00,c{i % 3},t{i % 2},{i}.50,{int(i == 15)},0\n" for i in range(20)]
    lines[5] = lines[5].replace("5.50", odd)
    path.write_text(HEADER + "".join(lines))
    return path


def run(workspace: Workspace, source: Path, mapping: Mapping, **options: Any) -> IngestResult:
    return ingest(workspace, source, mapping, max_bad_share=1, **options)


def reasons(workspace: Workspace) -> dict[int, str]:
    table = Snapshot.open(workspace).quarantine()
    return {} if table is None else {row["line"]: row["reason"] for row in table.to_pylist()}


def test_replay_takes_what_is_good_now_and_keeps_the_rest(tmp_path: Path) -> None:
    source, workspace = write(tmp_path / "cards.csv"), Workspace.open(tmp_path / "workspace")
    first = run(workspace, source, STRICT)
    large = dict.fromkeys(range(12, 22), "amount_too_large")
    assert reasons(workspace) == large | {7: "amount_unreadable"}
    unchanged = run(workspace, source, STRICT, replay=Replay())
    assert (unchanged.reused, unchanged.snapshot_id) == (True, first.snapshot_id), "nothing became good"
    with pytest.raises(DataContractError, match="None of these files has a row in quarantine for id_missing"):
        run(workspace, source, HANDBOOK, replay=Replay(reason="id_missing"))
    mended = run(workspace, source, HANDBOOK, replay=Replay(reason="amount_too_large"))
    assert (mended.num_rows, mended.num_new, mended.num_quarantined, mended.batch) == (10, 10, 0, 2)
    assert reasons(workspace) == {7: "amount_unreadable"}
    snapshot = Snapshot.open(workspace)
    rows = {row["transaction_id"]: row["event_time"].hour for row in snapshot.transactions().to_pylist()}
    assert rows == {str(hour): hour for hour in range(20) if hour != 5}, "each keeps its own time"
    frauds = [row["transaction_id"] for row in snapshot.labels().to_pylist() if row["label"] == "fraud"]
    assert frauds == ["15"], "labels of the rows came with them"
    again = run(workspace, source, HANDBOOK, replay=Replay())
    assert (again.reused, again.snapshot_id) == (True, mended.snapshot_id)


def test_another_file_is_no_source_for_a_replay(tmp_path: Path) -> None:
    source, workspace = write(tmp_path / "cards.csv"), Workspace.open(tmp_path / "workspace")
    with pytest.raises(DataContractError, match="No row is in quarantine"):
        run(workspace, source, STRICT, replay=Replay())
    run(workspace, source, STRICT)
    write(source, odd="5.00")
    with pytest.raises(DataContractError, match="is not the file that the quarantined rows came from"):
        run(workspace, source, HANDBOOK, replay=Replay())


def test_rows_that_are_bad_are_kept_though_nothing_is_new(tmp_path: Path) -> None:
    source, workspace = write(tmp_path / "cards.csv"), Workspace.open(tmp_path / "workspace")
    run(workspace, source, HANDBOOK)
    more = tmp_path / "more.csv"
    more.write_text(HEADER + "0,2018-04-01 00:00:00,c0,t0,0.50,0,0\n77,never,c0,t0,1.00,0,0\n")
    result = run(workspace, more, HANDBOOK)
    assert (result.reused, result.num_new, result.num_quarantined, result.batch) == (False, 0, 1, 2)
    assert reasons(workspace) == {7: "amount_unreadable", 3: "time_unreadable"}
    assert run(workspace, more, HANDBOOK).reused


def test_the_manifest_says_what_nothing_vouches_for(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace")
    run(workspace, write(tmp_path / "cards.csv"), HANDBOOK)
    assert [entry["verified_by"] for entry in Snapshot.open(workspace).manifest["sources"]] == [None]
