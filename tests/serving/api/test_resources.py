"""Alerts, entities, investigations, models, readiness over a served workspace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ingestion.contracts import PartyRef
from ingestion.graph.snapshot_store import SnapshotStore
from serving.times import parse_rfc3339, rfc3339
from tests.builders import DAY
from tests.serving.api.test_conventions import as_json
from tests.serving.conftest import Api


def get(api: Api, path: str, status: int = 200, **parameters: Any) -> dict[str, Any]:
    answer = api.client.get(path, params=parameters)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    if status == 200 and path.startswith("/v1/"):
        assert body["release_id"] == api.served.release["id"]
    return body


def all_alerts(api: Api, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page = get(api, "/v1/alerts", limit=7, **parameters)
    while True:
        found += page["alerts"]
        if page["next_cursor"] is None:
            return found
        page = get(api, "/v1/alerts", limit=7, cursor=page["next_cursor"], **parameters)


def busiest_account(api: Api) -> str:
    """Original key of the account with the most transactions."""
    keys = [row["source_key"] for row in api.served.rows if row["source_type"] == "account"]
    return max(sorted(set(keys)), key=keys.count)


def test_alerts_are_those_of_the_tail_newest_first(api: Api) -> None:
    alerts = all_alerts(api)
    snapshot, model = api.served.snapshot, api.served.model
    positions = np.flatnonzero(snapshot.arrays.available_at >= model.windows.tail_start)
    probability = model.probability(model.score_positions(api.context.graph, positions))
    expected = snapshot.transaction_ids.take(positions[probability >= model.threshold]).to_pylist()
    assert len(alerts) > 7, "more than a page"
    assert sorted(alert["transaction_id"] for alert in alerts) == sorted(expected)
    keys = [(alert["available_at"], alert["id"]) for alert in alerts]
    assert keys == sorted(keys, reverse=True)
    assert get(api, f"/v1/alerts/{alerts[0]['id']}")["alert"] == alerts[0]


def test_alerts_by_score_and_time(api: Api) -> None:
    alerts = all_alerts(api)
    middle = sorted(alert["score"] for alert in alerts)[len(alerts) // 2]
    assert all_alerts(api, min_score=middle) == [alert for alert in alerts if alert["score"] >= middle]
    since = alerts[len(alerts) // 2]["available_at"]
    assert all_alerts(api, since=since) == [alert for alert in alerts if alert["available_at"] >= since]


def test_a_page_goes_on_where_it_was_though_new_alerts_come_in(api: Api) -> None:
    first = get(api, "/v1/alerts", limit=3)
    before = all_alerts(api)
    newest = api.served.later_rows[-1] | {"transaction_id": "newest"}
    api.client.post("/v1/transactions:score", json={"transactions": [as_json(newest)]})
    second = get(api, "/v1/alerts", limit=3, cursor=first["next_cursor"])
    assert second["alerts"] == before[3:6]


def test_cursors_that_are_not_ours_or_of_another_query_are_refused(api: Api) -> None:
    cursor = get(api, "/v1/alerts", limit=1)["next_cursor"]
    changed = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    for unknown in ("x", "", "====", "ÄÖ", changed, cursor[1:]):
        problem = get(api, "/v1/alerts", 404, cursor=unknown)
        assert problem["errors"][0] == {
            "pointer": "/query/cursor",
            "code": "cursor_unknown",
            "detail": "It is not a cursor of this server.",
        }
    problem = get(api, "/v1/alerts", 422, cursor=cursor, min_score=0.5)
    assert problem["errors"][0]["code"] == "cursor_of_other_query"


def test_a_profile_counts_what_was_available_by_then(api: Api) -> None:
    key = busiest_account(api)
    rows = [row for row in api.served.rows if key in (row["source_key"], row["target_key"])]
    available = sorted(max(row["event_time"], row["known_at"]) for row in rows)
    cut = available[len(available) // 2]
    then = [row for row in rows if max(row["event_time"], row["known_at"]) <= cut]
    body = get(api, f"/v1/entities/account/{key}", as_of=rfc3339(cut))
    assert body["num_transactions"] == len(then)
    assert body["first_known_at"] == rfc3339(available[0])
    assert body["last_available_at"] == rfc3339(cut)
    assert body["num_declined"] == sum(row["outcome"] == "declined" for row in then)
    assert body["by_role"]["source"] == sum(row["source_key"] == key for row in then)
    amounts = {total["currency"]: total["amount_minor"] for total in body["totals"]}
    for currency in amounts:
        assert amounts[currency] == sum(row["amount_minor"] for row in then if row["currency"] == currency)
    ends = {row[f"{end}_key"] for row in then for end in ("source", "target")} - {key}
    assert body["num_counterparties"] == len(ends)


def test_an_original_and_its_token_name_the_same_party(api: Api) -> None:
    key = busiest_account(api)
    token = api.context.resolve(PartyRef(type="account", key=key)).key
    assert token != key
    assert get(api, f"/v1/entities/account/{key}") == get(api, f"/v1/entities/account/{token}")
    assert key not in str(get(api, f"/v1/entities/account/{key}")).replace(token, "")


def test_risk_is_the_highest_score_of_seven_days(api: Api) -> None:
    alert = all_alerts(api)[0]
    entity, as_of = alert["entity"], alert["available_at"]
    risk = get(api, f"/v1/entities/{entity['type']}/{entity['key']}", as_of=as_of)["risk"]
    assert risk["method"] == "max" and risk["window_days"] == 7
    assert risk["value"] >= alert["score"] - 1e-9
    merchant = get(api, "/v1/entities/device/dh1", as_of=as_of)["risk"]
    assert merchant["method"] == "shrunk_mean"


def test_what_the_api_scored_is_in_profile_and_neighborhood_extra(api: Api) -> None:
    row = api.served.later_rows[0]
    kind, key = row["source_type"], row["source_key"]
    path = f"/v1/entities/{kind}/{key}"
    time = rfc3339(max(row["event_time"], row["known_at"]) + DAY)
    before = get(api, path, as_of=time)
    api.client.post("/v1/transactions:score", json={"transactions": [as_json(row)]})
    after = get(api, path, as_of=time)
    assert after["num_transactions"] == before["num_transactions"] + 1
    assert get(api, path)["num_transactions"] == before["num_transactions"], "the release's data end earlier"


def test_an_entity_that_was_not_known_then_is_404(api: Api) -> None:
    key = busiest_account(api)
    for suffix in ("", "/neighborhood", "/similar"):
        get(api, f"/v1/entities/account/nobody{suffix}", 404)
    for suffix in ("", "/neighborhood"):
        get(api, f"/v1/entities/account/{key}{suffix}", 404, as_of="1999-01-01T00:00:00Z")


def test_a_neighborhood_is_that_of_the_snapshot(api: Api) -> None:
    key = busiest_account(api)
    ref = api.context.resolve(PartyRef(type="account", key=key))
    as_of = int(api.served.snapshot.arrays.available_at[2_000])
    expected = SnapshotStore(api.served.snapshot).neighborhood(ref, as_of=as_of, hops=2, limit=9)
    body = get(api, f"/v1/entities/account/{key}/neighborhood", as_of=rfc3339(as_of), hops=2, limit=9)
    assert [node["entity"]["key"] for node in body["nodes"]] == [node.ref.key for node in expected.nodes]
    assert [node["num_links"] for node in body["nodes"]] == [node.num_links for node in expected.nodes]
    ids = [transaction["transaction_id"] for transaction in body["transactions"]]
    assert ids == [transaction.transaction_id for transaction in expected.transactions]
    assert max(parse_rfc3339(item["available_at"]) for item in body["transactions"]) <= as_of
    assert not body["stale"]


def test_while_the_graph_server_is_away_answers_are_stale_and_readiness_degraded(api: Api) -> None:
    path = f"/v1/entities/account/{busiest_account(api)}/neighborhood"
    fresh = get(api, path)
    api.server.is_away = True
    stale = get(api, path)
    assert stale["stale"] and not fresh["stale"]
    assert {**stale, "stale": False} == fresh
    ready = get(api, "/health/ready")
    assert ready["status"] == "degraded"
    assert {check["name"]: check["status"] for check in ready["checks"]}["graph"] == "degraded"
    assert "ringfence_stale_reads_total 1.0" in api.client.get("/metrics").text


def test_similar_entities_have_reasons_and_only_as_of_then(api: Api) -> None:
    path = f"/v1/entities/account/{busiest_account(api)}/similar"
    body = get(api, path, k=3)
    assert len(body["similar"]) == 3
    assert all(item["entity"]["type"] == "account" for item in body["similar"])
    scores = [item["similarity"] for item in body["similar"]]
    assert scores == sorted(scores, reverse=True)
    too_early = rfc3339(int(api.served.snapshot.arrays.available_at[500]))
    problem = get(api, path, 409, as_of=too_early)
    assert problem["type"] == "/problems/conflict"
    get(api, path, 422, k=0)


def test_an_investigation_is_made_once_and_read_again(api: Api) -> None:
    alert = all_alerts(api)[0]
    made = api.client.post("/v1/investigations", json={"alert_id": alert["id"]})
    assert made.status_code == 201
    investigation = made.json()["investigation"]
    assert investigation["as_of"] == alert["available_at"]
    findings = investigation["findings"]
    evidence = {item["id"] for item in findings["evidence"]}
    assert findings["narrative"] and findings["removed_statements"] == 0
    assert all(set(sentence["evidence_ids"]) <= evidence for sentence in findings["narrative"])
    assert findings["score"] == alert["score"]
    assert any(item["type"] == "attribution" for item in findings["evidence"])
    again = api.client.post("/v1/investigations", json={"alert_id": alert["id"]})
    assert again.status_code == 200
    assert again.json() == made.json()
    assert get(api, made.headers["location"]) == made.json()
    get(api, "/v1/investigations/investigation-000000000000", 404)


def test_an_investigation_made_without_the_graph_server_is_made_again_with_it(api: Api) -> None:
    body = {"entity": {"type": "account", "key": busiest_account(api)}}
    api.server.is_away = True
    stale = api.client.post("/v1/investigations", json=body)
    assert stale.status_code == 201 and stale.json()["investigation"]["stale"]
    api.server.is_away = False
    api.context.store._primary = api.server  # what the background thread does once the server is back
    fresh = api.client.post("/v1/investigations", json=body)
    assert fresh.status_code == 201 and not fresh.json()["investigation"]["stale"]


def test_an_alert_of_the_api_is_investigated_before_the_next_night(api: Api) -> None:
    answers = api.client.post(
        "/v1/transactions:score", json={"transactions": [as_json(row) for row in api.served.later_rows]}
    ).json()["results"]
    alerted = [answer for answer in answers if answer["alert"]]
    assert alerted, "some of the later rows are alerts"
    alert = get(api, f"/v1/alerts/{alerted[0]['alert_id']}")["alert"]
    assert alert["origin"] == "api" and alert["score"] == alerted[0]["score"]
    made = api.client.post("/v1/investigations", json={"alert_id": alert["id"]})
    assert made.status_code == 201, made.text
    findings = made.json()["investigation"]["findings"]
    assert findings["transaction_id"] == alerted[0]["transaction_id"]
    assert findings["removed_statements"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"alert_id": "alert-1"},
        {"alert_id": "alert-000000000000", "as_of": "2025-03-01T00:00:00Z"},
        {"entity": {"type": "account"}},
        {"entity": {"type": "Account", "key": "a"}},
        {"entity": {"type": "account", "key": "a"}, "as_of": 5},
    ],
)
def test_investigations_of_nothing_sensible_are_422(api: Api, body: dict[str, Any]) -> None:
    assert api.client.post("/v1/investigations", json=body).status_code == 422


def test_investigations_of_the_unknown_are_404(api: Api) -> None:
    for body in ({"alert_id": "alert-000000000000"}, {"entity": {"type": "account", "key": "nobody"}}):
        assert api.client.post("/v1/investigations", json=body).status_code == 404


def test_the_model_in_force_with_its_ladder(api: Api) -> None:
    (model,) = get(api, "/v1/models")["models"]
    assert model["id"] == api.served.release["model_id"] and model["in_force"]
    assert model["threshold"] == api.served.model.threshold
    assert model["served_row"] == api.served.model.served_row
    assert model["metrics"]["ladder"]


def test_readiness_fails_when_a_part_is_of_another_release(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get(api, "/health/ready")["status"] == "ready"
    monkeypatch.setattr(api.services.state, "status", lambda timeout_seconds=None: {"release_id": "release-other"})
    problem = get(api, "/health/ready", 503)
    assert "serves release-other" in problem["detail"]
    monkeypatch.undo()
    monkeypatch.setattr(api.services.contexts, "_current_release", lambda: "release-new")
    problem = get(api, "/health/ready", 503)
    assert {check["name"]: check["status"] for check in problem["checks"]}["release"] == "failed"


def test_every_answer_under_v1_carries_the_release(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for operation in item.values():
            if path.startswith("/v1/"):
                success = next(
                    operation["responses"][code] for code in ("200", "201") if code in operation["responses"]
                )
                name = success["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
                assert "release_id" in document["components"]["schemas"][name]["required"], path
