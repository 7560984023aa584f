"""What is counted of ended analyses, on the real server."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from redis import Redis

from service.analyses.analysis import Failure, Outcome, State
from service.analyses.counting import EndedAnalysis, ended_analysis
from service.analyses.errors import QueueUnavailable
from service.estimation.simulation import simulate
from service.estimation.spiked_model import SpikedModel
from service.estimation.terms import Regime
from service.storage import keys
from service.storage.counters import RUN_BOUNDS_S, WAIT_BOUNDS_S, parse_counts
from service.storage.measures import read_measures
from service.storage.redis_queue import RedisQueue


def new_id() -> str:
    return f"an-{int(time.time() * 1000):012x}{uuid4().hex[:20]}"


@pytest.fixture
def queue(connection: Redis) -> RedisQueue:
    return RedisQueue(connection, time_limit_s=60)


def a_success(waited_s: float = 0.3, ran_s: float = 2.0, conclusive: bool | None = True) -> EndedAnalysis:
    stages = {"survey": 0.5, "classify ca": 1.25}
    return EndedAnalysis(new_id(), State.SUCCEEDED, None, waited_s, ran_s, Regime.CA_ONLY, conclusive, stages)


def a_failure(code: str) -> EndedAnalysis:
    return EndedAnalysis(new_id(), State.FAILED, code, None, None)


def test_an_empty_server_has_counted_nothing(connection):
    measures = read_measures(connection)
    assert (measures.waiting, measures.running, measures.workers_alive) == (0, 0, 0)
    assert measures.oldest_made_at_s is None
    assert measures.counts.analyses == measures.counts.regimes == measures.counts.stages == {}
    assert set(measures.counts.waits.counts) == set(WAIT_BOUNDS_S)
    assert sum(measures.counts.runs.counts.values()) == 0


def test_outcomes_regimes_stages_and_times_add_up(connection, queue):
    for ended in (a_success(), a_success(conclusive=None), a_success(), a_failure("worker_lost")):
        queue.count(ended)
    counts = read_measures(connection).counts
    assert counts.analyses == {("succeeded", ""): 3, ("failed", "worker_lost"): 1}
    assert counts.regimes == {("ca_only", "true"): 2, ("ca_only", "unknown"): 1}
    assert {stage: (of.count, of.total_s) for stage, of in counts.stages.items()} == {
        "survey": (3, pytest.approx(1.5)),
        "classify ca": (3, pytest.approx(3.75)),
    }
    assert counts.waits.total_s == pytest.approx(0.9)
    assert counts.runs.total_s == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, 0.1), (0.1, 0.1), (0.1001, 0.25), (1800.0, 1800.0), (1e6, math.inf)]
)
def test_a_duration_is_counted_within_the_least_bound_that_holds_it(connection, queue, seconds, bound):
    queue.count(a_success(ran_s=seconds))
    counts = read_measures(connection).counts.runs.counts
    assert {edge for edge, number in counts.items() if number} == {bound}
    assert set(counts) == set(RUN_BOUNDS_S)


def test_a_count_that_is_sent_again_counts_once(connection, queue):
    ended = a_success()
    queue.count(ended)
    queue.count(ended)
    assert read_measures(connection).counts.analyses == {("succeeded", ""): 1}
    assert 0 < connection.ttl(keys.counted_key(ended.analysis_id)) <= keys.COUNTED_TTL_S


def test_fields_that_nobody_here_writes_are_not_there(connection, queue):
    queue.count(a_success())
    connection.hset(keys.COUNTERS, mapping={"analyses:failed": 9, "strange": 1, b"\xff": 1, "regimes:both:true": "x"})
    counts = read_measures(connection).counts
    assert counts.analyses == {("succeeded", ""): 1}
    assert counts.regimes == {("ca_only", "true"): 1}
    assert parse_counts({b"stages:fit:count": b"2"}).stages["fit"].total_s == 0.0


def test_a_key_of_another_type_in_the_way_is_an_unavailable_queue(connection, queue):
    connection.set(keys.COUNTERS, "in the way")
    with pytest.raises(QueueUnavailable):
        queue.count(a_success())


def test_waiting_running_and_the_oldest_are_read(connection, queue):
    first, second = new_id(), new_id()
    for analysis_id in (first, second):
        queue.enqueue(analysis_id)
    connection.rpush(keys.QUEUE, "not an id")
    connection.lmove(keys.QUEUE, keys.INTERMEDIATE)
    connection.zadd(keys.STARTED, {f"{new_id()}:execution": 1})
    measures = read_measures(connection)
    assert (measures.waiting, measures.running) == (3, 1)
    assert measures.oldest_made_at_s == int(first[3:15], 16) / 1000


def test_times_that_clocks_disagree_on_count_as_none_at_all():
    now = datetime.now(UTC)
    outcome = Outcome(1, now - timedelta(hours=1), now - timedelta(hours=2), Failure("invalid_npy", "It is.", "x"))
    ended = ended_analysis(new_id(), outcome, None)
    assert (ended.waited_s, ended.ran_s) == (0.0, 0.0)
    assert (ended.state, ended.code, ended.regime) == (State.FAILED, "invalid_npy", None)


def test_what_was_never_started_has_no_times():
    outcome = Outcome(1, None, datetime.now(UTC), Failure("job_refused", "It was.", None))
    ended = ended_analysis(new_id(), outcome, None)
    assert (ended.waited_s, ended.ran_s) == (None, None)


def test_a_simulation_is_counted_as_an_analysis_and_has_no_regime(connection, queue):
    model = SpikedModel((1.0,), (0.5,), (0.5,), (1.0, 1.0), (1.0, 1.0, 1.0), (0.2, 0.1))
    now = datetime.now(UTC)
    queue.count(ended_analysis(new_id(), Outcome(1, now, now, None), simulate(model, 200, seed=1)))
    counts = read_measures(connection).counts
    assert (counts.analyses, counts.regimes, counts.stages) == ({("succeeded", ""): 1}, {}, {})
    assert sum(counts.runs.counts.values()) == 1
