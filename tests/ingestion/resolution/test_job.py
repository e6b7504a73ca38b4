"""The stage in Spark against brute force: at every time what is linked follows from what was known by then."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from ingestion.artifacts import read_parquet
from ingestion.contracts import COMPONENT, HUB, LINK, micros
from ingestion.resolution.components import component_table, holding
from ingestion.resolution.job import LinkJob
from ingestion.resolution.periods import Decision
from ingestion.resolution.rules import LinkRule, Resolution
from tests.ingestion.resolution.at_rest import Seen, connected_as_of, write_transactions

pytestmark = pytest.mark.spark

RULE = LinkRule(name="same_device", entity="account", by=("device",), max_entities=3)
RULES = Resolution(rules=(RULE,))
DEVICES = [f"dev-{number}" for number in range(12)]
SEEN = st.builds(Seen, st.integers(0, 24), st.sampled_from(DEVICES), st.integers(0, 12))


def build(
    spark: SparkSession, folder: Path, seen: list[Seen], *, rules: Resolution = RULES, files: int = 1, **more: Any
) -> dict[str, Any]:
    """Run the job on what was seen; returns the manifest's entry."""
    shutil.rmtree(folder, ignore_errors=True)
    write_transactions(folder, seen, files=files)
    decisions = more.get("decisions", ())
    job = LinkJob(session=spark, resolution=rules, decisions=decisions, folder=folder, work=folder / "work")
    return job.run(num_entities=100, horizon=max(item.at for item in seen))


def as_dict(components: pa.Table) -> dict[int, int]:
    return dict(zip(*(components.column(name).to_pylist() for name in COMPONENT.names), strict=True))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=st.lists(SEEN, min_size=60, max_size=160), seed=st.integers(0, 99))
def test_links_as_of_any_time_follow_from_what_was_known(
    spark: SparkSession, tmp_path: Path, seen: list[Seen], seed: int
) -> None:
    """Brute force at each time; the same for the rows in another order, twice over and in other files."""
    told = build(spark, tmp_path / "one", seen)
    links = read_parquet(tmp_path / "one" / "links")
    assert links.schema == LINK
    for time in range(-1, 14):
        assert as_dict(component_table(holding(links, time))) == connected_as_of(seen, RULE, time), time
    assert as_dict(read_parquet(tmp_path / "one" / "components")) == connected_as_of(seen, RULE, 12)
    shuffled = [*seen, *seen[::2]]
    random.Random(seed).shuffle(shuffled)
    assert build(spark, tmp_path / "two", shuffled, files=3) == told
    assert read_parquet(tmp_path / "two" / "links").equals(links)


def test_what_comes_later_changes_no_earlier_link(spark: SparkSession, tmp_path: Path) -> None:
    """Future perturbation: rows after t, a fourth holder among them, leave the links as of t as they were."""
    early = [Seen(1, "dev-0", 10), Seen(2, "dev-0", 20), Seen(3, "dev-1", 20)]
    later = [Seen(4, "dev-0", 31), Seen(5, "dev-0", 32), Seen(3, "dev-0", 33), Seen(1, "dev-1", 34)]
    build(spark, tmp_path / "early", early)
    build(spark, tmp_path / "all", [*later, *early])
    before, after = (holding(read_parquet(tmp_path / name / "links"), 30) for name in ("early", "all"))
    same = [name for name in LINK.names if name not in ("revoked_at", "hub_at", "reason")]
    assert before.num_rows == 1
    assert after.select(same).equals(before.select(same))


def test_one_holder_too_many_makes_a_hub(spark: SparkSession, tmp_path: Path) -> None:
    """Three may share; the fourth ends the links of all three, and the true number is told."""
    seen = [Seen(entity, "dev-0", 10 * entity) for entity in range(1, 8)] + [Seen(1, "dev-1", 5), Seen(9, "dev-1", 90)]
    told = build(spark, tmp_path / "hub", seen)
    links = read_parquet(tmp_path / "hub" / "links").to_pylist()
    assert [(row["a_id"], row["b_id"], row["reason"]) for row in links] == [(1, 2, "hub"), (1, 3, "hub"), (1, 9, None)]
    assert [micros(row["known_at"]) for row in links] == [20, 30, 90]
    assert {micros(row["revoked_at"]) for row in links if row["revoked_at"]} == {40}
    (hub,) = read_parquet(tmp_path / "hub" / "hubs").to_pylist()
    assert list(hub) == HUB.names
    assert (hub["identifier"], hub["num_entities"], micros(hub["first_at"])) == ("device:dev-0", 7, 10)
    assert told["hubs"]["greatest"] == [{"rule": "same_device", "identifier": "device:dev-0", "num_entities": 7}]
    assert told["rules"]["same_device"] == {"pairs": 3, "identifiers": 2, "placeholder_rows": 0}
    assert told["components"] == {"number": 1, "entities": 2, "largest": 2}


def test_a_cluster_writes_the_same_components(spark: SparkSession, tmp_path: Path) -> None:
    """What an ingest on a cluster does, here on one machine; hubs among the links."""
    rng = random.Random(3)
    seen = [Seen(rng.randrange(25), rng.choice(DEVICES), rng.randrange(50)) for _ in range(60)]
    build(spark, tmp_path, seen)
    expected = read_parquet(tmp_path / "components")
    assert expected.num_rows > 5 and read_parquet(tmp_path / "hubs").num_rows > 0
    shutil.rmtree(tmp_path / "components")
    job = LinkJob(session=spark, resolution=RULES, decisions=(), folder=tmp_path, work=tmp_path / "work")
    links = spark.read.parquet(str(tmp_path / "links"))
    job.write_components_by_spark(links, 100, max(item.at for item in seen))
    assert read_parquet(tmp_path / "components").equals(expected)


def test_without_rules_there_is_nothing(spark: SparkSession, tmp_path: Path) -> None:
    assert build(spark, tmp_path / "none", [Seen(1, "dev-0", 1)], rules=Resolution()) == {}
    assert not (tmp_path / "none" / "links").exists()


def test_no_links_are_no_error(spark: SparkSession, tmp_path: Path) -> None:
    told = build(spark, tmp_path / "alone", [Seen(1, "dev-0", 1), Seen(2, "dev-1", 1)])
    assert told["components"] == {"number": 0, "entities": 0, "largest": 0}
    assert [read_parquet(tmp_path / "alone" / name).num_rows for name in ("links", "hubs", "components")] == [0, 0, 0]


def test_a_decision_ends_a_link_and_another_begins_it_again(spark: SparkSession, tmp_path: Path) -> None:
    """Two periods of one link; the other link is untouched."""
    fields = {"entity": "account", "a": "A07", "b": "A14", "rule": "same_device", "who": "ada", "recorded_at": 0}
    decisions = (
        Decision(number=1, action="revoke", at=25, reason="siblings", **fields),
        Decision(number=2, action="restore", at=40, reason="one person", **fields),
    )
    seen = [Seen(1, "dev-0", 10), Seen(2, "dev-0", 20), Seen(3, "dev-0", 30)]
    told = build(spark, tmp_path / "decided", seen, decisions=decisions)
    links = read_parquet(tmp_path / "decided" / "links")
    rows = links.filter(pc.equal(links.column("b_id"), 2)).to_pylist()
    held = [(micros(row["known_at"]), row["revoked_at"] and micros(row["revoked_at"]), row["reason"]) for row in rows]
    assert held == [(20, 25, "siblings"), (40, None, None)]
    assert (links.num_rows, told["decisions"]) == (3, 2)


def test_a_busy_identifier_is_cut_off_before_the_shuffle(spark: SparkSession, tmp_path: Path) -> None:
    """The plan ranks only the first holders of each partition, and nothing of it has a single partition."""
    write_transactions(tmp_path, [Seen(1, "dev-0", 1)])
    job = LinkJob(session=spark, resolution=RULES, decisions=(), folder=tmp_path, work=tmp_path / "work")
    held = job.held()
    plan = job.shared(held.where("identifier is not null"))._jdf.queryExecution().executedPlan().toString()
    ranked = job.ranked(held)._jdf.queryExecution().executedPlan().toString()
    assert "WindowGroupLimit" in ranked and "Partial" in ranked
    assert "SinglePartition" not in plan + ranked
