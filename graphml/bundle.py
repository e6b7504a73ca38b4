"""The files of a model's folder; see `graphml.model` for what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from graphml.card import CardFacts, write_card
from graphml.code_version import code_version
from graphml.distributed import world_size
from graphml.fused_onnx import export_steps
from graphml.fused_row import FusedRow
from graphml.judged import Judged
from graphml.ladder import Ladder, report_calibration, report_curves
from graphml.prepared import FittedRow, Prepared


def write_bundle(folder: Path, model_id: str, prepared: Prepared, rows: list[FittedRow], ladder: Ladder) -> None:
    """Write all files of a model but its manifest into a staged folder."""
    servable = {row.name: row for row in rows if row.is_servable}
    for row in servable.values():
        row.scorer.save(folder)
        if isinstance(row.scorer, FusedRow):
            export_steps(row.scorer.network, folder, row.name)
    served = servable[ladder.served]
    manifest = prepared.snapshot.manifest
    config = {
        "feature_spec": manifest["feature_spec"],
        "roles": list(prepared.snapshot.roles),
        "types": list(prepared.context.graph.types),
        "alert_party": manifest["alert_party"],
        "label_maturity_days": manifest["label_maturity_days"],
        "windows": prepared.windows.as_dict(),
        "training": prepared.config.as_dict(),
        "processes": world_size(),
        "code_version": code_version(),
    }
    metrics = {
        "ladder": ladder.as_dict(),
        "base_rate": ladder.base_rate,
        "curves": report_curves(prepared.test, {row.name: row.test_logits for row in rows}),
        "calibration": report_calibration(prepared.test, served.policy.calibration(served.test_logits)),
        "history": {row.name: row.history for row in rows if row.history},
        "precision": {row.name: row.precision for row in rows if row.precision},
    }
    facts = CardFacts(
        model_id=model_id,
        code_version=code_version(),
        manifest=manifest,
        windows=prepared.windows,
        tasks=prepared.tasks,
        delay_days=int(manifest["label_maturity_days"]),
        ladder=ladder,
        policy=served.policy,
    )
    _judged(prepared, rows).write(folder)
    _write_json(folder / "config.json", config)
    _write_json(folder / "metrics.json", metrics)
    _write_json(folder / "calibration.json", {name: row.policy.as_dict() for name, row in servable.items()})
    (folder / "card.md").write_text(write_card(facts), encoding="utf-8")


def _judged(prepared: Prepared, rows: list[FittedRow]) -> Judged:
    """The scores of all rows, the shuffled one's too."""
    validation, test = prepared.tasks.validation, prepared.tasks.test
    ids = prepared.snapshot.transactions(["transaction_id"]).column("transaction_id")
    return Judged(
        validation_ids=tuple(ids.take(pa.array(validation.positions)).to_pylist()),
        validation_is_fraud=validation.is_fraud,
        validation_scores={row.name: row.validation_logits for row in rows},
        test_ids=tuple(ids.take(pa.array(test.positions)).to_pylist()),
        test=prepared.test,
        test_scores={row.name: row.test_logits for row in rows},
    )


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
