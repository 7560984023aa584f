"""The life of an analysis: submit, run, describe, reconcile.  Every function is safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from service.analyses.analysis import (
    RECORD_VERSION,
    Analysis,
    Failure,
    Outcome,
    Progress,
    State,
    StoredArray,
    Submission,
    is_id,
    new_id,
)
from service.analyses.counting import ended_analysis
from service.analyses.errors import (
    AnalysisError,
    AnalysisLost,
    AnalysisNotFound,
    AnalysisStopped,
    InputLost,
    InternalError,
    JobRefused,
    NoReport,
    OutOfMemory,
    QueueUnavailable,
    ReportNotReady,
    TimeLimitExceeded,
    UploadError,
    WorkerLost,
)
from service.analyses.ports import Inputs, LossReason, Queue, QueueEntry, QueueState, Store, Upload
from service.estimation import inputs as checks
from service.estimation.covariates import check_covariates, covariate_columns
from service.estimation.errors import EstimationError, InvalidOption
from service.estimation.estimate import estimate
from service.estimation.groups import check_groups
from service.estimation.labels import LabelColumn, LabelTypes, has_label, label_columns
from service.estimation.options import Options
from service.estimation.record import to_json
from service.estimation.report import Report

REQUEUE_AFTER = timedelta(seconds=10)  # longer than a submission takes from the store to the queue

LOST: dict[LossReason, AnalysisLost] = {
    LossReason.TIME_LIMIT: TimeLimitExceeded(
        "The analysis was stopped at the time limit. Send fewer pairs or features, or ask the operator to raise "
        "PHASEGATE_ANALYSIS_TIME_LIMIT_S."
    ),
    LossReason.WORKER_LOST: WorkerLost(
        "The process that ran the analysis died in every attempt, most often for lack of memory. Send fewer pairs or "
        "features, or ask the operator for larger workers."
    ),
    LossReason.STOPPED: AnalysisStopped("The analysis was stopped by the operator. Submit it again if you need it."),
    LossReason.REFUSED: JobRefused("The queue held a job under this name that a worker must not run. Submit again."),
}

log = structlog.get_logger()


def submit(
    store: Store,
    queue: Queue,
    upload: Upload,
    options: Options,
    label_types: LabelTypes,
    covariate_types: LabelTypes = None,
    request_id: str | None = None,
) -> Analysis:
    """Store an upload, check its form, and queue it.  When this returns, the analysis survives a crash.

    Raises: UploadError for unreadable files; estimation InputError for options, shapes, types, rows, groups and missing
    labels that the method cannot take; StoreUnavailable.  Nothing stays behind then.
    """
    checks.check_options(options)
    with store.stage(upload) as staged:
        received = staged.inputs()
        columns = label_columns(received.labels, label_types)
        rows = checks.check_form(received.x, received.y, len(columns[0].values), received.rows)
        checks.check_complete(columns, options.method)
        if received.groups is not None:
            check_groups(received.groups, len(received.x), rows[has_label(columns)])
        covariates = typed_covariates(received, covariate_types)
        check_covariates(covariates, len(received.x))
        files = staged.files()
        submission = Submission(
            version=RECORD_VERSION,
            id=new_id(),
            submitted_at=datetime.now(UTC),
            options=options,
            label_types={column.name: column.type for column in columns},
            x=_described(files, "x", received.x),
            y=_described(files, "y", received.y),
            labels=files["labels"],
            rows=files.get("rows"),
            groups=files.get("groups"),
            covariates=files.get("covariates"),
            covariate_types={column.name: column.type for column in covariates},
            request_id=request_id,
        )
        staged.commit(submission)
    log.info("analysis_submitted", analysis_id=submission.id, shape_x=submission.x.shape, shape_y=submission.y.shape)
    try:
        queue.enqueue(submission.id)
    except QueueUnavailable:
        # The 202 stands: the submission is stored, and `reconcile` queues it when the queue is back.
        log.warning("queue_unavailable", analysis_id=submission.id)
    return describe(store, queue, submission.id)


def typed_covariates(received: Inputs, types: LabelTypes) -> tuple[LabelColumn, ...]:
    """The covariates that were received, none if none were.  Raises InvalidOption for types of none, InputError."""
    if received.covariates is not None:
        return covariate_columns(received.covariates, types)
    if types:
        raise InvalidOption(
            "options.covariate_types says the type of covariates, and none were sent. Send them, or leave it out.",
            part="options",
        )
    return ()


def describe(store: Store, queue: Queue, analysis_id: str) -> Analysis:
    """The analysis as it stands.  Raises AnalysisNotFound."""
    submission = store.submission(analysis_id) if is_id(analysis_id) else None
    if submission is None:
        raise AnalysisNotFound("There is no analysis with this id. Check the id.")
    outcome = store.outcome(analysis_id)
    if outcome is None:
        entry = _entry(queue, analysis_id)
        # It may have finished, and left the queue, between the two looks.
        outcome = store.outcome(analysis_id) if entry is None else None
        return _assemble(submission, outcome, entry)
    return _assemble(submission, outcome, None)


def report(store: Store, analysis_id: str) -> bytes:
    """The stored report, as JSON text.  Raises AnalysisNotFound, ReportNotReady, NoReport."""
    if not is_id(analysis_id) or store.submission(analysis_id) is None:
        raise AnalysisNotFound("There is no analysis with this id. Check the id.")
    outcome = store.outcome(analysis_id)
    if outcome is None:
        raise ReportNotReady("The analysis has not finished. Ask again after the time in Retry-After.")
    if outcome.failure is not None:
        raise NoReport(
            f"The analysis ended without a report ({outcome.failure.code}). Its `error` says why and what to do."
        )
    return store.report(analysis_id)


def run(store: Store, queue: Queue, analysis_id: str, progress: Callable[[Progress], None]) -> None:
    """Run an analysis and settle it: a report, or the failure that its input or a defect causes.

    What is no fault of this analysis escapes, and the queue tries again: StoreUnavailable, this process killed.
    """
    submission = store.submission(analysis_id)
    if submission is None or store.outcome(analysis_id) is not None:
        log.warning("analysis_skipped", analysis_id=analysis_id, known=submission is not None)
        return
    started_at = datetime.now(UTC)

    def finish(result: Report | None, failure: Failure | None) -> None:
        outcome = Outcome(RECORD_VERSION, started_at, datetime.now(UTC), failure)
        settle(store, queue, analysis_id, outcome, result)

    try:
        received = store.inputs(submission)
        found = estimate(
            received.x,
            received.y,
            label_columns(received.labels, submission.label_types),
            received.rows,
            submission.options,
            lambda stage, fraction: progress(Progress(stage, fraction)),
            groups=received.groups,
            covariates=typed_covariates(received, submission.covariate_types),
        )
        finish(found, None)
    except (EstimationError, UploadError) as error:
        finish(None, _failure(error))
    except MemoryError:
        message = "The analysis needed more memory than the worker has. Send fewer pairs or features."
        finish(None, _failure(OutOfMemory(message)))
    except OSError:
        log.exception("store_failed", analysis_id=analysis_id)
        store.check()
        # The store works: it is this analysis's files that do not.
        finish(None, _failure(InputLost("The stored input of the analysis cannot be read. Submit it again.")))
    except Exception:
        # A defect would fail the same way again, so it is settled and not retried; the log has the traceback.
        log.exception("analysis_defect", analysis_id=analysis_id)
        message = "The service failed on this input. Tell the operator the id of the analysis."
        finish(None, _failure(InternalError(message)))


def settle(store: Store, queue: Queue, analysis_id: str, outcome: Outcome, report: Report | None) -> None:
    """Write an outcome, once, tell whoever waits for it, and count it."""
    written = store.settle(analysis_id, outcome, to_json(report) if report else None)
    if written:
        code = outcome.failure.code if outcome.failure else None
        log.info("analysis_settled", analysis_id=analysis_id, failure=code)
    try:
        queue.announce(analysis_id)
        if written:
            queue.count(ended_analysis(analysis_id, outcome, report))
    except QueueUnavailable:
        log.warning("queue_unavailable", analysis_id=analysis_id)


def reconcile_queue(store: Store, queue: Queue) -> None:
    """Put back what dead workers held, and settle what the queue has given up on."""
    queue.requeue_lost()
    for entry in queue.exhausted():
        if store.submission(entry.analysis_id) is not None:
            reason = LOST[entry.loss or LossReason.WORKER_LOST]
            outcome = Outcome(RECORD_VERSION, entry.started_at, datetime.now(UTC), _failure(reason))
            settle(store, queue, entry.analysis_id, outcome, None)
        queue.forget(entry.analysis_id)


def reconcile_store(store: Store, queue: Queue) -> None:
    """Queue every stored analysis that has neither outcome nor queue entry: the queue was lost, or never reached."""
    latest = datetime.now(UTC) - REQUEUE_AFTER
    for submission in store.unsettled():
        if submission.submitted_at < latest and queue.find(submission.id) is None:
            log.warning("analysis_requeued", analysis_id=submission.id)
            queue.enqueue(submission.id)


def _entry(queue: Queue, analysis_id: str) -> QueueEntry | None:
    try:
        return queue.find(analysis_id)
    except QueueUnavailable:
        return None  # what is stored still holds: the analysis waits


def _assemble(submission: Submission, outcome: Outcome | None, entry: QueueEntry | None) -> Analysis:
    """The analysis that follows from its three records; the store outranks the queue, which may have lost it."""
    if outcome is not None:
        return Analysis(
            submission=submission,
            state=State.SUCCEEDED if outcome.failure is None else State.FAILED,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
            queue_position=None,
            progress=Progress("done", 1.0),
            failure=outcome.failure,
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


def _failure(error: EstimationError | AnalysisError) -> Failure:
    return Failure(error.code, error.message, error.part)


def _described(files: Mapping[str, Any], part: str, array: Any) -> StoredArray:
    file = files[part]
    return StoredArray(file.name, file.size_bytes, file.sha256, tuple(array.shape), str(array.dtype))
