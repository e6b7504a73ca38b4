"""Connections to a graph server: a server that is gone is noticed in 3 seconds, not in 30."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import neo4j
from neo4j.exceptions import AuthError, ClientError, DriverError, Neo4jError

from ingestion.errors import GraphUnavailable
from ingestion.graph.endpoint import Endpoint

PATIENCE_SECONDS = 3.0
#: A read is tried once more, after about a second: the driver's pauses double, a third try would come after 3 to 7.
READ_RETRY_SECONDS = 0.75
#: A load waits longer: a deadlock or a checkpoint is worth another try.
LOAD_PATIENCE_SECONDS = 60.0
# The driver warns of each retry; a retry that fails for good becomes an error of ours, with a remedy.
logging.getLogger("neo4j").setLevel(logging.ERROR)


def connect(endpoint: Endpoint, *, patience: float = PATIENCE_SECONDS) -> neo4j.Driver:
    """A driver for an endpoint; it opens connections when they are needed. Close it."""
    return neo4j.GraphDatabase.driver(
        endpoint.uri,
        auth=(endpoint.user, endpoint.password) if endpoint.password else None,
        connection_timeout=min(patience, PATIENCE_SECONDS),
        connection_acquisition_timeout=min(patience, PATIENCE_SECONDS),
        max_transaction_retry_time=patience if patience > PATIENCE_SECONDS else READ_RETRY_SECONDS,
        notifications_min_severity="OFF",
        telemetry_disabled=True,
        user_agent="ringfence",
    )


@contextmanager
def graph_errors(endpoint: Endpoint) -> Iterator[None]:
    """Turn a driver's failure to reach the server into `GraphUnavailable` with what to do.

    A refused statement (`ClientError`) is a fault of ours and stays as it is.
    """
    try:
        yield
    except AuthError as error:
        raise GraphUnavailable(
            f"The graph server at {endpoint.uri} refused user {endpoint.user!r}.",
            remedy="Set [graph] user and password (RINGFENCE_GRAPH_USER, RINGFENCE_GRAPH_PASSWORD).",
        ) from error
    except ClientError:
        raise
    except (DriverError, Neo4jError, OSError) as error:
        raise GraphUnavailable(
            f"The graph server at {endpoint.uri} does not answer ({type(error).__name__}).", remedy=_remedy(endpoint)
        ) from error


def _remedy(endpoint: Endpoint) -> str:
    if endpoint.is_external:
        return "Start that server, or mend [graph] uri (RINGFENCE_GRAPH_URI)."
    return "Run `ringfence graph start`; nothing that it had acknowledged is lost."
