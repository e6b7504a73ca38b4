"""`POST /v1/transactions:score`: order, idempotency, quarantine, limits of the schema."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from serving.api.app import create_app
from serving.api.idempotency import ABANDONED_SECONDS, KEPT_SECONDS, Answer, IdempotencyStore
from serving.api.problems import ApiError
from serving.state_protocol import StateTimeout, StateUnavailable
from tests.serving.api.test_conventions import as_json
from tests.serving.conftest import API_KEY, Api


def score(api: Api, *rows: dict[str, Any], status: int = 200, **headers: str) -> Any:
    answer = api.client.post("/v1/transactions:score", json={"transactions": list(rows)}, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()["results"] if status == 200 else answer.json()


def row(api: Api, number: int = 0, **fields: Any) -> dict[str, Any]:
    return as_json(api.served.later_rows[number]) | fields


def test_a_thousand_in_one_request_in_their_order(api: Api) -> None:
    rows = [row(api, number % 200, transaction_id=f"t-{number}") for number in range(1_000)]
    rows.reverse()
    results = score(api, *rows)
    assert [result["transaction_id"] for result in results] == [item["transaction_id"] for item in rows]
    assert {result["status"] for result in results} == {"scored"}
    score(api, *rows, row(api), status=422)


def test_what_may_be_left_out(api: Api) -> None:
    given = row(api)
    needed = ("transaction_id", "event_time", "source_type", "source_key", "target_type", "target_key")
    least = {key: given[key] for key in (*needed, "amount_minor", "currency", "kind")}
    (result,) = score(api, least)
    assert result["status"] == "scored"


def quarantined(api: Api, **fields: Any) -> dict[str, Any]:
    (result,) = score(api, row(api, transaction_id="faulty", **fields))
    assert result["status"] == "quarantined", result
    assert result["remedy"] and result["release_id"] == api.served.release["id"]
    found: dict[str, Any] = result
    return found


def test_rows_that_break_the_contract_are_answered_200_quarantined(api: Api) -> None:
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"amount_minor": -1}, "amount_negative", "amount_minor"),
        ({"amount_minor": 10**15}, "amount_too_large", "amount_minor"),
        ({"currency": "ZZZ"}, "currency_unknown", "currency"),
        ({"event_time": soon, "known_at": None}, "time_in_future", "event_time"),
        ({"event_time": "1899-01-01T00:00:00Z"}, "time_too_old", "event_time"),
        ({"source_type": "robot"}, "party_type_unknown", "source_type"),
        ({"parties": [{"type": "robot", "key": "r"}]}, "party_type_unknown", "parties"),
        ({"parties": [{"type": "ip", "key": "1"}, {"type": "ip", "key": "2"}]}, "party_repeated", "parties"),
    ]
    for fields, reason, field in cases:
        result = quarantined(api, **fields)
        assert (result["reason"], result["field"]) == (reason, field)


def test_a_mended_row_is_scored_and_a_changed_one_is_not(api: Api) -> None:
    quarantined(api, amount_minor=-5)
    (good,) = score(api, row(api, transaction_id="faulty", amount_minor=5))
    assert good["status"] == "scored"
    assert quarantined(api, amount_minor=6)["reason"] == "id_conflict"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"amount_minor": 1.5}, "/transactions/0/amount_minor"),
        ({"amount_minor": True}, "/transactions/0/amount_minor"),
        ({"amount_minor": 2**60}, "/transactions/0/amount_minor"),
        ({"event_time": 1_736_121_600}, "/transactions/0/event_time"),
        ({"event_time": "2025-01-06T00:00:00"}, "/transactions/0/event_time"),
        ({"event_time": "2016-12-31T23:59:60Z"}, "/transactions/0/event_time"),
        ({"currency": "euro"}, "/transactions/0/currency"),
        ({"kind": "gift"}, "/transactions/0/kind"),
        ({"transaction_id": ""}, "/transactions/0/transaction_id"),
        ({"transaction_id": "a\nb"}, "/transactions/0/transaction_id"),
        ({"source_key": "x" * 257}, "/transactions/0/source_key"),
        ({"parties": [{"type": "ip"}]}, "/transactions/0/parties/0/key"),
        ({"attributes": {"a": 1}}, "/transactions/0/attributes/a"),
        ({"colour": "red"}, "/transactions/0/colour"),
    ],
)
def test_rows_that_do_not_fit_the_schema_are_422(api: Api, fields: dict[str, Any], pointer: str) -> None:
    problem = score(api, row(api, **fields), status=422)
    assert pointer in [item["pointer"] for item in problem["errors"]]


def test_whole_floats_are_integers(api: Api) -> None:
    (result,) = score(api, row(api, amount_minor=1250.0))
    assert result["features"]["amount"] == 12.5


def test_an_idempotency_key_gives_the_stored_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = api.services.state.score

    def counted(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        calls.append(len(rows))
        return real(rows)

    monkeypatch.setattr(api.services.state, "score", counted)
    key = {"Idempotency-Key": "key-1"}
    first, again = score(api, row(api), **key), score(api, row(api), **key)
    assert first == again and calls == [1]
    problem = score(api, row(api, 1), status=422, **key)
    assert problem["errors"][0]["code"] == "idempotency_key_reused"
    assert score(api, row(api), **{"Idempotency-Key": "key-2"}) == first
    score(api, row(api), status=422, **{"Idempotency-Key": "a key with spaces"})


def test_a_failed_request_does_not_use_up_its_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_rows: object) -> None:
        raise StateUnavailable("The state process does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(api.services.state, "score", away)
        answer = api.client.post(
            "/v1/transactions:score", json={"transactions": [row(api)]}, headers={"Idempotency-Key": "k"}
        )
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["type"] == "/problems/unavailable"
    assert score(api, row(api), **{"Idempotency-Key": "k"})[0]["status"] == "scored"


def test_a_state_process_that_hangs_is_504(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def hanging(_rows: object) -> None:
        raise StateTimeout("The state process did not answer in time.")

    monkeypatch.setattr(api.services.state, "score", hanging)
    answer = api.client.post("/v1/transactions:score", json={"transactions": [row(api)]})
    assert answer.status_code == 504
    assert answer.json()["type"] == "/problems/timeout" and answer.headers["retry-after"]


def test_more_requests_than_can_be_worked_on_are_turned_away_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    crowded = TestClient(create_app(api.services, api_key=API_KEY, max_requests=1), headers={"X-API-Key": API_KEY})
    seen: list[httpx.Response] = []

    def slow(_rows: object) -> list[dict[str, Any]]:
        seen.extend([crowded.get("/v1/models"), crowded.get("/health/live")])
        return []

    monkeypatch.setattr(api.services.state, "score", slow)
    assert crowded.post("/v1/transactions:score", json={"transactions": [row(api)]}).status_code == 200
    shed, live = seen
    assert shed.status_code == 503 and shed.headers["retry-after"] == "1"
    assert shed.json()["type"] == "/problems/unavailable"
    assert live.status_code == 200
    assert crowded.get("/v1/models").status_code == 200


def test_keys_are_busy_kept_and_forgotten(api: Api) -> None:
    now = [1_000.0]
    store = IdempotencyStore(api.context.app, clock=lambda: now[0])
    answer = Answer(status=201, body=b"{}", location="/x")

    def while_running() -> Answer:
        with pytest.raises(ApiError, match="being worked on") as busy:
            store.run("k", operation="o", body=b"1", work=lambda: answer)
        assert busy.value.problem.status == 409
        return answer

    assert store.run("k", operation="o", body=b"1", work=while_running) == answer
    now[0] += KEPT_SECONDS - 1
    assert store.run("k", operation="o", body=b"1", work=pytest.fail) == answer
    assert store.run("k", operation="other", body=b"2", work=lambda: answer) == answer
    now[0] += 2
    later = Answer(status=200, body=b"later")
    assert store.run("k", operation="o", body=b"2", work=lambda: later) == later


def test_a_key_whose_worker_died_is_free_again(api: Api) -> None:
    now = [1_000.0]
    store = IdempotencyStore(api.context.app, clock=lambda: now[0])
    assert store._claim("k", "o", "hash") is None  # and the worker dies
    now[0] += ABANDONED_SECONDS - 1
    with pytest.raises(ApiError, match="being worked on"):
        store._claim("k", "o", "hash")
    now[0] += 2
    assert store._claim("k", "o", "hash") is None
