"""The counts of a forwarder in the text form of Prometheus, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from amiguard_client.forward.counts import METRICS, Counts
from amiguard_client.forward.errors import SetupError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

INSTALL = "pip install 'amiguard[cli]'"
PREFIX = "amiguard_forward_"


class _Collector:
    """Gives the counts as they are when they are asked for."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for metric in METRICS:
            labels = [metric.label] if metric.label else []
            kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            family = kind(PREFIX + metric.name, metric.help, labels=labels)
            for value in metric.values:
                family.add_metric([value] if labels else [], self._counts.get(metric, value))
            yield family


@contextmanager
def serving_metrics(counts: Counts, *, host: str, port: int) -> Iterator[int]:
    """Serves metrics until the end of the block; gives the port, a free one where it was 0.

    Raises a SetupError where the address cannot be had or prometheus-client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise SetupError(f"prometheus-client is not installed: {INSTALL}") from None
    registry = CollectorRegistry()
    registry.register(_Collector(counts))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise SetupError(f"{host}:{port}: {error.strerror or error}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
