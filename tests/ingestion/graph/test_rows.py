"""A snapshot as graph rows, worked through by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingestion.graph.incidence import Incidence, Uses
from ingestion.graph.rows import GraphRows, ancestors, batches_of, graph_rows
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import START, build_snapshot, transaction


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    """Three batches; the second brings an earlier use of device d, the third a later one."""
    workspace = Workspace.open(tmp_path_factory.mktemp("workspace"))
    batches = [
        [transaction("t5", START + 5, "account:a", "merchant:m", parties=["ip:i", "device:d"])],
        [transaction("t3", START + 3, "account:a", "merchant:n", parties=["device:d"])],
        [transaction("t9", START + 9, "account:a", "account:a", parties=["device:d"], kind="transfer")],
    ]
    chain: list[Snapshot] = []
    for rows in batches:
        chain.append(build_snapshot(workspace, rows, parent=chain[-1] if chain else None))
    return chain


def workspace_of(chain: list[Snapshot]) -> Workspace:
    return Workspace.open(chain[0].path.parent.parent)


@pytest.fixture(scope="module")
def rows(chain: list[Snapshot]) -> GraphRows:
    older = ancestors(workspace_of(chain), chain[2])
    return graph_rows(chain[2], batches_of(chain[2], older), older)


def test_batches_are_told_by_the_ancestors(chain: list[Snapshot]) -> None:
    older = ancestors(workspace_of(chain), chain[2])
    assert [snapshot.id for snapshot in older] == [chain[1].id, chain[0].id]
    assert chain[2].transaction_ids.to_pylist() == ["t3", "t5", "t9"]
    assert batches_of(chain[2], older).tolist() == [2, 1, 3]
    assert batches_of(chain[2], older[:1]).tolist() == [1, 1, 3], "the oldest that is there counts as the first"
    assert batches_of(chain[2], []).tolist() == [1, 1, 1]


def test_entities_come_with_the_batch_that_names_them_first(rows: GraphRows) -> None:
    found = rows.entities.select(["key", "type", "batch"]).to_pylist()
    assert {row["key"]: (row["type"], row["batch"]) for row in found} == {
        "account:a": ("account", 1),
        "merchant:m": ("merchant", 1),
        "device:d": ("device", 1),
        "ip:i": ("ip", 1),
        "merchant:n": ("merchant", 2),
    }


def test_transactions_name_their_parties_in_the_order_of_types(rows: GraphRows) -> None:
    found = {row["tx"]: row for row in rows.transactions.to_pylist()}
    assert found["t5"]["parties"] == ["device:d", "ip:i"]
    assert found["t9"]["source"] == found["t9"]["target"]
    assert (found["t5"]["available_at"], found["t5"]["batch"]) == (START + 5, 1)


def test_a_use_has_one_row_each_time_it_gets_older(rows: GraphRows) -> None:
    key_of = dict(zip(*(rows.entities.column(name).to_pylist() for name in ("id", "key")), strict=True))
    found = [
        (key_of[row["used"]], row["first_known_at"] - START, row["batch"])
        for row in rows.uses.to_pylist()
        if key_of[row["user"]] == "account:a"
    ]
    assert sorted(found) == [("device:d", 3, 2), ("device:d", 5, 1), ("ip:i", 5, 1)]


def test_rows_after_a_batch(rows: GraphRows) -> None:
    later = rows.after(1)
    assert later.transactions.column("tx").to_pylist() == ["t3", "t9"]
    assert later.entities.column("key").to_pylist() == ["merchant:n"]
    assert later.uses.column("batch").to_pylist() == [2]
    assert rows.after(3).num_rows == 0
    assert rows.num_rows == 5 + 3 + 3


def test_a_snapshot_without_further_parties_has_no_uses(tmp_path: Path) -> None:
    snapshot = build_snapshot(Workspace.open(tmp_path), [transaction("t", START, "customer:c", "terminal:t")])
    rows = graph_rows(snapshot, batches_of(snapshot, []), [])
    assert rows.uses.num_rows == 0
    assert rows.transactions.column("parties").to_pylist() == [None]


def test_incidence_and_uses_by_hand() -> None:
    entity_NR = np.asarray([[0, 1, 2], [0, 0, -1], [3, 1, 2], [0, 1, 2], [3, 1, 3]])
    incidence = Incidence.of(entity_NR, 4)
    assert [incidence.before(entity, 9).tolist() for entity in range(4)] == [[0, 1, 3], [0, 2, 3, 4], [0, 2, 3], [2, 4]]
    assert incidence.before(0, 3).tolist() == [0, 1]
    uses = Uses.of(entity_NR, np.asarray([10, 20, 30, 40, 40]), ["a", "b", "c", "d"], 4)
    assert list(zip(uses.user, uses.used, uses.first_known_at, strict=True)) == [(0, 2, 10), (3, 2, 30), (3, 3, 40)]
    assert uses.known_by(3, 40).tolist() == [1, 2], "a use of oneself is one"
    assert uses.known_by(2, 29).tolist() == [0]
    assert uses.ends(np.asarray([0, 1])).tolist() == [0, 3, 2, 2]
