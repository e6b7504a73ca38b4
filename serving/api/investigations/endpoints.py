"""`POST /v1/investigations` and `GET /v1/investigations/{investigation_id}`."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Path
from fastapi.responses import Response

from serving.api.dependencies import ContextDependency, ServicesDependency
from serving.api.documentation import ok, read_errors, write_errors
from serving.api.examples import INVESTIGATE_REQUEST, INVESTIGATION
from serving.api.idempotency import Answer, IdempotencyKey
from serving.api.investigations.repository import read
from serving.api.investigations.schemas import InvestigateAlert, InvestigateEntity, InvestigationAnswer
from serving.api.investigations.service import create
from serving.api.problems import NOT_FOUND, ApiError

router = APIRouter(prefix="/v1/investigations", tags=["investigations"])


@router.post(
    "",
    operation_id="createInvestigation",
    summary="Investigate an alert or an entity",
    status_code=201,
    response_model=InvestigationAnswer,
    responses=write_errors()
    | ok(INVESTIGATION, status=201, description="Made now; `Location` says where it is")
    | {
        200: {
            "description": "The same question of the same release was answered before",
            "model": InvestigationAnswer,
            "content": {"application/json": {"example": INVESTIGATION}},
        }
    },
    openapi_extra={"requestBody": {"content": {"application/json": {"example": INVESTIGATE_REQUEST}}}},
)
def create_investigation(
    body: InvestigateAlert | InvestigateEntity,
    context: ContextDependency,
    services: ServicesDependency,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Gather evidence as of the time in question and write a narrative in which every sentence cites evidence."""

    def work() -> Answer:
        investigation, is_new = create(context, body)
        return Answer(
            status=201 if is_new else 200,
            body=orjson.dumps({"release_id": context.release_id, "investigation": investigation}),
            location=f"/v1/investigations/{investigation['id']}",
        )

    asked = orjson.dumps(body.model_dump(mode="json"))
    answer = services.idempotency.run(idempotency_key, operation="createInvestigation", body=asked, work=work)
    return answer.response()


@router.get(
    "/{investigation_id}",
    operation_id="getInvestigation",
    summary="Read an investigation",
    responses=read_errors() | ok(INVESTIGATION),
)
def read_investigation(
    context: ContextDependency,
    investigation_id: Annotated[
        str, Path(pattern=r"^investigation-[0-9a-f]{12}$", examples=["investigation-77c0a1d9b2e4"])
    ],
) -> InvestigationAnswer:
    """One investigation, as it was made."""
    investigation = read(context.app, investigation_id)
    if investigation is None:
        raise ApiError(NOT_FOUND, f"There is no investigation {investigation_id}.")
    return InvestigationAnswer.model_validate({"release_id": context.release_id, "investigation": investigation})
