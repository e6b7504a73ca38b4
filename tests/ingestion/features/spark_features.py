"""The Spark feature job over a history, read back as a matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from ingestion.artifacts import read_parquet
from ingestion.features.job import FeatureJob, wide_schema
from ingestion.features.spec import FeatureSpec
from ingestion.jobs.parts import Parts, part_name, write_parts
from tests.leakage.histories import CURRENCIES, ROLES, Floats, History, as_tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def spark_features(spark: SparkSession, history: History, spec: FeatureSpec, folder: Path, **options: int) -> Floats:
    """(N, F) by the Spark job; the ids are checked to be in order."""
    transactions, labels = as_tables(history)
    parts = folder.with_name(f"{folder.name}-transactions")
    parts.mkdir(exist_ok=True)
    for number, begin in enumerate(range(0, len(history), 900)):  # cut elsewhere than the features are
        pq.write_table(transactions.slice(begin, 900), parts / part_name(number), row_group_size=250)
    job = FeatureJob(
        spec=spec,
        roles=ROLES,
        currencies=CURRENCIES,
        transactions=Parts.of(parts),
        folder=folder,
        work=folder.with_name("work"),
        **options,
    )
    values, make = job.values(spark, spark.createDataFrame(labels).repartition(2))
    write_parts(values, [(folder, wide_schema(spec))], make=make, first=options.get("first_part", 0))
    table = read_parquet(folder)
    assert table.column("transaction_id").to_pylist() == [f"t{index:06d}" for index in range(len(history))]
    return np.stack([table.column(name).to_numpy() for name in spec.names], axis=1)
