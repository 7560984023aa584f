"""An analysis is run, in a worker, and settled once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from service.analyses.analysis import RECORD_VERSION, Failure, Outcome, Progress, Submission
from service.analyses.counting import ended_analysis
from service.analyses.errors import (
    AnalysisError,
    InputLost,
    InternalError,
    OutOfMemory,
    QueueUnavailable,
    UploadError,
)
from service.analyses.intake import typed_covariates
from service.analyses.ports import Queue, Store
from service.estimation.errors import EstimationError
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.record import to_json
from service.estimation.report import Report

log = structlog.get_logger()


def run(store: Store, queue: Queue, analysis_id: str, progress: Callable[[Progress], None]) -> None:
    """Run an analysis and settle it: a report, or the failure that its input or a defect causes.

    What is no fault of this analysis escapes, and the queue tries again: StoreUnavailable, this process killed.
    """
    submission = store.analyses.find(analysis_id)
    if submission is None or store.analyses.outcome(analysis_id) is not None:
        log.warning("analysis_skipped", analysis_id=analysis_id, known=submission is not None)
        return
    started_at = datetime.now(UTC)

    def finish(result: Report | None, failure: Failure | None) -> None:
        outcome = Outcome(RECORD_VERSION, started_at, datetime.now(UTC), failure)
        settle(store, queue, analysis_id, outcome, result)

    try:
        finish(_estimated(store, submission, progress), None)
    except (EstimationError, UploadError) as error:
        finish(None, failure_of(error))
    except MemoryError:
        message = "The analysis needed more memory than the worker has. Send fewer pairs or features."
        finish(None, failure_of(OutOfMemory(message)))
    except OSError:
        log.exception("store_failed", analysis_id=analysis_id)
        store.check()
        # The store works: it is this analysis's files that do not.
        finish(None, failure_of(InputLost("The stored input of the analysis cannot be read. Submit it again.")))
    except Exception:
        # A defect would fail the same way again, so it is settled and not retried; the log has the traceback.
        log.exception("analysis_defect", analysis_id=analysis_id)
        message = "The service failed on this input. Tell the operator the id of the analysis."
        finish(None, failure_of(InternalError(message)))


def settle(store: Store, queue: Queue, analysis_id: str, outcome: Outcome, report: Report | None = None) -> None:
    """Write an outcome, once, tell whoever waits for it, and count it."""
    written = store.analyses.settle(analysis_id, outcome, to_json(report) if report else None)
    if written:
        code = outcome.failure.code if outcome.failure else None
        log.info("analysis_settled", analysis_id=analysis_id, state=outcome.state, failure=code)
    try:
        queue.announce(analysis_id)
        if written:
            queue.count(ended_analysis(analysis_id, outcome, report))
    except QueueUnavailable:
        log.warning("queue_unavailable", analysis_id=analysis_id)


def failure_of(error: EstimationError | AnalysisError) -> Failure:
    """What is stored of an error."""
    return Failure(error.code, error.message, error.part)


def _estimated(store: Store, submission: Submission, progress: Callable[[Progress], None]) -> Report:
    features = store.datasets.features_of(submission.dataset)
    labels = store.datasets.labels_of(submission.label_set)
    return estimate(
        features.x,
        features.y,
        label_columns(labels.columns, submission.label_set.label_types),
        labels.rows,
        submission.options,
        lambda stage, fraction: progress(Progress(stage, fraction)),
        groups=features.groups,
        covariates=typed_covariates(features.covariates, submission.dataset.covariate_types),
    )
