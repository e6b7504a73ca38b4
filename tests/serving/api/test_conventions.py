"""What holds for every route: the key, problem details, ids, headers, limits, logs without data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from serving.api.auth import is_open
from serving.api.middleware import SECURITY_HEADERS
from serving.api.problems import PROBLEM_TYPES
from serving.times import rfc3339
from tests.serving.conftest import API_KEY, Api

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def paths(api: Api) -> Iterator[tuple[str, str]]:
    """Method and path of every route, documented or not, with something in place of parameters."""
    document = api.client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for method in item:
            yield method.upper(), re.sub(r"\{.*?\}", "x", path)
    yield from [("GET", path) for path in ("/docs", "/openapi.json", "/problems", "/problems/not-found")]


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A logical row as a client sends it."""
    return row | {"event_time": rfc3339(row["event_time"]), "known_at": rfc3339(row["known_at"])}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": "", "Authorization": "Bearer wrong"},
        {"X-API-Key": "", "Authorization": f"Basic {API_KEY}"},
        {"X-API-Key": "é".encode("latin-1")},
    ],
)
def test_every_route_that_is_not_open_needs_the_right_key(api: Api, headers: dict[str, Any]) -> None:
    closed = [(method, path) for method, path in paths(api) if not is_open(path)]
    assert len(closed) >= 12
    for method, path in closed:
        answer = api.client.request(method, path, headers=headers)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["type"] == "/problems/unauthorized"


def test_either_form_of_the_key_opens(api: Api) -> None:
    for headers in ({"X-API-Key": API_KEY}, {"X-API-Key": "", "Authorization": f"Bearer {API_KEY}"}):
        assert api.client.get("/v1/models", headers=headers).status_code == 200


def test_open_routes_are_open_and_few(api: Api) -> None:
    opened = {path for _, path in paths(api) if is_open(path)}
    assert opened == {"/health/live", "/health/ready", "/version", "/problems", "/problems/not-found"}
    for path in opened:
        assert api.client.get(path, headers={"X-API-Key": ""}).status_code == 200


def test_every_answer_has_the_security_headers_and_ids(api: Api) -> None:
    answers = [api.client.request(method, path) for method, path in paths(api)]
    answers += [api.client.get("/nowhere"), api.client.delete("/v1/alerts"), api.client.get("/v1/alerts?limit=0")]
    answers.append(api.client.get("/v1/alerts", headers={"X-API-Key": "wrong"}))
    for answer in answers:
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", answer.headers["traceparent"])
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers


def test_request_id_is_echoed_and_the_trace_goes_on(api: Api) -> None:
    headers = {"X-Request-ID": "job-17", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    answer = api.client.get("/v1/nothing", headers=headers)
    assert answer.headers["x-request-id"] == "job-17"
    _, trace_id, span_id, flags = answer.headers["traceparent"].split("-")
    assert (trace_id, flags) == (TRACE, "01")
    assert span_id != "00f067aa0ba902b7"
    assert answer.json()["trace_id"] == TRACE


@pytest.mark.parametrize(
    "header", ["", "00-zz-00f067aa0ba902b7-01", f"ff-{TRACE}-00f067aa0ba902b7-01", f"00-{'0' * 32}-00f067aa0ba902b7-01"]
)
def test_a_malformed_trace_is_replaced(api: Api, header: str) -> None:
    answer = api.client.get("/version", headers={"traceparent": header, "X-Request-ID": "a b\tc"})
    trace_id = answer.headers["traceparent"].split("-")[1]
    assert trace_id not in (TRACE, "0" * 32) and re.fullmatch("[0-9a-f]{32}", trace_id)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_problems_name_their_page_and_what_is_wrong(api: Api) -> None:
    body = {"transactions": [{"transaction_id": "t", "amount_minor": "12"}]}
    answer = api.client.post("/v1/transactions:score", json=body)
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["title"] == "Invalid request" and problem["status"] == 422
    assert problem["instance"] == "/v1/transactions:score"
    errors = {item["pointer"]: item["code"] for item in problem["errors"]}
    assert errors["/transactions/0/amount_minor"] == "int_type"
    assert errors["/transactions/0/event_time"] == "missing"
    assert api.client.get(problem["type"]).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "content", "content_type", "status"),
    [
        ("GET", "/v1/nothing", None, None, 404),
        ("GET", "/v1/alerts/alert-000000000000", None, None, 404),
        ("DELETE", "/v1/models", None, "application/json", 405),
        ("POST", "/v1/transactions:score", b"{", "application/json", 400),
        ("POST", "/v1/transactions:score", b"\xff\xfe", "application/json", 400),
        ("POST", "/v1/transactions:score", b'{"transactions": []}', "application/json", 422),
        ("POST", "/v1/transactions:score", b"{}", "text/plain", 415),
        ("POST", "/v1/transactions:score", b"{}", None, 415),
        ("POST", "/v1/transactions:score", b" " * (16 * 1024 * 1024 + 1), "application/json", 413),
        ("POST", "/v1/investigations", b" " * (1024 * 1024 + 1), "application/json", 413),
        ("POST", "/v1/investigations", b'"' + b"\xf0" * 100 + b'"', "application/json", 400),
    ],
)
def test_each_error_is_a_problem(
    api: Api, method: str, path: str, content: bytes | None, content_type: str | None, status: int
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = api.client.request(method, path, content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].removeprefix("/problems/") in PROBLEM_TYPES


def test_a_streamed_body_is_cut_off_at_the_limit(api: Api) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    answer = api.client.post("/v1/investigations", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/content-too-large"


def test_a_large_body_of_spaces_within_the_limit_is_read(api: Api) -> None:
    content = b" " * (2 * 1024 * 1024) + b'{"transactions": []}'
    answer = api.client.post("/v1/transactions:score", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_an_unexpected_error_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "4111 1111 1111 1111 of Jane Roe"

    def broken(_rows: object) -> None:
        raise RuntimeError(secret)

    monkeypatch.setattr(api.services.state, "score", broken)
    body = {"transactions": [as_json(api.served.later_rows[0])]}
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        answer = api.client.post("/v1/transactions:score", json=body)
    assert answer.status_code == 500
    problem = answer.json()
    assert problem["type"] == "/problems/internal-error"
    assert secret not in answer.text and "Traceback" not in answer.text and "RuntimeError" not in answer.text
    failed = next(entry for entry in logs if entry["event"] == "request.failed")
    assert failed["error"] == "RuntimeError" and failed["trace_id"] == problem["trace_id"]
    assert any("broken" in line for line in failed["where"])
    assert secret not in json.dumps(logs)


def test_logs_carry_the_trace_and_no_data(api: Api) -> None:
    row = as_json(api.served.later_rows[0]) | {
        "memo": "rent for MEMO-WORD",
        "attributes": {"email": "someone@example.org"},
    }
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        answer = api.client.post("/v1/transactions:score", json={"transactions": [row]})
    assert answer.status_code == 200
    (entry,) = [item for item in logs if item["event"] == "request"]
    assert entry["route"] == "/v1/transactions:score" and entry["status"] == 200
    assert entry["trace_id"] == answer.headers["traceparent"].split("-")[1]
    written = json.dumps(logs)
    for value in ("MEMO-WORD", "someone@example.org", row["source_key"] + '"', row["transaction_id"]):
        assert value not in written


def test_metrics_have_route_templates_alone(api: Api) -> None:
    alert_id = api.client.get("/v1/alerts?limit=1").json()["alerts"][0]["id"]
    api.client.get(f"/v1/alerts/{alert_id}")
    api.client.get("/v1/entities/merchant/m0/neighborhood")
    api.client.get("/somewhere/else-unknown")
    api.client.request("BREW", "/v1/alerts")
    text = api.client.get("/metrics").text
    assert 'route="/v1/alerts/{alert_id}",status="200"' in text
    assert 'route="/v1/entities/{entity_type}/{entity_id:path}/neighborhood"' in text
    assert 'method="GET",route="none",status="404"' in text
    assert 'method="other"' in text and "BREW" not in text
    assert alert_id not in text and "else-unknown" not in text and "m0" not in text
    assert f'ringfence_release{{release_id="{api.served.release["id"]}"}} 1.0' in text
