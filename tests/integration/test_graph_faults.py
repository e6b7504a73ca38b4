"""Neo4j dies or is cut off around a commit (TRUST NEO): nothing is lost, nothing is there twice.

Three kills and every cut; `benchmarks/graph_faults.py` kills 50 times.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingestion.errors import RetryLater
from tests.graph_faults import PHASES, PLACES, FaultyGraph
from tests.graph_server import needs_managed_server, without_server
from tests.tcp_proxy import Phase

pytestmark = [pytest.mark.neo4j, needs_managed_server]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyGraph]:
    try:
        faulty = FaultyGraph(tmp_path_factory.mktemp("faults"))
    except RetryLater as error:
        without_server(error)
    yield faulty
    faulty.close()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("phase", PHASES)
def test_a_connection_that_is_cut_at_a_commit(graph: FaultyGraph, place: str, phase: Phase) -> None:
    """The load finds out by itself what became of the commit: it need not be run again."""
    outcome = graph.load_with_fault(place, phase, kill=False)
    assert outcome.was_hit and outcome.num_runs == 1
    assert (outcome.num_lost, outcome.num_twice, outcome.is_equal) == (0, 0, True)


@pytest.mark.parametrize(("place", "phase"), [("transactions", "before"), ("uses", "during"), ("marker", "after")])
def test_a_server_that_is_killed_at_a_commit(graph: FaultyGraph, place: str, phase: Phase) -> None:
    """The load fails, reads come from the snapshot, and after the restart the same load ends well."""
    outcome = graph.load_with_fault(place, phase, kill=True)
    assert outcome.was_hit and outcome.num_runs == 2
    assert (outcome.num_lost, outcome.num_twice, outcome.is_equal) == (0, 0, True)
    assert outcome.seconds_to_stale is not None
