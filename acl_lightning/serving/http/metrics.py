"""Prometheus metrics of the HTTP service."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acl_lightning.serving.http.batching import BatchReport

#: Upper limits of the buckets of times, in seconds.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServiceMetrics:
    """Metrics of a service, in a registry that belongs to it alone.

    | name | kind | labels |
    |---|---|---|
    | `acl_lightning_requests_total` | requests to `/predict` | `status`: HTTP status, or `disconnected` |
    | `acl_lightning_request_seconds` | histogram: time from the first byte to the last byte of an answer 200 | |
    | `acl_lightning_exit_layer` | histogram: layer at which a text left | `operating_point` |
    | `acl_lightning_batch_texts` | histogram: number of texts computed together | |
    | `acl_lightning_batch_seconds` | histogram: time of tokenisation and inference of a batch | |
    | `acl_lightning_waiting_texts` | gauge: texts in the queue | |

    Args:
        exit_layers: Layer of each exit.
        batch: Largest number of texts in a batch.
        waiting: Returns the number of texts in the queue.
    """

    def __init__(self, exit_layers: Sequence[int], batch: int, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def histogram(name: str, description: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(
                f"acl_lightning_{name}", description, labels, buckets=tuple(buckets), registry=self.registry
            )

        self._requests = Counter(
            "acl_lightning_requests", "Requests to /predict by HTTP status.", ["status"], registry=self.registry
        )
        self._seconds = histogram("request_seconds", "Time of requests that were answered.", SECONDS)
        self._layers = histogram("exit_layer", "Layer at which a text left.", exit_layers, "operating_point")
        self._texts = histogram("batch_texts", "Number of texts that were computed together.", _powers_of_2(batch))
        self._batch_seconds = histogram("batch_seconds", "Time of tokenisation and inference of a batch.", SECONDS)
        gauge = Gauge("acl_lightning_waiting_texts", "Number of texts in the queue.", registry=self.registry)
        gauge.set_function(waiting)

    def record_batch(self, report: BatchReport) -> None:
        """Count a batch."""
        self._texts.observe(len(report.answers))
        self._batch_seconds.observe(report.seconds)
        layers = self._layers.labels(report.operating_point)
        for layer in report.answers.exit_layers.tolist():
            layers.observe(layer)

    def record_request(self, status: str, seconds: float) -> None:
        """Count a request to `/predict`.

        Args:
            status: HTTP status, or `disconnected`.
            seconds: Time until the end of the response.
        """
        self._requests.labels(status).inc()
        if status == "200":
            self._seconds.observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


class RequestMetrics:
    """ASGI middleware that counts requests to `/predict`, also those that are refused.

    Args:
        app: Application.
        metrics: Metrics to update.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["path"] != "/predict":
            await self.app(scope, receive, send)
            return
        status = "disconnected"
        started = time.perf_counter()

        async def send_and_record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, send_and_record)
        finally:
            self.metrics.record_request(status, time.perf_counter() - started)


def _powers_of_2(largest: int) -> list[float]:
    """Return 1, 2, 4, ... below a number, and the number."""
    return [*(float(2**exponent) for exponent in range(largest.bit_length()) if 2**exponent < largest), float(largest)]
