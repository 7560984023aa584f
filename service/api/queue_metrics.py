"""The queue, its workers and what they have finished, as metrics that are read when somebody asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.analyses.analysis import State
from service.analyses.errors import AnalysisLost, QueueUnavailable, UploadError
from service.api.problems import subclasses
from service.estimation.errors import EstimationError
from service.estimation.terms import Regime
from service.storage.counters import Counts, Distribution
from service.storage.measures import Measures


class QueueCollector(Collector):
    """Reads the queue anew at every scrape; every API over one queue therefore says the same."""

    def __init__(self, measure: Callable[[], Measures]) -> None:
        self._measure = measure

    def collect(self) -> Iterator[Metric]:
        """All metrics of the queue; of one that is away, nothing but that it is."""
        try:
            measures = self._measure()
        except QueueUnavailable:
            measures = None
        yield _gauge("queue_up", "Whether the queue can be reached.", float(measures is not None))
        if measures is not None:
            yield from _load(measures)
            yield from _counted(measures.counts)


def _load(measures: Measures) -> Iterator[Metric]:
    oldest_at_s = measures.oldest_made_at_s
    age_s = 0.0 if oldest_at_s is None else max(0.0, time.time() - oldest_at_s)
    yield _gauge("queue_depth", "Analyses that wait for a worker.", measures.waiting)
    yield _gauge("queue_oldest_age_seconds", "Time since the submission of the oldest that waits; 0 if none.", age_s)
    yield _gauge("analyses_running", "Analyses that a worker runs.", measures.running)
    yield _gauge("workers_alive", "Workers with a recent heartbeat.", measures.workers_alive)


def _counted(counts: Counts) -> Iterator[Metric]:
    analyses = CounterMetricFamily(
        "phasegate_analyses", "Ended analyses, by outcome and failure code.", labels=["outcome", "code"]
    )
    for outcome, number in (dict.fromkeys(_outcomes(), 0) | dict(counts.analyses)).items():
        analyses.add_metric(outcome, number)
    yield analyses
    yield CounterMetricFamily(
        "phasegate_analyses_reused", "Those of the succeeded ones that have a copy of an earlier report.", counts.reused
    )
    regimes = CounterMetricFamily(
        "phasegate_regimes", "Reports, by the regime of x_to_y.", labels=["regime", "conclusive"]
    )
    known = [(regime.value, conclusive) for regime in Regime for conclusive in ("true", "false", "unknown")]
    for regime, number in (dict.fromkeys(known, 0) | dict(counts.regimes)).items():
        regimes.add_metric(regime, number)
    yield regimes
    stages = SummaryMetricFamily(
        "phasegate_stage_seconds", "Duration of each stage of an estimation.", labels=["stage"]
    )
    for stage, durations in counts.stages.items():
        stages.add_metric([stage], durations.count, durations.total_s)
    yield stages
    yield _histogram(
        "analysis_wait_seconds", "From submission to the start of the attempt that ended it.", counts.waits
    )
    yield _histogram("analysis_run_seconds", "From the start of that attempt to the outcome.", counts.runs)


def _outcomes() -> list[tuple[str, str]]:
    """Every outcome there can be: rates need a series from its zero on."""
    failures = {
        str(vars(kind)["code"])
        for root in (EstimationError, UploadError, AnalysisLost)
        for kind in subclasses(root)
        if "code" in vars(kind)
    }
    return [
        (State.SUCCEEDED.value, ""),
        (State.CANCELLED.value, ""),
        *((State.FAILED.value, code) for code in sorted(failures)),
    ]


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"phasegate_{name}", documentation, value)


def _histogram(name: str, documentation: str, durations: Distribution) -> HistogramMetricFamily:
    bounds, counts = zip(*durations.counts.items(), strict=True)
    buckets = list(zip(map(floatToGoString, bounds), accumulate(counts), strict=True))
    return HistogramMetricFamily(f"phasegate_{name}", documentation, buckets, durations.total_s)
