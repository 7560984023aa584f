"""Counters of ended analyses, shared by all workers and APIs: one hash, whose fields are written and read here.

    analyses:<state>:<code>              how many ended so; the code is empty without a failure
    regimes:<regime>:<conclusive>        reports by regime of x_to_y; true, false, or unknown
    reused                               how many of the succeeded ones have a copy of an earlier report
    stages:<stage>:count, :sum           how many reports have the stage, and its seconds in all
    waits:<upper bound>, waits:sum       how many waited at most so long (and longer than the next bound), in all
    runs:<upper bound>, runs:sum         the same for the time that the attempt took which ended the analysis

A lost server starts them again at zero, which is what whoever reads counters is prepared for.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from redis import Redis

from service.analyses.counting import EndedAnalysis
from service.storage import keys

WAIT_BOUNDS_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, math.inf)
RUN_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, math.inf)

# The mark makes a command that is sent again after a lost answer count once.
_COUNT = """
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then return 0 end
for place = 2, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[place], ARGV[place + 1]) end
return 1
"""


@dataclass(frozen=True)
class Summary:
    """How many durations there were, and their sum in seconds."""

    count: int
    total_s: float


@dataclass(frozen=True)
class Distribution:
    """How many durations lie within each bound (and above the one before), bounds ascending, and their sum."""

    counts: Mapping[float, int]
    total_s: float


@dataclass(frozen=True)
class Counts:
    """Everything that has been counted since the server was last empty."""

    analyses: Mapping[tuple[str, str], int]  # by state and code
    regimes: Mapping[tuple[str, str], int]  # by regime and conclusive
    reused: int
    stages: Mapping[str, Summary]
    waits: Distribution
    runs: Distribution


def count(connection: Redis, ended: EndedAnalysis) -> bool:
    """Count an analysis, in one step; False if it has been counted within the last minute."""
    flat = [part for field, amount in increments(ended) for part in (field, repr(amount))]
    places = (keys.COUNTERS, keys.counted_key(ended.analysis_id))
    return bool(connection.eval(_COUNT, len(places), *places, keys.COUNTED_TTL_S, *flat))


def parse_counts(stored: Mapping[bytes, bytes]) -> Counts:
    """The counters of the hash; a field that `count` cannot have written is not there."""
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for field, value in stored.items():
        try:
            found[tuple(field.decode("ascii").split(":"))] = float(value)
        except ValueError:
            continue
    stages = {path[1] for path in found if path[0] == "stages" and len(path) == 3}
    return Counts(
        analyses=_by_two(found, "analyses"),
        regimes=_by_two(found, "regimes"),
        reused=int(found[("reused",)]),
        stages={
            stage: Summary(int(found["stages", stage, "count"]), found["stages", stage, "sum"])
            for stage in sorted(stages)
        },
        waits=Distribution({bound: int(found["waits", repr(bound)]) for bound in WAIT_BOUNDS_S}, found["waits", "sum"]),
        runs=Distribution({bound: int(found["runs", repr(bound)]) for bound in RUN_BOUNDS_S}, found["runs", "sum"]),
    )


def _by_two(found: Mapping[tuple[str, ...], float], kind: str) -> dict[tuple[str, str], int]:
    return {(path[1], path[2]): int(value) for path, value in found.items() if path[0] == kind and len(path) == 3}


def increments(ended: EndedAnalysis) -> Iterator[tuple[str, float]]:
    """What an analysis adds to which fields."""
    yield f"analyses:{ended.state.value}:{ended.code or ''}", 1
    if ended.reused:
        yield "reused", 1
    if ended.regime is not None:
        conclusive = "unknown" if ended.conclusive is None else str(ended.conclusive).lower()
        yield f"regimes:{ended.regime.value}:{conclusive}", 1
    for stage, seconds in ended.stages_s.items():
        yield f"stages:{stage}:count", 1
        yield f"stages:{stage}:sum", seconds
    for kind, bounds_s, seconds_taken in (
        ("waits", WAIT_BOUNDS_S, ended.waited_s),
        ("runs", RUN_BOUNDS_S, ended.ran_s),
    ):
        if seconds_taken is not None:
            yield f"{kind}:{bounds_s[bisect_left(bounds_s, seconds_taken)]!r}", 1
            yield f"{kind}:sum", seconds_taken
