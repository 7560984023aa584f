"""GET /metrics: the requests to this process, and the queue, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from service import __version__
from service.api.queue_metrics import QueueCollector
from service.storage.measures import Measures

router = APIRouter(tags=["operations"])

DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "description": "Metrics in the text format of Prometheus, or in that of OpenMetrics if `Accept` prefers it.",
    }
}


@dataclass(frozen=True)
class RequestMetrics:
    """What is counted of requests in this process, and the registry that is exposed."""

    registry: CollectorRegistry
    requests: Counter
    durations: Histogram
    in_progress: Gauge
    uploaded: Counter
    deliveries: Counter


def new_metrics(measure: Callable[[], Measures]) -> RequestMetrics:
    """Metrics that start at zero, in a registry of their own, beside those of the process and of the queue."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(QueueCollector(measure))
    build = Gauge("phasegate_build_info", "Always 1; the label says the version.", ["version"], registry=registry)
    build.labels(__version__).set(1)
    deliveries = Counter(
        "phasegate_webhook_attempts_total",
        "Attempts to deliver an event to a webhook: delivered, to be retried, failed for good, or gone.",
        ["outcome"],
        registry=registry,
    )
    for outcome in ("delivered", "retried", "failed", "gone"):
        deliveries.labels(outcome)
    return RequestMetrics(
        deliveries=deliveries,
        registry=registry,
        requests=Counter(
            "phasegate_http_requests_total",
            "Requests that are over.",
            ["method", "route", "status"],
            registry=registry,
        ),
        durations=Histogram(
            "phasegate_http_request_duration_seconds",
            "From a request's head to the end of its answer, waits that were asked for included.",
            ["method", "route"],
            buckets=DURATION_BOUNDS_S,
            registry=registry,
        ),
        in_progress=Gauge("phasegate_http_requests_in_progress", "Requests that are not over.", registry=registry),
        uploaded=Counter("phasegate_upload_bytes_total", "Bytes of request bodies, as they arrive.", registry=registry),
    )


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses=EXPOSITION)
def metrics(request: Request) -> Response:
    """Requests to this process; of the whole service depth and age of the queue, workers, outcomes, regimes, and how
    long analyses waited, ran, and stayed in each stage.

    Answers 200 when the queue is away, with `phasegate_queue_up 0` in place of what is read from it.
    """
    found: RequestMetrics = request.app.state.metrics
    _declare(found, request.app.openapi()["paths"])
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(found.registry), headers={"Content-Type": media_type})


def _declare(found: RequestMetrics, paths: dict[str, Any]) -> None:
    """Make every documented answer a series, from its zero on; one that exists stays as it is."""
    for route, operations in paths.items():
        for method, operation in operations.items():
            found.durations.labels(method.upper(), route)
            for status in {*operation["responses"], "500"}:
                found.requests.labels(method.upper(), route, status)
