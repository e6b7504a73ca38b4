"""The HTTP API as an ASGI application."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from serving.api.alerts.endpoints import router as alerts
from serving.api.auth import Authentication, bearer, is_open, key_header
from serving.api.dependencies import Services
from serving.api.docs.endpoints import router as docs
from serving.api.entities.endpoints import router as entities
from serving.api.errors import add_handlers
from serving.api.health.endpoints import router as health
from serving.api.investigations.endpoints import router as investigations
from serving.api.middleware import BodyGuard, LoadShedding, RequestEnvelope
from serving.api.models.endpoints import router as models
from serving.api.problems import Problem
from serving.api.transactions.endpoints import router as transactions

MAX_REQUESTS = 256
DESCRIPTION = (
    "Scores transactions, lists alerts, shows entities as of a time and investigates. Times are RFC 3339 in UTC, money "
    "is integer minor units with an ISO 4217 code, ids are strings, personal keys are tokens. Errors are RFC 9457 "
    "problem details."
)


def create_app(services: Services, *, api_key: str, max_requests: int = MAX_REQUESTS) -> FastAPI:
    """The application over its parts; everything but the open routes needs `api_key`.

    More than `max_requests` at once are turned away with 503.
    """
    app = routed_app()
    app.state.services = services
    add_handlers(app)
    app.add_middleware(BodyGuard)
    app.add_middleware(Authentication, key=api_key)
    app.add_middleware(LoadShedding, max_requests=max_requests)
    app.add_middleware(RequestEnvelope, metrics=services.metrics)
    return app


def routed_app() -> FastAPI:
    """The routes and their document alone."""
    app = FastAPI(
        title="ringfence",
        version=version("ringfence"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        telemetry={"tracing": False},
    )
    # Each router spells out its whole prefix: the route template in metrics and logs is the router's own.
    for router in (transactions, alerts, entities, investigations, models):
        app.include_router(router, dependencies=[Depends(bearer), Depends(key_header)])
    app.include_router(health)
    app.include_router(docs)
    app.openapi = partial(document, app)  # type: ignore[method-assign]  # FastAPI's own way to extend the document
    return app


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document: the problem schema, and either form of the key on every route that is not open."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            openapi_version="3.1.0",
        )
        schemas = made["components"]["schemas"]
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs") | {"Problem": problem}
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path, item in made["paths"].items():
            for operation in item.values():
                operation["security"] = [] if is_open(path) else [{"bearer": []}, {"key": []}]
        app.openapi_schema = made
    return app.openapi_schema
