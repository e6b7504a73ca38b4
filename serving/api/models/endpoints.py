"""`GET /v1/models`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serving.api.dependencies import ContextDependency
from serving.api.documentation import ok, read_errors
from serving.api.examples import MODELS
from serving.api.fields import Answer

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelBody(BaseModel):
    """A model and what it was measured at; average precision at the natural base rate comes first."""

    id: str
    in_force: bool
    snapshot_id: str
    index_id: str | None
    served_row: str = Field(description="Row of the ladder that is served")
    threshold: float = Field(description="Score from which on a transaction is an alert")
    metrics: dict[str, Any]


class ModelsAnswer(Answer):
    """The models of the release in force."""

    models: list[ModelBody]


@router.get("", operation_id="listModels", summary="List models", responses=read_errors() | ok(MODELS))
def list_models(context: ContextDependency) -> ModelsAnswer:
    """The model in force with its ladder."""
    parts = context.parts
    model = ModelBody(
        id=parts.model.id,
        in_force=True,
        snapshot_id=parts.release.snapshot_id,
        index_id=parts.release.index_id,
        served_row=parts.model.served_row,
        threshold=parts.model.threshold,
        metrics=parts.model.metrics,
    )
    return ModelsAnswer(release_id=context.release_id, models=[model])
