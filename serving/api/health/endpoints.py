"""`/health/live`, `/health/ready`, `/version`, `/metrics`: for the machinery, outside /v1."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from serving.api.dependencies import ContextDependency, ServicesDependency
from serving.api.documentation import errors, ok
from serving.api.examples import LIVE, READY, VERSION
from serving.api.health.checks import Check, run_checks
from serving.api.metrics import CONTENT_TYPE
from serving.api.problems import UNAVAILABLE, problem_response

router = APIRouter(tags=["health"])


class LiveBody(BaseModel):
    """The process answers."""

    status: Literal["live"]


class CheckBody(BaseModel):
    """One part: `ok`, `degraded` (answers go on, marked), `failed`."""

    name: str
    status: Literal["ok", "degraded", "failed"]
    detail: str


class ReadyBody(BaseModel):
    """`ready`, or `degraded` while the graph server is away and reads come from the snapshot."""

    status: Literal["ready", "degraded"]
    release_id: str
    checks: list[CheckBody]


class VersionBody(BaseModel):
    """What runs and what it serves."""

    name: str
    version: str
    release_id: str


@router.get(
    "/health/live", operation_id="getLiveness", summary="Is the process alive", responses=errors(405, 500) | ok(LIVE)
)
def live() -> LiveBody:
    """Answers while the process can answer at all; looks at nothing else."""
    return LiveBody(status="live")


@router.get(
    "/health/ready",
    operation_id="getReadiness",
    summary="Can it serve",
    response_model=ReadyBody,
    responses=errors(405, 500, 503) | ok(READY),
)
def ready(context: ContextDependency, services: ServicesDependency) -> Response:
    """State process, graph, index, model, and that all of them are of the release in force.

    503 when a part fails or belongs to another release; a graph server that is away only degrades.
    """
    checks = run_checks(context, services.state, services.contexts.current_release())
    body = [CheckBody(**vars(check)) for check in checks]
    if _has(checks, "failed"):
        shown = [item.model_dump() for item in body]
        return problem_response(UNAVAILABLE, _failures(checks), instance="/health/ready", checks=shown)
    status: Literal["ready", "degraded"] = "degraded" if _has(checks, "degraded") else "ready"
    answer = ReadyBody(status=status, release_id=context.release_id, checks=body)
    return JSONResponse(answer.model_dump())


@router.get("/version", operation_id="getVersion", summary="What runs", responses=errors(405, 500) | ok(VERSION))
def read_version(context: ContextDependency) -> VersionBody:
    """Version of the software and the release that is served."""
    return VersionBody(name="ringfence", version=version("ringfence"), release_id=context.release_id)


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses=errors(401, 405, 500)
    | {
        200: {
            "description": "Prometheus text format 0.0.4",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": "ringfence_http_in_flight 1.0\n"}},
        }
    },
)
def metrics(context: ContextDependency, services: ServicesDependency) -> Response:
    """Counters and histograms by route template and status."""
    services.metrics.set_release(context.release_id)
    return Response(services.metrics.exposition(), media_type=CONTENT_TYPE)


def _has(checks: list[Check], status: str) -> bool:
    return any(check.status == status for check in checks)


def _failures(checks: list[Check]) -> str:
    return "; ".join(f"{check.name}: {check.detail}" for check in checks if check.status == "failed")
