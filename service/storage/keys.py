"""The Redis key layout, written once.

RQ's own keys, under the names that RQ gives them, so that `rq info` and dashboards read the same queue:

    key                                  type    holds                                       goes
    rq:queue:analyses                    list    ids of the waiting analyses, next one first   when popped
    rq:queue:analyses:intermediate       list    ids popped by a worker, not yet started       within seconds
    rq:wip:analyses                      zset    <id>:<execution>, score = end of the lease    at the attempt's end
    rq:failed:analyses                   zset    ids the queue has given up on                 by forget()
    rq:job:<id>                          hash    one analysis, fields in `queue_jobs`          by forget(), or when done
    rq:workers:analyses, rq:workers      set     keys of the registered workers                at their death
    rq:worker:<name>                     hash    one worker                                    WORKER_TTL_S after its
                                                                                             last heartbeat
Phasegate's own:

    phasegate:delayed                    zset    ids that wait after a lost attempt, score =   when due, by recover()
                                                 when they are due
    phasegate:dequeued                   zset    ids seen in the intermediate list, and when   when moved on
    phasegate:recovered                  string  when recover() was here last                  never
    phasegate:announced                  channel ids of analyses whose outcome is stored       not stored
    phasegate:counters                   hash    ended analyses, fields in `counters`          never
    phasegate:counted:<id>               string  a mark: this analysis is counted              after COUNTED_TTL_S
    phasegate:call:<digest>              hash    a call with an Idempotency-Key and its        PHASEGATE_IDEMPOTENCY_S
                                                 answer, fields in `idempotency`               after the call, or with
                                                                                               what it made
    phasegate:calls:<tenant>             zset    keys of a tenant's, by their time             with the last of them
    phasegate:callers                    set     tenants that have any                         with the last of them
    phasegate:lease:<name>               string  who makes an attempt to deliver            with its time
    phasegate:rate:LIMITER/<caller>/...  list    times of a caller's calls, by `limits`        a minute after the last
    phasegate:calls-of:<stem>            set     keys of the calls whose answers name ids      with the last of them
                                                 that end in this stem

All times but those of rates are the server's own.  Its clock may be set forwards or back: `recover` in `queue_scripts`
says what follows.
"""

from __future__ import annotations

from rq.defaults import RQ_KEY_PREFIX

from service.analyses.identity import Kind, is_id

QUEUE_NAME = "analyses"
QUEUE = f"{RQ_KEY_PREFIX}:queue:{QUEUE_NAME}"
INTERMEDIATE = f"{QUEUE}:intermediate"
STARTED = f"{RQ_KEY_PREFIX}:wip:{QUEUE_NAME}"
FAILED = f"{RQ_KEY_PREFIX}:failed:{QUEUE_NAME}"
QUEUES = f"{RQ_KEY_PREFIX}:queues"
WORKERS = f"{RQ_KEY_PREFIX}:workers:{QUEUE_NAME}"
ALL_WORKERS = f"{RQ_KEY_PREFIX}:workers"
WORKER_PREFIX = f"{RQ_KEY_PREFIX}:worker:"
JOB_PREFIX = f"{RQ_KEY_PREFIX}:job:"
DELAYED = "phasegate:delayed"
DEQUEUED = "phasegate:dequeued"
RECOVERED = "phasegate:recovered"
COUNTERS = "phasegate:counters"
ANNOUNCED = "phasegate:announced"
"""One channel for all: who may use patterns of channels may not always subscribe to one."""

HEARTBEAT_INTERVAL_S = 3
"""A worker renews the lease of its running analysis this often."""

LEASE_CHECK_S = 1
"""A worker looks this often whether its lease has been taken away: the analysis was cancelled."""

LEASE_S = 3 * HEARTBEAT_INTERVAL_S
"""An analysis whose lease is not renewed for this long has lost its worker."""

LEAP_S = LEASE_S - HEARTBEAT_INTERVAL_S
"""When the server's clock has gone on by more than this since `recover` was here last, it was set forwards, or nobody
was here: leases that have run out meanwhile say nothing of their holders."""

SPARE_S = 5
"""So long such a lease still lasts: a holder that lives renews it, or hands its analysis back."""

BACKOFF_S = (1, 5)
"""An analysis waits for this long after its first lost attempt, and after its second."""

HANDOVER_S = 5
"""An analysis that a worker has popped but not started for this long has lost its worker."""

WORKER_TTL_S = 20
"""A worker without a heartbeat for this long is not alive."""

COUNTED_TTL_S = 60
"""A command that counts may be sent again within this time, and counts once."""

LEASE_PREFIX = "phasegate:lease:"
RATE_PREFIX = "phasegate:rate"
MOST_CALLS = 30_000
"""Calls with a key that are kept: some 50 MB, and 155 MB if every answer is of 4 kB.  One more costs the oldest of the
tenant that has most of them, and nobody else's."""

CALLERS = "phasegate:callers"
CALLS_PREFIX = "phasegate:calls:"
CALL_PREFIX = "phasegate:call:"
CALLS_OF_PREFIX = "phasegate:calls-of:"


def is_analysis_id(value: object) -> bool:
    """Whether the value is a str and looks like an analysis id in full."""
    return isinstance(value, str) and is_id(value, Kind.ANALYSIS)


def job_key(analysis_id: str) -> str:
    """Key of the hash of one analysis."""
    return JOB_PREFIX + analysis_id


def counted_key(analysis_id: str) -> str:
    """Key of the mark that one analysis is counted."""
    return f"phasegate:counted:{analysis_id}"


def call_key(digest: str) -> str:
    """Key of the hash of one call with a key, by the digest of that key and its scope."""
    return CALL_PREFIX + digest
