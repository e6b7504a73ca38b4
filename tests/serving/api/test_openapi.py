"""The OpenAPI document: reviewed, complete, every example true to its schema, readable as a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from serving.api.problems import BY_STATUS, PROBLEM_TYPES
from tests.serving.conftest import Api

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method} {path}", operation


def test_the_document_is_the_committed_one(document: dict[str, Any]) -> None:
    """A difference is reviewed, then committed: `python -m serving.api.write_document` writes it."""
    assert document == orjson.loads(COMMITTED.read_bytes())


def test_operations_have_stable_ids_and_examples_that_fit(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids) == 13
    checked = 0
    for name, operation in operations(document):
        contents = [item["content"] for item in operation["responses"].values()]
        contents += [operation["requestBody"]["content"]] if "requestBody" in operation else []
        for content in contents:
            for media_type, body in content.items():
                assert "example" in body, (name, media_type)
                schema = body["schema"] | {"components": document["components"]}
                jsonschema_rs.Draft202012Validator(schema).validate(body["example"])
                checked += 1
    assert checked > 100


def test_errors_are_those_of_one_table(document: dict[str, Any]) -> None:
    table = {"400", "401", "403", "404", "409", "412", "413", "415", "422", "429", "503", "504"}
    assert table <= {str(status) for status in BY_STATUS}
    for name, operation in operations(document):
        documented = {status for status in operation["responses"] if status >= "400"}
        if name.startswith("post"):
            assert table <= documented, name
        elif "/v1/" in name:
            assert table - {"400", "412", "413", "415"} <= documented, name
        for status in documented:
            (media_type,) = operation["responses"][status]["content"]
            assert media_type == "application/problem+json", name


def test_each_problem_type_has_a_page_without_script(api: Api) -> None:
    index = api.client.get("/problems").text
    for slug, problem in PROBLEM_TYPES.items():
        page = api.client.get(f"/problems/{slug}")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        assert problem.title in page.text and problem.uri in index
        assert "<script" not in page.text
    assert api.client.get("/problems/<script>").status_code == 404
    assert api.client.get("/problems/style.css").headers["content-type"].startswith("text/css")


def test_the_reference_page_shows_every_operation(api: Api, document: dict[str, Any]) -> None:
    page = api.client.get("/docs").text
    for _, operation in operations(document):
        assert f'id="{operation["operationId"]}"' in page
    assert "<script" not in page and "http://" not in page and "https://" not in page
