"""Analyses that somebody waits for: one look at the queue for all of them, and at the store for those it may know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from service.analyses.analysis import Analysis
from service.analyses.errors import QueueUnavailable, StoreUnavailable
from service.analyses.lifecycle import assemble
from service.analyses.ports import Queue, QueueEntry, QueueState, Store

log = structlog.get_logger()


@dataclass(frozen=True)
class Seen:
    """An analysis as it was seen last."""

    tenant: str
    store: Store
    analysis: Analysis
    is_in_queue: bool = True
    """False once the queue has let it go: most often because it has ended."""
    is_gone: bool = False
    """Whether it is on the store no longer."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to see."""
        return self.is_gone or self.analysis.state.final


def look_again(queue: Queue, seen: Sequence[Seen], announced: Collection[str], *, everywhere: bool) -> list[Seen]:
    """What there is to see now, in the order of `seen`.

    The queue is asked once.  While it is away, what was seen last holds, as long as the store knows of no end.  The
    store is asked for those that are `announced` to have ended and that the queue has just let go; `everywhere`, for
    all of them.
    """
    entries = _entries(queue, seen)
    suspects = [
        one
        for one in seen
        if everywhere or _id(one) in announced or (entries is not None and one.is_in_queue and not _holds(entries, one))
    ]
    ended = _ended(suspects)
    return [ended.get(_id(one)) or (one if entries is None else _as_queued(one, entries.get(_id(one)))) for one in seen]


def _id(one: Seen) -> str:
    return one.analysis.submission.id


def _holds(entries: Mapping[str, QueueEntry | None], one: Seen) -> bool:
    entry = entries.get(_id(one))
    return entry is not None and entry.state is not QueueState.EXHAUSTED


def _entries(queue: Queue, seen: Sequence[Seen]) -> Mapping[str, QueueEntry | None] | None:
    """What the queue has of each; None while it is away."""
    ids = [_id(one) for one in seen if not one.is_over]
    try:
        return dict(zip(ids, queue.find_many(ids), strict=True))
    except QueueUnavailable:
        return None


def _as_queued(one: Seen, entry: QueueEntry | None) -> Seen:
    if one.is_over:
        return one
    is_in_queue = entry is not None and entry.state is not QueueState.EXHAUSTED
    return replace(one, analysis=assemble(one.analysis.submission, None, entry), is_in_queue=is_in_queue)


def _ended(suspects: Sequence[Seen]) -> dict[str, Seen]:
    """Those that the store knows to have ended, or no longer."""
    by_tenant: dict[str, list[Seen]] = defaultdict(list)
    for one in suspects:
        by_tenant[one.tenant].append(one)
    found: dict[str, Seen] = {}
    for group in by_tenant.values():
        try:
            found |= _ended_of_one_tenant(group)
        except (StoreUnavailable, OSError) as error:
            log.debug("store_unavailable", step="look_again", reason=str(error))
    return found


def _ended_of_one_tenant(group: Sequence[Seen]) -> dict[str, Seen]:
    analyses, ids = group[0].store.analyses, [_id(one) for one in group]
    found: dict[str, Seen] = {}
    for one, outcome in zip(group, analyses.outcomes(ids), strict=True):
        if outcome is not None:
            found[_id(one)] = replace(one, analysis=assemble(one.analysis.submission, outcome, None))
        elif not one.is_in_queue and analyses.find(_id(one)) is None:
            found[_id(one)] = replace(one, is_gone=True)
    return found
