"""An analysis is run, in a worker, and settled once."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from service.analyses.analysis import RECORD_VERSION, Estimation, Failure, Outcome, Progress, SimulatedProblem
from service.analyses.counting import ended_analysis
from service.analyses.errors import (
    AnalysisError,
    CacheTooSmall,
    InputAltered,
    InputLost,
    InternalError,
    OutOfMemory,
    QueueUnavailable,
    StoreUnavailable,
    UploadError,
)
from service.analyses.intake import typed_covariates
from service.analyses.ports import Queue, Store
from service.estimation.errors import EstimationError
from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.record import to_json
from service.estimation.report import Report
from service.estimation.simulation import simulate
from service.estimation.simulation_records import Simulation

log = structlog.get_logger()

RESERVE_BYTES = 4 * 1024**2  # kept for storing that the rest was not enough

TOO_LITTLE_MEMORY = (
    "The analysis needed more memory than it may take. Send fewer pairs or features, or ask the operator to raise "
    "PHASEGATE_ANALYSIS_MEMORY_LIMIT_BYTES."
)


def run(
    store: Store,
    queue: Queue,
    analysis_id: str,
    progress: Callable[[Progress], None],
    bounded: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Run an analysis and settle it: a report, or the failure that its input or a defect causes.

    Arguments: bounded, entered while it is computed, and not while its input is fetched or its outcome stored: may
    refuse it memory.

    What is no fault of this analysis escapes, and the queue tries again: StoreUnavailable, this process killed.
    """
    submission = store.analyses.find(analysis_id)
    if submission is None or store.analyses.outcome(analysis_id) is not None:
        log.warning("analysis_skipped", analysis_id=analysis_id, known=submission is not None)
        return
    started_at = datetime.now(UTC)
    in_reserve = bytearray(RESERVE_BYTES)

    def finish(result: Report | Simulation | None, failure: Failure | None) -> None:
        outcome = Outcome(RECORD_VERSION, started_at, datetime.now(UTC), failure)
        settle(store, queue, analysis_id, outcome, result)

    try:
        finish(_result(store, submission.subject, progress, bounded), None)
    except StoreUnavailable:
        raise
    except (EstimationError, UploadError, InputAltered, CacheTooSmall) as error:
        finish(None, failure_of(error))
    except MemoryError:
        del in_reserve
        finish(None, failure_of(OutOfMemory(TOO_LITTLE_MEMORY)))
    except OSError as error:
        if error.errno == errno.ENOMEM:  # what cannot be mapped
            del in_reserve
            finish(None, failure_of(OutOfMemory(TOO_LITTLE_MEMORY)))
            return
        log.exception("store_failed", analysis_id=analysis_id)
        store.check()
        # The store works: it is this analysis's files that do not.
        finish(None, failure_of(InputLost("The stored input of the analysis cannot be read. Submit it again.")))
    except Exception:
        # A defect would fail the same way again, so it is settled and not retried; the log has the traceback.
        log.exception("analysis_defect", analysis_id=analysis_id)
        message = "The service failed on this input. Tell the operator the id of the analysis."
        finish(None, failure_of(InternalError(message)))


def settle(
    store: Store, queue: Queue, analysis_id: str, outcome: Outcome, result: Report | Simulation | None = None
) -> None:
    """Write an outcome, once, tell whoever waits for it, and count it."""
    report = to_json(result) if result else None
    if report is not None:
        outcome = replace(outcome, report_sha256=digest_of(report.encode()))
    written = store.analyses.settle(analysis_id, outcome, report)
    if written:
        code = outcome.failure.code if outcome.failure else None
        log.info("analysis_settled", analysis_id=analysis_id, state=outcome.state, failure=code)
    try:
        queue.announce(analysis_id)
        if written:
            queue.count(ended_analysis(analysis_id, outcome, result))
    except QueueUnavailable:
        log.warning("queue_unavailable", analysis_id=analysis_id)


def digest_of(report: bytes) -> str:
    """SHA-256 of a report, in hex, by which one that has been altered is known."""
    return hashlib.sha256(report).hexdigest()


def failure_of(error: EstimationError | AnalysisError) -> Failure:
    """What is stored of an error."""
    return Failure(error.code, error.message, error.part)


def _result(
    store: Store,
    subject: Estimation | SimulatedProblem,
    progress: Callable[[Progress], None],
    bounded: Callable[[], AbstractContextManager[None]],
) -> Report | Simulation:
    def publish(stage: str, fraction: float) -> None:
        progress(Progress(stage, fraction))

    if isinstance(subject, SimulatedProblem):
        with bounded():
            return simulate(
                subject.model,
                subject.n_pairs,
                subject.seed,
                n_labeled=subject.n_labeled,
                options=subject.options,
                progress=publish,
            )
    features, labels = store.datasets.inputs_of(subject.dataset, subject.label_set)
    with bounded():
        return estimate(
            features.x,
            features.y,
            label_columns(labels.columns, subject.label_set.label_types),
            labels.rows,
            subject.options,
            publish,
            groups=features.groups,
            covariates=typed_covariates(features.covariates, subject.dataset.covariate_types),
        )
