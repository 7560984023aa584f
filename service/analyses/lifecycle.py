"""An analysis as its users see it: look, list, fetch the report, cancel, delete.  Every call is safe to repeat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from service.analyses.analysis import RECORD_VERSION, Analysis, Outcome, Progress, State, Submission
from service.analyses.errors import (
    AnalysisActive,
    AnalysisNotFound,
    NoReport,
    QueueUnavailable,
    ReportAltered,
    ReportNotReady,
    StoreUnavailable,
)
from service.analyses.execution import digest_of, settle
from service.analyses.identity import Kind, first_id, is_id
from service.analyses.pages import Page, page_of
from service.analyses.ports import Queue, QueueEntry, QueueState, Store

log = structlog.get_logger()


def describe(store: Store, queue: Queue, analysis_id: str) -> Analysis:
    """The analysis as it stands.  Raises AnalysisNotFound."""
    submission = _find(store, analysis_id)
    outcome = store.analyses.outcome(analysis_id)
    if outcome is None:
        entry = _entries(queue, [analysis_id])[0]
        # It may have finished and left the queue, or been deleted, between the two looks.
        outcome = _outcome(store, analysis_id) if entry is None else None
        return assemble(submission, outcome, entry)
    return assemble(submission, outcome, None)


def as_submitted(submission: Submission) -> Analysis:
    """The analysis in the moment in which it was accepted."""
    return assemble(submission, None, None)


def list_analyses(
    store: Store,
    queue: Queue,
    *,
    states: Collection[State] = (),
    metadata: Mapping[str, str] | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page[Analysis]:
    """A page of analyses, newest first: those in one of `states` that have all of `metadata`.  Raises InvalidCursor."""
    wanted = dict(metadata or {})

    def look(analysis_ids: Sequence[str]) -> list[Analysis | None]:
        found = store.analyses.find_many(analysis_ids)
        matching = [s for s in found if s is not None and wanted.items() <= s.metadata.items()]
        ids = [submission.id for submission in matching]
        outcomes = dict(zip(ids, store.analyses.outcomes(ids), strict=True))
        active = [analysis_id for analysis_id, outcome in outcomes.items() if outcome is None]
        entries = dict(zip(active, _entries(queue, active), strict=True))
        shown: dict[str, Analysis] = {}
        for submission in matching:
            outcome, entry = outcomes[submission.id], entries.get(submission.id)
            if outcome is None and entry is None:
                outcome = store.analyses.outcome(submission.id)
                if outcome is None and store.analyses.find(submission.id) is None:
                    continue
            analysis = assemble(submission, outcome, entry)
            if not states or analysis.state in states:
                shown[submission.id] = analysis
        return [shown.get(analysis_id) for analysis_id in analysis_ids]

    return page_of(store.analyses.ids, look, Kind.ANALYSIS, cursor, limit)


def report(store: Store, analysis_id: str) -> bytes:
    """The stored report, as JSON text.  Raises AnalysisNotFound, ReportNotReady, NoReport, ReportAltered."""
    _find(store, analysis_id)
    outcome = _outcome(store, analysis_id)
    if outcome is None:
        raise ReportNotReady("The analysis has not finished. Ask again after the time in Retry-After.")
    if outcome.cancelled:
        raise NoReport("The analysis was cancelled before it had a report. Submit it again if you need one.")
    if outcome.failure is not None:
        raise NoReport(
            f"The analysis ended without a report ({outcome.failure.code}). Its `error` says why and what to do."
        )
    stored = store.analyses.report(analysis_id)
    if outcome.report_sha256 not in (None, digest_of(stored)):
        log.error("report_altered", analysis_id=analysis_id)
        raise ReportAltered(
            "The stored report is not what was stored. Submit the analysis again, and tell the operator its id."
        )
    return stored


def cancel(store: Store, queue: Queue, analysis_id: str) -> Analysis:
    """Cancel an analysis that has not finished, running or not; one that has is left as it is.

    The outcome is stored first: whatever the attempt that runs now still finds out, it changes nothing.
    Raises AnalysisNotFound.
    """
    analysis = describe(store, queue, analysis_id)
    if not analysis.state.final:
        settle(store, queue, analysis_id, Outcome(RECORD_VERSION, analysis.started_at, _now(), None, cancelled=True))
    try:
        queue.forget(analysis_id)
    except QueueUnavailable:
        log.warning("queue_unavailable", analysis_id=analysis_id)
    return describe(store, queue, analysis_id)


def delete(store: Store, queue: Queue, analysis_id: str) -> None:
    """Remove a finished analysis, its record and its report; dataset and label set stay.

    Raises: AnalysisNotFound, AnalysisActive.
    """
    _find(store, analysis_id)
    if _outcome(store, analysis_id) is None:
        raise AnalysisActive("The analysis has not finished. Wait for it, or cancel it, before you delete it.")
    store.analyses.remove(analysis_id)
    with suppress(QueueUnavailable):
        queue.erase(analysis_id)
    log.info("analysis_deleted", analysis_id=analysis_id)


def sweep_analyses(store: Store, now: datetime, retention: timedelta) -> list[str]:
    """Remove the analyses that ended `retention` ago or earlier, and what cannot be read and is as old; their ids.

    What fails with one keeps none of the others.
    """
    removed = []
    # None ended before it was submitted: those that are younger need not be looked at.
    for analysis_id in store.analyses.ids(first_id(Kind.ANALYSIS, now - retention)):
        try:
            outcome = store.analyses.outcome(analysis_id)
            is_over = outcome is not None and outcome.finished_at + retention <= now
            if is_over or (outcome is None and store.analyses.find(analysis_id) is None):
                store.analyses.remove(analysis_id)
                removed.append(analysis_id)
                log.info("analysis_expired", analysis_id=analysis_id)
        except (OSError, StoreUnavailable):
            log.exception("analysis_not_removed", analysis_id=analysis_id)
    return removed


def _find(store: Store, analysis_id: str) -> Submission:
    submission = store.analyses.find(analysis_id) if is_id(analysis_id, Kind.ANALYSIS) else None
    if submission is None:
        raise AnalysisNotFound("There is no analysis with this id. Check the id.")
    return submission


def _outcome(store: Store, analysis_id: str) -> Outcome | None:
    """The outcome of an analysis that was there a moment ago, None before its end.  Raises AnalysisNotFound."""
    outcome = store.analyses.outcome(analysis_id)
    if outcome is None:
        _find(store, analysis_id)  # one that has been deleted meanwhile has not "not finished"
    return outcome


def _entries(queue: Queue, analysis_ids: Sequence[str]) -> Sequence[QueueEntry | None]:
    try:
        return queue.find_many(analysis_ids)
    except QueueUnavailable:
        return [None] * len(analysis_ids)  # what is stored still holds: they wait


def _now() -> datetime:
    return datetime.now(UTC)


def assemble(submission: Submission, outcome: Outcome | None, entry: QueueEntry | None) -> Analysis:
    """The analysis that follows from its three records; the store outranks the queue, which may have lost it."""
    if outcome is not None:
        return Analysis(
            submission=submission,
            state=outcome.state,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
            queue_position=None,
            progress=Progress("done", 1.0),
            failure=outcome.failure,
            reused=outcome.reused,
        )
    if entry is None or entry.state is QueueState.WAITING:
        return Analysis(
            submission=submission,
            state=State.QUEUED,
            started_at=None,
            finished_at=None,
            queue_position=entry.position if entry else None,
            progress=Progress("queued", 0.0),
            failure=None,
        )
    return Analysis(
        submission=submission,
        state=State.RUNNING,
        started_at=entry.started_at,
        finished_at=None,
        queue_position=None,
        progress=entry.progress or Progress("start", 0.0),
        failure=None,
    )
