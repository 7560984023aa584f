"""A report that is there already is not made again: the same input, options and version have the same report."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import structlog

from service import __version__
from service.analyses.analysis import RECORD_VERSION, Estimation, Outcome, Submission
from service.analyses.counting import EndedAnalysis, ended_analysis
from service.analyses.errors import AnalysisNotFound, QueueUnavailable
from service.analyses.execution import digest_of
from service.analyses.ports import Queue, Store
from service.estimation.record import as_dict
from service.estimation.report import SCHEMA_VERSION

log = structlog.get_logger()


def fingerprint_of(subject: Estimation) -> str:
    """SHA-256, in hex, of all that decides the report of an estimation: bytes of the uploads, types, options, version.

    Two analyses with the same fingerprint have the same report, but for its timings.
    """
    dataset, label_set = subject.dataset, subject.label_set
    decides = {
        "files": {part: file.sha256 for part, file in (dataset.inputs | label_set.files).items()},
        "label_types": label_set.label_types,
        "covariate_types": dataset.typed_covariates,
        "options": as_dict(subject.options),
        "report": SCHEMA_VERSION,
        "service": __version__,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def settle_with_stored(store: Store, queue: Queue, submission: Submission, reuse_within: timedelta) -> bool:
    """Settle an analysis that has been submitted with a copy of a report that is there; False if there is none.

    Arguments: reuse_within, how old that may be: one whose time is over is as good as removed.
    """
    source = store.analyses.find_report(submission.fingerprint) if submission.fingerprint else None
    found = store.analyses.outcome(source) if source is not None else None
    now = datetime.now(UTC)
    if source is None or found is None or found.failure is not None or found.finished_at + reuse_within <= now:
        return False
    try:
        report = store.analyses.report(source)
    except AnalysisNotFound:
        return False
    digest = digest_of(report)
    if found.report_sha256 not in (None, digest):
        log.error("report_altered", analysis_id=source)
        return False
    outcome = Outcome(RECORD_VERSION, None, now, None, reused=True, report_sha256=digest)
    if store.analyses.settle(submission.id, outcome, report.decode()):
        log.info("analysis_settled", analysis_id=submission.id, state=outcome.state, failure=None, reused_from=source)
        _count(queue, ended_analysis(submission.id, outcome, None))
    return True


def _count(queue: Queue, ended: EndedAnalysis) -> None:
    try:
        queue.count(ended)
    except QueueUnavailable:
        log.warning("queue_unavailable", analysis_id=ended.analysis_id)
