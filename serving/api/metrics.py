"""Prometheus metrics with bounded labels: the route's template and status, never an id or a value."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: The label of a request that no route took: paths are chosen by callers, so they are no labels.
NO_ROUTE = "none"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class ApiMetrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("ringfence_http_requests", "Requests answered", labels, registry=self.registry)
        self._seconds = Histogram(
            "ringfence_http_request_seconds",
            "Time to answer",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("ringfence_http_in_flight", "Requests being answered", registry=self.registry)
        self._scored = Counter(
            "ringfence_transactions", "Transactions answered by outcome", ("outcome",), registry=self.registry
        )
        for outcome in ("scored", "alert", "quarantined"):
            self._scored.labels(outcome)
        self.stale_reads = Counter(
            "ringfence_stale_reads", "Graph reads answered from the snapshot", registry=self.registry
        )
        self._release = Gauge("ringfence_release", "The release in force", ("release_id",), registry=self.registry)

    def observe(self, *, method: str, route: str | None, status: int, seconds: float) -> None:
        """One answered request; `route` is a path template."""
        verb = method if method in _METHODS else "other"
        self._requests.labels(verb, route or NO_ROUTE, str(status)).inc()
        self._seconds.labels(verb, route or NO_ROUTE).observe(seconds)

    def count_answer(self, *, status: str, is_alert: bool) -> None:
        """One scored or quarantined transaction."""
        self._scored.labels("alert" if is_alert else status).inc()

    def set_release(self, release_id: str) -> None:
        """The release that is served now."""
        self._release.clear()
        self._release.labels(release_id).set(1)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
