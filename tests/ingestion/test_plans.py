"""No step of an ingest has a single partition, and no rows of the data reach the driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.workspace import Workspace
from tests.builders import random_rows
from tests.ingestion.plans import watched
from tests.ingestion.tables import write_source

pytestmark = pytest.mark.spark

#: Far fewer than the rows below: counts of partitions, types, parts.
FEW = 40


@pytest.fixture
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of some hundred rows is cut as one of millions."""
    monkeypatch.setattr("ingestion.jobs.build.num_parts", lambda rows, workers, **_: 3)
    monkeypatch.setattr("ingestion.jobs.sharing.CLOSED_ROWS", 40)
    monkeypatch.setattr("ingestion.features.job.ROWS_A_PART", 128)
    monkeypatch.setattr("ingestion.jobs.build.ENTITIES_A_PART", 16)
    monkeypatch.setattr("ingestion.resolution.job._ENTITIES_A_PART", 16)


def test_planted_faults_are_caught(spark: SparkSession) -> None:
    rows = spark.range(0, 5_000, 1, 4).withColumn("key", F.col("id") % 7)
    with watched(spark) as seen:
        numbered = rows.withColumn("place", F.row_number().over(Window.orderBy("id")))
        assert numbered.where("place > 10").count() == 4_990
    assert any("SinglePartition" in found for found in seen.single_partitions())
    with watched(spark) as seen:
        rows.repartition(1).sortWithinPartitions("id").mapInArrow(lambda batches: batches, "id long, key long").count()
    assert seen.single_partitions()
    with watched(spark) as seen:
        assert len(rows.where("key = 0").collect()) > FEW
        rows.toArrow()
    assert seen.most_rows == 5_000
    with watched(spark) as seen, pytest.raises(AssertionError, match="stream to the driver"):
        rows.toLocalIterator()
    with watched(spark) as seen:
        assert rows.groupBy("key").count().agg(F.max("count"), F.count_distinct("key")).collect()
    assert seen.single_partitions() == [], "a global aggregate meets as one row a partition"
    assert len(seen.plans) == 1


@pytest.mark.usefixtures("many_parts")
def test_an_ingest_and_an_increment_have_no_single_partition(spark: SparkSession, tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace")
    mapping = load_mapping("ringfence")
    for number, accounts in enumerate((10, 80)):  # the second night is as large as the first: no tail is one part
        rows, labels = random_rows(450, seed=5 + number, num_accounts=accounts, self_transfers=0)
        rows = [row for row in rows if row["source_key"] != row["target_key"]]
        ids = {row["transaction_id"] for row in rows}
        told = [entry for entry in labels if entry["transaction_id"] in ids]
        source = write_source(tmp_path / str(number), rows, told)
        with watched(spark) as seen:
            result = ingest(workspace, source, mapping, max_bad_share=1)
        assert result.num_new == len(rows)
        assert len(seen.plans) > 20, "the plans were seen"
        assert seen.single_partitions() == []
        assert 0 < seen.most_rows <= FEW
