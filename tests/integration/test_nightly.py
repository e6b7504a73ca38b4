"""The main job by its command, killed at every fail point, and what it leaves behind."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.failpoints import NAMES
from ingestion.graph import server
from ingestion.graph.driver import connect
from ingestion.graph.open import open_graph_store
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.integration.conftest import SHORT

pytestmark = [pytest.mark.slow, pytest.mark.neo4j, pytest.mark.spark, pytest.mark.timeout(900)]

PERSONAL_COLUMNS = ("card_number", "ip_address", "holder_name", "email")


def nightly(workspace: Path, bank: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving", "nightly", str(bank / "transactions.parquet"), "--mapping", "ringfence"]
    return subprocess.run(
        [*command, "--workspace", str(workspace), "--json"],
        env=os.environ | SHORT | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def state_of(root: Path) -> dict[str, object]:
    """All that a run decides: artefact ids, release, alerts and the graph's content."""
    workspace = Workspace.open(root)
    release = workspace.current_release()
    assert release is not None
    store = open_graph_store(workspace, workspace.settings())
    try:
        graph = (store.canonical_hash(), store.contents().batch)
    finally:
        store.close()
    with sqlite3.connect(workspace.app_db) as database:
        alerts = database.execute("SELECT id, score FROM alerts ORDER BY id").fetchall()
    artefacts = [
        sorted(path.name for path in folder.iterdir() if path.is_dir())
        for folder in (workspace.snapshots, workspace.models, workspace.indexes)
    ]
    bound = {key: value for key, value in release.items() if key != "created_at"}
    return {"release": bound, "graph": graph, "alerts": alerts, "artefacts": artefacts}


def test_every_stage_says_how_long_it_took(small_workspace: Path) -> None:
    runs = sorted((small_workspace / "runs").iterdir())
    entries = [json.loads(line) for line in (runs[0] / "stages.jsonl").read_text().splitlines()]
    assert [entry["stage"] for entry in entries] == ["ingest", "graph", "train", "index", "score", "publish", "report"]
    assert all(entry["state"] == "done" for entry in entries)


def test_the_report_stands_alone_and_shows_the_ladder(small_workspace: Path) -> None:
    report = max((small_workspace / "runs").glob("*/report.html")).read_text()
    assert "<script" not in report
    assert "http://" not in report and "https://" not in report
    assert report.count("data:image/png;base64,") >= 4
    assert "(served)" in report


def test_a_second_run_reuses_everything(small_workspace: Path, small_bank: Path) -> None:
    before = state_of(small_workspace)
    run = nightly(small_workspace, small_bank)
    assert run.returncode == 0, run.stderr
    stages = {stage["stage"]: stage for stage in json.loads(run.stdout)["stages"]}
    assert stages["ingest"]["output"]["reused"] and stages["train"]["output"]["reused"]
    assert state_of(small_workspace) == before


def test_killed_at_every_fail_point_it_ends_as_a_clean_run(
    small_workspace: Path, small_bank: Path, tmp_path: Path
) -> None:
    root = tmp_path / "killed"
    root.mkdir(mode=0o700)
    shutil.copytree(small_workspace / "secrets", root / "secrets")  # the same token key, so the same tokens
    log = tmp_path / "reached"
    # increments only: tests/ingestion/graph; pruning: tests/ingestion/test_history.py
    not_on_this_path = {"graph.before_marker", "graph.after_marker", "prune.after_rename"}
    try:
        for point in NAMES:
            if point in not_on_this_path:
                continue
            run = nightly(root, small_bank, RINGFENCE_FAILPOINT=f"{point}:kill", RINGFENCE_FAILPOINT_LOG=str(log))
            assert run.returncode == -signal.SIGKILL, f"{point}: {run.returncode} {run.stderr[-2000:]}"
            assert log.read_text().splitlines()[-1] == point
        run = nightly(root, small_bank)
        assert run.returncode == 0, run.stderr
        assert state_of(root) == state_of(small_workspace)
    finally:
        subprocess.run([sys.executable, "-m", "serving", "graph", "stop", "--workspace", str(root)], check=False)


def personal_values(bank: Path) -> set[str]:
    """All account ids, card numbers, addresses, names and e-mails; card numbers also as people write them in memos."""
    table = pq.read_table(bank / "transactions.parquet")
    values = {value for name in PERSONAL_COLUMNS for value in table.column(name).to_pylist() if value}
    for side in ("source", "target"):
        pairs = zip(table.column(f"{side}_type").to_pylist(), table.column(f"{side}_id").to_pylist(), strict=True)
        values |= {key for kind, key in pairs if kind == "account"}
    return values


def as_typed(bank: Path) -> set[str]:
    """Card numbers in groups of four, as they stand in memos."""
    cards = {value for value in pq.read_table(bank / "transactions.parquet").column("card_number").to_pylist() if value}
    groups = [[card[i : i + 4] for i in range(0, len(card), 4)] for card in cards]
    return {separator.join(parts) for parts in groups for separator in (" ", "-")}


def cells(path: Path) -> list[str]:
    """Every value of every table of an SQLite file, as text."""
    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for name in tables for row in database.execute(f'SELECT * FROM "{name}"')]  # noqa: S608  # names from the file itself
    return [value.decode("latin-1") if isinstance(value, bytes) else str(value) for row in rows for value in row]


def text_of(path: Path) -> str:
    if path.suffix == ".parquet":
        return json.dumps(pq.read_table(path).to_pylist(), default=str)
    if path.open("rb").read(16) == b"SQLite format 3\0":
        return "\n".join(cells(path))
    return path.read_bytes().decode("latin-1")


def graph_text(workspace: Workspace) -> str:
    """Every property of every node and relationship: the store's files pack short strings."""
    endpoint = server.ensure_running(workspace, workspace.settings())
    with connect(endpoint) as driver:
        queries = ("MATCH (n) RETURN properties(n)", "MATCH ()-[r]->() RETURN properties(r)")
        records = [driver.execute_query(query, database_=endpoint.database).records for query in queries]
    return json.dumps([record.values() for found in records for record in found], default=str)


def test_no_personal_value_leaves_the_vault(small_workspace: Path, small_bank: Path) -> None:
    values = personal_values(small_bank)
    assert len(values) > 500
    workspace = Workspace.open(small_workspace)
    assert values <= set(cells(workspace.vault_db))  # the originals are there, and can be found
    run = nightly(small_workspace, small_bank)
    assert run.returncode == 0
    texts = {"stdout": run.stdout, "stderr": run.stderr}
    for path in small_workspace.rglob("*"):
        if path.is_file() and not path.name.startswith("vault.db") and "secrets" not in path.parts:
            texts[str(path)] = text_of(path)
    texts["graph"] = graph_text(workspace)
    assert Snapshot.open(workspace).id in texts["graph"]
    searched = values | as_typed(small_bank)
    found = [(value, place) for place, text in texts.items() for value in searched if value in text]
    assert found == []
