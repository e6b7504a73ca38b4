"""`ringfence serve` on a copy of what the nightly job made: score, neighborhood, similar, investigation."""

import datetime as dt
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from ingestion.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.neo4j, pytest.mark.spark, pytest.mark.timeout(600)]


def stop_graph(root: Path) -> None:
    subprocess.run([sys.executable, "-m", "serving", "graph", "stop", "--workspace", str(root)], check=False)


@pytest.fixture(scope="module")
def api(small_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("copy") / "workspace"
    stop_graph(small_workspace)  # a store is copied when nobody writes to it
    shutil.copytree(small_workspace, root, ignore=shutil.ignore_patterns("endpoint.json"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "serving", "serve", "--workspace", str(root), "--port", str(port)]
    environment = os.environ | {"RINGFENCE_CLOCK_MODE": "data"}
    with subprocess.Popen(command, env=environment) as process:
        headers = {"Authorization": f"Bearer {Workspace.open(root).secret('api.key')}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            try:
                wait_until_ready(client, process)
                yield client
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=60) == 0
                stop_graph(root)


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "serve ended before it was ready"
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    pytest.fail("serve was not ready in two minutes")


def test_an_alert_is_listed_and_investigated(api: httpx.Client) -> None:
    alerts = api.get("/v1/alerts", params={"limit": 5}).json()
    assert alerts["release_id"].startswith("release-")
    alert = alerts["alerts"][0]
    made = api.post("/v1/investigations", json={"alert_id": alert["id"]}, headers={"Idempotency-Key": "once"})
    assert made.status_code in (200, 201), made.text
    kept = made.json()["investigation"]
    found = kept["findings"]
    ids = {item["id"] for item in found["evidence"]}
    assert found["narrative"] and all(set(said["evidence_ids"]) <= ids for said in found["narrative"])
    again = api.get(f"/v1/investigations/{kept['id']}")
    assert again.status_code == 200 and again.json()["investigation"] == kept


def test_the_neighborhood_comes_from_the_graph_and_has_likenesses(api: httpx.Client) -> None:
    entity = api.get("/v1/alerts", params={"limit": 1}).json()["alerts"][0]["entity"]
    path = f"/v1/entities/{entity['type']}/{entity['key']}"
    assert api.get(path).json()["entity"]["key"] == entity["key"]
    around = api.get(f"{path}/neighborhood", params={"hops": 1}).json()
    assert around["stale"] is False
    assert len(around["nodes"]) > 1
    likenesses = api.get(f"{path}/similar", params={"k": 3}).json()["similar"]
    assert len(likenesses) == 3


def test_a_new_transaction_is_scored_and_personal_values_do_not_come_back(api: httpx.Client, small_bank: Path) -> None:
    row = pq.read_table(small_bank / "transactions.parquet").slice(5900, 1).to_pylist()[0]
    body = {
        "transaction_id": "fresh-1",
        "event_time": (row["event_time"] + dt.timedelta(seconds=1)).isoformat(),
        "source_type": row["source_type"],
        "source_key": row["source_id"],
        "target_type": row["target_type"],
        "target_key": row["target_id"],
        "amount_minor": 12_345,
        "currency": row["currency"],
        "kind": "payment",
        "outcome": "approved",
        "channel": "online",
        "memo": "paid with 4111 1111 1111 1111",
    }
    first = api.post("/v1/transactions:score", json={"transactions": [body]})
    assert first.status_code == 200, first.text
    result = first.json()["results"][0]
    assert result["status"] == "scored" and 0 <= result["score"] <= 1
    assert row["source_id"] not in first.text and "4111" not in first.text
    assert api.post("/v1/transactions:score", json={"transactions": [body]}).json()["results"][0] == result
    absurd = body | {"transaction_id": "fresh-2", "currency": "ZZZ"}
    refused = api.post("/v1/transactions:score", json={"transactions": [absurd]}).json()["results"][0]
    assert refused["status"] == "quarantined" and refused["reason"] and refused["remedy"]


def test_without_the_key_only_the_open_routes_answer(api: httpx.Client) -> None:
    bare = httpx.Client(base_url=api.base_url)
    assert bare.get("/health/live").status_code == 200
    assert bare.get("/version").status_code == 200
    refused = bare.get("/v1/alerts")
    assert refused.status_code == 401
    assert refused.headers["content-type"].startswith("application/problem+json")
