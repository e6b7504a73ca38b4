"""`POST /v1/transactions:score`."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter
from fastapi.responses import Response

from serving.api.dependencies import ContextDependency, ServicesDependency
from serving.api.documentation import ok, write_errors
from serving.api.examples import SCORE_ANSWER, SCORE_REQUEST
from serving.api.idempotency import Answer, IdempotencyKey
from serving.api.metrics import ApiMetrics
from serving.api.transactions.schemas import ScoreAnswer, ScoreRequest, rows_of

router = APIRouter(prefix="/v1", tags=["transactions"])


@router.post(
    "/transactions:score",
    operation_id="scoreTransactions",
    summary="Score transactions",
    response_model=ScoreAnswer,
    responses=write_errors() | ok(SCORE_ANSWER),
    openapi_extra={"requestBody": {"content": {"application/json": {"example": SCORE_REQUEST}}}},
)
def score_transactions(
    body: ScoreRequest,
    context: ContextDependency,
    services: ServicesDependency,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Score 1 to 1,000 transactions and keep them as history of their parties.

    Each is durable before it is answered. The same transaction again gets the same answer; a transaction that fits
    the schema but breaks the contract is answered with `status: quarantined` and not kept as history.
    """
    rows = rows_of(body)

    def work() -> Answer:
        results = services.state.score(rows)
        _count(services.metrics, results)
        return Answer(status=200, body=orjson.dumps({"release_id": context.release_id, "results": results}))

    answer = services.idempotency.run(
        idempotency_key, operation="scoreTransactions", body=orjson.dumps(rows), work=work
    )
    return answer.response()


def _count(metrics: ApiMetrics, results: list[dict[str, Any]]) -> None:
    for result in results:
        metrics.count_answer(status=result["status"], is_alert=bool(result.get("alert")))
