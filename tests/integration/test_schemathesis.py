"""A short Schemathesis run over every operation, in process: no undocumented answer, no server error, no finding."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.serving.conftest import API_KEY, Api, open_api
from tests.serving.served import Served

MAX_EXAMPLES = 20
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
OPERATIONS = sorted(
    operation["operationId"]
    for item in orjson.loads(DOCUMENT.read_bytes())["paths"].values()
    for operation in item.values()
)


@pytest.fixture(scope="module")
def fuzzed(built: Served) -> Iterator[Api]:
    """One API for the whole run, over the session's workspace: whoever compares takes a copy before."""
    yield from open_api(built)


@pytest.fixture(scope="module")
def document(fuzzed: Api) -> Any:
    """The schema, as the application gives it."""
    app: Any = fuzzed.client.app
    schemes = {"bearer": {"bearer": API_KEY}, "key": {"api_key": API_KEY}}
    config = schemathesis.Config.from_dict({"auth": {"openapi": schemes}})
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config, headers={"X-API-Key": API_KEY})


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_every_operation(document: Any, operation_id: str, mode: GenerationMode) -> None:
    operation = document.find_operation_by_id(operation_id)

    @settings(max_examples=MAX_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        if mode is GenerationMode.POSITIVE and "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = uuid.uuid4().hex  # a key of its own: with another body it is a 422
        case.call_and_validate()

    try:
        run()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "every operation can be called as documented"
