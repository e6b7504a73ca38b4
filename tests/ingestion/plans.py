"""What an ingest asks of Spark: its executed plans, and the rows that reach the driver.

with watched(session) as seen:
    ingest(...)
assert seen.single_partitions() == []
assert seen.most_rows <= limit
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.classic.dataframe import DataFrame

_SINGLE = re.compile(r"Exchange SinglePartition")
#: One row from each partition meets there: a global count, sum or extreme.
_PARTIAL = re.compile(r"Aggregate\(keys?=\[\], functions=\[(partial|merge)_")


@dataclass
class Watched:
    """Descriptions of the executed plans, and the rows of each collect."""

    plans: list[str] = field(default_factory=list)
    collected: list[tuple[str, int]] = field(default_factory=list)

    @property
    def most_rows(self) -> int:
        """Rows of the largest collect."""
        return max((rows for _, rows in self.collected), default=0)

    def single_partitions(self) -> list[str]:
        """Exchanges to a single partition, with what goes into them; global aggregates are left out."""
        return [found for plan in self.plans for found in single_partitions(plan)]


def single_partitions(plan: str) -> list[str]:
    """The exchanges to a single partition in the text of a plan whose input is more than a partial aggregate."""
    lines = plan.splitlines()
    found = []
    for at, line in enumerate(lines):
        below = lines[at + 1] if at + 1 < len(lines) else ""
        if _SINGLE.search(line) and not _PARTIAL.search(below):
            found.append(f"{line.strip()} <- {below.strip()}")
    return found


@contextmanager
def watched(session: SparkSession) -> Iterator[Watched]:
    """Watch all that runs in a block."""
    store = session._jsparkSession.sharedState().statusStore()
    mode = session.conf.get("spark.sql.ui.explainMode")
    session.conf.set("spark.sql.ui.explainMode", "simple")
    before = _newest(store)
    seen = Watched()
    collect, to_arrow = DataFrame.collect, DataFrame.toArrow

    def counted_collect(self: DataFrame) -> list[Any]:
        rows = collect(self)
        seen.collected.append(("collect", len(rows)))
        return rows

    def counted_arrow(self: DataFrame) -> Any:
        table = to_arrow(self)
        seen.collected.append(("toArrow", table.num_rows))
        return table

    def refused(self: DataFrame, *_: Any, **__: Any) -> Any:
        raise AssertionError("rows stream to the driver")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DataFrame, "collect", counted_collect)
        patch.setattr(DataFrame, "toArrow", counted_arrow)
        for name in ("toLocalIterator", "toPandas"):
            patch.setattr(DataFrame, name, refused)
        try:
            yield seen
        finally:
            session.conf.set("spark.sql.ui.explainMode", mode)
    seen.plans = _plans_since(session, before)


def _plans_since(session: SparkSession, before: int) -> list[str]:
    session.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    store = session._jsparkSession.sharedState().statusStore()
    executions = store.executionsList()
    found = [executions.apply(at) for at in range(executions.size())]
    return [each.physicalPlanDescription() for each in found if each.executionId() > before]


def _newest(store: Any) -> int:
    """Id of the newest execution: the store keeps only so many, so their number is no place in time."""
    executions = store.executionsList()
    return max((int(executions.apply(at).executionId()) for at in range(executions.size())), default=-1)
