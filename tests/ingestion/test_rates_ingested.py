"""As-of rates from the file to the features: one answer in Spark, in the arrays and online; the past never changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.online import OnlineScorer
from ingestion.contracts import TRANSACTION, moment
from ingestion.errors import DataContractError, MappingError
from ingestion.ingest import ingest
from ingestion.mapping import Mapping, load_mapping
from ingestion.rates import Rates
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import DAY, START, Row, build_snapshot, random_rows
from tests.graphml.trained import Replay
from tests.ingestion.tables import write_source
from tests.ingestion.test_rates import rates

SHIPPED = load_mapping("ringfence")
MAPPING = Mapping.model_validate(SHIPPED.as_dict() | {"rates": {"file": "rates.csv", "base": "EUR"}})
NOW = START + 200 * DAY
#: Days after START on which a rate becomes known, and what one dollar is worth.
KNOWN = [(2, "0.90"), (9, "0.85"), (16, "0.95")]


def rate_lines(known: list[tuple[int, str]]) -> str:
    lines = [f"2025-01-{day:02d},USD,{rate},{moment(START + day * DAY).isoformat()}" for day, rate in known]
    return "\n".join(["date,currency,rate,known_at", *lines]) + "\n"


@dataclass(frozen=True)
class Ingested:
    workspace: Workspace
    snapshot: Snapshot
    rows: list[Row]
    labels: list[Row]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory, spark: object) -> Ingested:
    folder = tmp_path_factory.mktemp("rates")
    rows, labels = random_rows(500, seed=8, days=30, self_transfers=0.0)
    source = write_source(folder / "source", rows, labels)
    (source.parent / "rates.csv").write_text(rate_lines(KNOWN))
    workspace = Workspace.open(folder / "workspace")
    ingest(workspace, source, MAPPING, now=NOW)
    return Ingested(workspace, Snapshot.open(workspace), rows, labels)


def converted(row: Row, known: Rates) -> Row:
    """The row as features see it."""
    time = max(row["event_time"], row["known_at"])
    amount, currency = known.base_amount(row["amount_minor"], row["currency"], time)
    return row | {"amount_minor": amount, "currency": currency}


def amounts_of(snapshot: Snapshot) -> dict[str, int | None]:
    table = snapshot.transactions(["transaction_id", "amount_base_minor"])
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.mark.spark
def test_amounts_at_rest_are_by_the_rates_known_on_arrival(ingested: Ingested) -> None:
    expected: dict[str, int | None] = {}
    for row in ingested.rows:
        day = (max(row["event_time"], row["known_at"]) - START) / DAY
        rate = [number for known, number in KNOWN if known <= day]
        if row["currency"] == "EUR":
            expected[row["transaction_id"]] = row["amount_minor"]
        else:
            exact = None if not rate else row["amount_minor"] * int(rate[-1][2:]) / 100
            expected[row["transaction_id"]] = None if exact is None else round(exact)
    assert amounts_of(ingested.snapshot) == expected
    assert None in expected.values(), "some came before any rate"
    assert ingested.snapshot.manifest["base_currency"] == "EUR"


@pytest.mark.spark
def test_features_are_those_of_the_converted_rows(ingested: Ingested, tmp_path: Path) -> None:
    """Bit for bit those of a snapshot whose rows were converted before; the logical row keeps its own amount."""
    snapshot = ingested.snapshot
    known = snapshot.rates
    assert known is not None
    direct = build_snapshot(
        Workspace.open(tmp_path),
        [converted(row, known) for row in ingested.rows],
        labels=ingested.labels,
        roles=snapshot.roles,
    )
    assert snapshot.transaction_ids.to_pylist() == direct.transaction_ids.to_pylist()
    assert snapshot.features().tobytes() == direct.features().tobytes()
    own = {row["transaction_id"]: (row["amount_minor"], row["currency"]) for row in ingested.rows}
    at_rest = snapshot.transactions(TRANSACTION.names).to_pylist()
    assert {row["transaction_id"]: (row["amount_minor"], row["currency"]) for row in at_rest} == own


@pytest.mark.spark
@pytest.mark.parametrize("start", [0, 250])
def test_online_is_batch(ingested: Ingested, start: int) -> None:
    snapshot = ingested.snapshot
    model: Any = SimpleNamespace(
        id="model-none",
        served_row="none",
        scorers={"none": None},
        largest_fanout=1,
        require=lambda graph: None,
        score_seeds=lambda context, seed, row: np.zeros(1),
        probability=lambda logits, row: np.zeros(1),
    )
    scorer = OnlineScorer(snapshot, model, up_to=start)
    positions = range(start, 500)
    found = np.stack([scored.features for scored in Replay(snapshot, start=start).into(scorer, positions)])
    assert found.tobytes() == snapshot.features()[start:].tobytes()


@pytest.mark.spark
def test_later_rates_change_nothing_that_is_there(ingested: Ingested, tmp_path: Path) -> None:
    """A second ingest brings corrections and newer rates: they hold for its own rows alone."""
    rows, _ = random_rows(60, seed=9, days=10, self_transfers=0.0)
    later = [
        row | {name: row[name] + 40 * DAY for name in ("event_time", "known_at")}
        for row in rows
        if row["kind"] != "refund" and row["source_key"] != row["target_key"]
    ]
    source = write_source(tmp_path / "more", later)
    (source.parent / "rates.csv").write_text(rate_lines([(3, "0.50"), (20, "2.00")]))
    before, features = amounts_of(ingested.snapshot), ingested.snapshot.features()
    ingest(ingested.workspace, source, MAPPING, now=NOW)
    second = Snapshot.open(ingested.workspace)
    after = amounts_of(second)
    assert {key: after[key] for key in before} == before
    assert second.features()[: len(features)].tobytes() == features.tobytes(), "all new rows come later"
    usd = [row for row in later if row["currency"] == "USD"]
    assert usd and all(after[row["transaction_id"]] == 2 * row["amount_minor"] for row in usd)
    assert second.rates is not None and second.rates.table.num_rows == 5


@pytest.mark.spark
def test_a_lineage_keeps_its_base_currency_and_needs_its_rates(ingested: Ingested, tmp_path: Path) -> None:
    source = write_source(tmp_path / "more", ingested.rows[:10])
    with pytest.raises(DataContractError, match=r"rates\.csv, which is not beside"):
        ingest(ingested.workspace, source, MAPPING, now=NOW)
    with pytest.raises(MappingError, match="other base currency \\(none\\)"):
        ingest(ingested.workspace, source, SHIPPED, now=NOW)


_RATE = st.tuples(
    st.just("2025-01-01"), st.just("USD"), st.sampled_from(["0.5", "0.9", "1.7"]), st.integers(START, START + 9 * DAY)
)


@settings(max_examples=12, deadline=None)
@given(st.lists(_RATE, max_size=4, unique_by=lambda rate: rate[3]), st.integers(0, 9), st.integers(0, 5))
def test_a_future_rate_never_changes_a_past_feature(
    tmp_path_factory: pytest.TempPathFactory, known: list[tuple[str, str, str, int]], day: int, seed: int
) -> None:
    """Rates known after a time leave every feature of rows that arrived by then as it was, bit for bit."""
    cut = START + day * DAY
    rows, labels = random_rows(60, seed=seed, days=9)
    found = []
    for which in (rates(*known), rates(*[rate for rate in known if rate[3] <= cut])):
        workspace = Workspace.open(tmp_path_factory.mktemp("w"))
        snapshot = build_snapshot(workspace, [converted(row, which) for row in rows], labels=labels)
        found.append(snapshot.features()[snapshot.arrays.available_at <= cut])
    assert found[0].tobytes() == found[1].tobytes()
