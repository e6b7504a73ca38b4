"""`GET /v1/alerts` and `GET /v1/alerts/{alert_id}`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from serving.alerts import AlertFilter, list_alerts, read_alert
from serving.api.alerts.schemas import AlertAnswer, AlertBody, AlertPage
from serving.api.dependencies import ContextDependency, ServicesDependency
from serving.api.documentation import ok, read_errors
from serving.api.examples import ALERT_ANSWER, ALERT_PAGE
from serving.api.fields import LimitParameter, Time
from serving.api.problems import NOT_FOUND, ApiError

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])
_OPERATION = "listAlerts"


@router.get("", operation_id=_OPERATION, summary="List alerts", responses=read_errors() | ok(ALERT_PAGE))
def list_all(
    context: ContextDependency,
    services: ServicesDependency,
    min_score: Annotated[float | None, Query(ge=0, le=1, description="Scores from here on")] = None,
    since: Annotated[Time | None, Query(description="Alerts from this time on")] = None,
    limit: LimitParameter = 50,
    cursor: Annotated[
        str | None, Query(max_length=512, description="`next_cursor` of the page before, with the same filters")
    ] = None,
) -> AlertPage:
    """Alerts, newest first. Pages stay in order while new alerts come in."""
    filters = {"min_score": min_score, "since": since}
    after = None
    if cursor is not None:
        available_at, identifier = services.cursors.read(cursor, operation=_OPERATION, filters=filters)
        after = (available_at, identifier)
    wanted = AlertFilter(min_score=min_score, since=since)
    found = list_alerts(context.app, wanted, limit=limit + 1, after=after)
    page, last = found[:limit], found[limit - 1] if len(found) > limit else None
    next_cursor = last and services.cursors.make([last.available_at, last.id], operation=_OPERATION, filters=filters)
    alerts = [AlertBody.of(alert) for alert in page]
    return AlertPage(release_id=context.release_id, alerts=alerts, next_cursor=next_cursor)


@router.get("/{alert_id}", operation_id="getAlert", summary="Read an alert", responses=read_errors() | ok(ALERT_ANSWER))
def read_one(
    context: ContextDependency,
    alert_id: Annotated[str, Path(pattern=r"^alert-[0-9a-f]{12}$", examples=["alert-0ae578d0e3e7"])],
) -> AlertAnswer:
    """One alert."""
    alert = read_alert(context.app, alert_id)
    if alert is None:
        raise ApiError(NOT_FOUND, f"There is no alert {alert_id}.")
    return AlertAnswer(release_id=context.release_id, alert=AlertBody.of(alert))
