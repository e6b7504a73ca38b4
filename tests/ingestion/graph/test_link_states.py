"""What each batch says of a link, by hand."""

from __future__ import annotations

from pathlib import Path

from ingestion.graph.link_states import link_states, restated
from ingestion.graph.rows import ancestors, batches_of, graph_rows
from ingestion.workspace import Workspace
from tests.builders import START, build_snapshot, link, transaction


def test_states_over_three_batches(tmp_path: Path) -> None:
    """x is revoked by batch 2; y is only in batches 1 and 3; z comes with batch 3."""
    workspace = Workspace.open(tmp_path)
    x, y, z = (link("account:a", f"account:{name}", START + 1, rule=name) for name in "xyz")
    revoked = x | {"revoked_at": START + 5, "reason": "hub"}
    rows = [transaction(name, START, f"account:{name}", "merchant:m") for name in "axyz"]
    first = build_snapshot(workspace, rows, links=[x, y])
    second = build_snapshot(workspace, [rows[0] | {"transaction_id": "b"}], parent=first, links=[revoked])
    third = build_snapshot(workspace, [rows[0] | {"transaction_id": "c"}], parent=second, links=[revoked, y, z])
    older = ancestors(workspace, third)

    def told(states: object) -> list[tuple[object, ...]]:
        columns = ("rule", "revoked_at", "batch", "until_batch")
        return sorted((tuple(row[name] for name in columns) for row in states.to_pylist()), key=str)  # type: ignore[attr-defined]

    states = link_states(third, older)
    assert told(states) == [
        ("x", START + 5, 2, None),
        ("x", None, 1, 2),
        ("y", None, 1, 2),
        ("y", None, 3, None),
        ("z", None, 3, None),
    ]
    assert told(graph_rows(third, batches_of(third, older), older).after(1).links) == told(states), (
        "y and x ended after 1"
    )
    assert told(graph_rows(third, batches_of(third, older), older).after(2).links) == [
        ("y", None, 3, None),
        ("z", None, 3, None),
    ]
    assert told(restated(states, 7)) == [("x", START + 5, 7, None), ("y", None, 7, None), ("z", None, 7, None)]
    assert told(link_states(first, [])) == [("x", None, 1, None), ("y", None, 1, None)]
