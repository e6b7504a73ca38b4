"""What a route is given: one reference to the release in force a request, and the parts that outlive releases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from serving.api.cursors import Cursors
from serving.api.idempotency import IdempotencyStore
from serving.api.metrics import ApiMetrics
from serving.context import ServingContext
from serving.context_holder import ContextHolder


class ScoringState(Protocol):
    """The state process, as its client sees it. `StateClient` is one."""

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answers of rows, in order. Raises `StateUnavailable`."""
        ...

    def status(self, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Its release and counts. Raises `StateUnavailable`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of one application."""

    contexts: ContextHolder[ServingContext]
    state: ScoringState
    cursors: Cursors
    idempotency: IdempotencyStore
    metrics: ApiMetrics


def services(request: Request) -> Services:
    """The parts of the application that serves this request."""
    found: Services = request.app.state.services
    return found


def serving_context(request: Request) -> Iterator[ServingContext]:
    """The release in force, the same one for the whole request."""
    with services(request).contexts.use() as context:
        yield context


ServicesDependency = Annotated[Services, Depends(services)]
ContextDependency = Annotated[ServingContext, Depends(serving_context)]
