"""What readiness looks at: each part is there, and all are of one release (TRUST SKEW)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ingestion.errors import GraphUnavailable, RingfenceError
from serving.api.dependencies import ScoringState
from serving.context import ServingContext

STATE_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One part and how it is."""

    name: str
    status: Literal["ok", "degraded", "failed"]
    detail: str


def run_checks(context: ServingContext, state: ScoringState, pointer: str | None) -> list[Check]:
    """Every check; `pointer` is the release that the workspace points at now."""
    release = context.parts.release
    return [
        _checked("state", lambda: _state(state, release.id)),
        _checked("graph", lambda: _graph(context)),
        _checked("index", lambda: _index(context)),
        _checked("model", lambda: _model(context)),
        _checked("release", lambda: _pointer(release.id, pointer)),
    ]


def _checked(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except RingfenceError as error:
        return Check(name=name, status="failed", detail=type(error).__name__)


def _state(state: ScoringState, release_id: str) -> Check:
    served = state.status(timeout_seconds=STATE_TIMEOUT_SECONDS)["release_id"]
    if served != release_id:
        return Check(name="state", status="failed", detail=f"serves {served}, not {release_id}")
    return Check(name="state", status="ok", detail=release_id)


def _graph(context: ServingContext) -> Check:
    release = context.parts.release
    try:
        held = context.store.held()
    except GraphUnavailable:
        return Check(name="graph", status="degraded", detail="away: reads come from the snapshot, marked stale")
    if held.lineage != release.graph_lineage or held.batch < release.graph_batch:
        wanted = f"{release.graph_lineage} batch {release.graph_batch}"
        detail = f"holds lineage {held.lineage} batch {held.batch}, not {wanted}"
        return Check(name="graph", status="failed", detail=detail)
    return Check(name="graph", status="ok", detail=f"lineage {held.lineage} batch {held.batch}")


def _index(context: ServingContext) -> Check:
    index, release = context.parts.index, context.parts.release
    if index is None:
        return Check(name="index", status="degraded", detail="the release has none: similar entities are not found")
    if index.id != release.index_id:
        return Check(name="index", status="failed", detail=f"{index.id}, not {release.index_id}")
    return Check(name="index", status="ok", detail=index.id)


def _model(context: ServingContext) -> Check:
    model, release = context.parts.model, context.parts.release
    if model.id != release.model_id or context.parts.snapshot.id != release.snapshot_id:
        detail = f"{model.id} on {context.parts.snapshot.id}, not {release.model_id} on {release.snapshot_id}"
        return Check(name="model", status="failed", detail=detail)
    return Check(name="model", status="ok", detail=model.id)


def _pointer(release_id: str, pointer: str | None) -> Check:
    if pointer != release_id:
        return Check(name="release", status="failed", detail=f"{pointer} is in force, {release_id} is served")
    return Check(name="release", status="ok", detail=release_id)
