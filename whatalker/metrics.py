"""What is measured, for Prometheus; its one rule: a label is a name of ours (a route, a queue, a state), never a person or customer."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.registry import REGISTRY, Collector

REQUESTS = Histogram(
    "whatalker_http_request_seconds",
    "Time to the first byte of an answer, by route.",
    ("method", "route", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SIGN_INS = Counter("whatalker_sign_ins_total", "Sign-ins by outcome.", ("outcome",))


def exposition(now: Collector) -> bytes:
    """The text Prometheus reads: what all processes of this host counted, and what `now` finds at this moment.

    Several processes share their counts through files in PROMETHEUS_MULTIPROC_DIR, which must be empty when the first one starts.
    """
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry(auto_describe=False)
        multiprocess.MultiProcessCollector(registry)
        counted = generate_latest(registry)
    else:
        counted = generate_latest(REGISTRY)
    current = CollectorRegistry(auto_describe=False)
    current.register(now)
    return counted + generate_latest(current)
