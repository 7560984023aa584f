"""An analysis is submitted: stored first, then queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from service.analyses.analysis import RECORD_VERSION, Analysis, Estimation, SimulatedProblem, Submission
from service.analyses.dataset import ID_COLUMN, TypesAsSaid
from service.analyses.errors import LabelSetMismatch, NotFound, QueueUnavailable, StoreUnavailable
from service.analyses.identity import Kind, new_id
from service.analyses.intake import (
    check_id_column,
    completed,
    find_label_set,
    find_ready,
    joined,
    labeled,
    receive,
)
from service.analyses.lifecycle import as_submitted, describe
from service.analyses.memory_limit import check_memory, check_simulation_memory
from service.analyses.metadata import check_metadata
from service.analyses.ports import Queue, Source, Store
from service.analyses.reuse import fingerprint_of, settle_with_stored
from service.estimation import inputs as checks
from service.estimation.labels import LabelColumn, LabelTypes, label_columns
from service.estimation.options import Options
from service.estimation.simulation import check_simulation
from service.estimation.terms import Method

log = structlog.get_logger()


def submit(
    store: Store,
    queue: Queue,
    dataset_id: str,
    label_set_id: str,
    options: Options,
    metadata: Mapping[str, str] | None = None,
    request_id: str | None = None,
    *,
    stem: str | None = None,
    reuse_within: timedelta | None = None,
    memory_limit_bytes: int | None = None,
) -> Analysis:
    """Queue an analysis of a stored dataset with one of its label sets.  When this returns, it survives a crash.

    Arguments: stem, of its id; the analysis that has it already is the answer, for then this call was made before;
    reuse_within, how old a report of the same may be that is taken in place of a run, None for a run in any case.

    Raises: DatasetNotFound, DatasetIncomplete, LabelSetNotFound, LabelSetMismatch, InvalidMetadata,
    MemoryLimitExceeded; estimation InputError for options, and for missing labels that the method cannot take;
    StoreUnavailable.
    """
    checks.check_options(options)
    check_metadata(metadata or {})
    if (known := _known(store, queue, stem)) is not None:
        return known
    find_ready(store, dataset_id)
    with store.datasets.hold(dataset_id, alone=False):
        dataset, label_set = find_ready(store, dataset_id), find_label_set(store, label_set_id)
        if label_set.dataset_id != dataset_id:
            raise LabelSetMismatch(
                f"Label set {label_set_id} belongs to dataset {label_set.dataset_id}. Name that dataset, or add the "
                "labels to this one.",
                part="label_set_id",
            )

        def columns() -> Sequence[LabelColumn]:
            return label_columns(store.datasets.labels_of(label_set).columns, label_set.label_types)

        if options.method == Method.REFERENCE:  # the only one that may refuse what it has not seen yet
            checks.check_complete(columns(), options.method)
        check_memory(dataset, label_set, options, columns, memory_limit_bytes)
        submission = _submission(Estimation(dataset, label_set, options), metadata, request_id, stem)
        store.analyses.add(submission)
    return _queued(store, queue, submission, reuse_within)


def submit_upload(
    store: Store,
    queue: Queue,
    sources: Mapping[str, Source],
    options: Options,
    label_types: LabelTypes,
    covariate_types: TypesAsSaid = None,
    metadata: Mapping[str, str] | None = None,
    *,
    retention: timedelta,
    request_id: str | None = None,
    stem: str | None = None,
    reuse_within: timedelta | None = None,
    memory_limit_bytes: int | None = None,
    media_types: Mapping[str, str] | None = None,
    id_column: str | None = None,
) -> Analysis:
    """Receive dataset and label set at once, check their form, keep them, and queue an analysis of them.

    Arguments: stem, of the three ids; what has them already is taken as it is, for then this call was made before;
    reuse_within, as for `submit`; media_types and id_column, as for `create_dataset`.

    Raises: UploadError for unreadable files; estimation InputError for options, shapes, types, rows, groups and missing
    labels that the method cannot take; InvalidMetadata, MemoryLimitExceeded; StoreUnavailable.  Nothing stays then.
    """
    checks.check_options(options)
    check_metadata(metadata or {})
    if (known := _known(store, queue, stem)) is not None:
        return known
    dataset_id, label_set_id = new_id(Kind.DATASET, stem), new_id(Kind.LABEL_SET, stem)
    if stem is not None and store.datasets.find(dataset_id) is not None:
        return submit(
            store,
            queue,
            dataset_id,
            label_set_id,
            options,
            metadata,
            request_id=request_id,
            memory_limit_bytes=memory_limit_bytes,
            stem=stem,
            reuse_within=reuse_within,
        )
    check_id_column(id_column)
    with store.datasets.stage(id_column or ID_COLUMN) as staged:
        receive(staged, sources, media_types)
        dataset = joined(staged, covariate_types, id_column, stem)
        features, label_join = staged.features(), staged.match_labels()
        dataset = completed(dataset, features, retention)
        label_set, columns = labeled(dataset, features.groups, staged, staged.labels(), label_types, stem, label_join)
        checks.check_complete(columns, options.method)
        check_memory(dataset, label_set, options, lambda: columns, memory_limit_bytes)
        staged.keep(dataset, label_set)
        submission = _submission(Estimation(dataset, label_set, options), metadata, request_id, stem)
        # Still held by the staging: nobody removes the dataset before an analysis needs it.
        try:
            store.analyses.add(submission)
        except StoreUnavailable:
            _withdraw(store, submission, dataset.id)
            raise
    return _queued(store, queue, submission, reuse_within)


def submit_simulation(
    store: Store,
    queue: Queue,
    problem: SimulatedProblem,
    request_id: str | None = None,
    stem: str | None = None,
    memory_limit_bytes: int | None = None,
) -> Analysis:
    """Queue a simulation; `stem` as for `submit`.

    Raises InvalidModel, InvalidOption, MemoryLimitExceeded, StoreUnavailable.
    """
    check_simulation(problem.model, problem.n_pairs, problem.seed, problem.n_labeled, problem.options)
    if (known := _known(store, queue, stem)) is not None:
        return known
    check_simulation_memory(problem, memory_limit_bytes)
    submission = _submission(problem, None, request_id, stem)
    store.analyses.add(submission)
    return _queued(store, queue, submission, None)


def _known(store: Store, queue: Queue, stem: str | None) -> Analysis | None:
    """The analysis that an earlier attempt of the same call has submitted.

    That attempt may have failed in its last step, which is made good here: one that lacks what it needs is none.
    """
    submission = store.analyses.find(new_id(Kind.ANALYSIS, stem)) if stem is not None else None
    if submission is None:
        return None
    if store.analyses.outcome(submission.id) is None:
        try:
            store.analyses.confirm(submission)
        except NotFound:
            if store.analyses.outcome(submission.id) is None:  # else it has ended, and its dataset was removed then
                store.analyses.remove(submission.id)
                return None
    return _seen(store, queue, submission)


def _withdraw(store: Store, submission: Submission, dataset_id: str) -> None:
    """Remove the dataset of an analysis that was not stored; one that may be needed is left to expire."""
    try:
        if store.analyses.find(submission.id) is None:
            store.datasets.remove(dataset_id)
    except (StoreUnavailable, OSError):
        log.warning("dataset_left", dataset_id=dataset_id)


def _submission(
    subject: Estimation | SimulatedProblem,
    metadata: Mapping[str, str] | None,
    request_id: str | None,
    stem: str | None,
) -> Submission:
    return Submission(
        version=RECORD_VERSION,
        id=new_id(Kind.ANALYSIS, stem),
        submitted_at=datetime.now(UTC),
        subject=subject,
        metadata=dict(metadata or {}),
        request_id=request_id,
        fingerprint=fingerprint_of(subject) if isinstance(subject, Estimation) else None,
    )


def _queued(store: Store, queue: Queue, submission: Submission, reuse_within: timedelta | None) -> Analysis:
    log.info("analysis_submitted", analysis_id=submission.id, kind=submission.subject.kind)
    if reuse_within is None or not _settled_at_once(store, queue, submission, reuse_within):
        try:
            queue.enqueue(submission.id)
        except QueueUnavailable:
            # The 202 stands: the submission is stored, and `reconcile_store` queues it when the queue is back.
            log.warning("queue_unavailable", analysis_id=submission.id)
    return _seen(store, queue, submission)


def _settled_at_once(store: Store, queue: Queue, submission: Submission, reuse_within: timedelta) -> bool:
    try:
        return settle_with_stored(store, queue, submission, reuse_within)
    except (StoreUnavailable, OSError):
        log.warning("report_not_reused", analysis_id=submission.id, exc_info=True)
        return False  # it is accepted, and a worker can settle it later


def _seen(store: Store, queue: Queue, submission: Submission) -> Analysis:
    try:
        return describe(store, queue, submission.id)
    except (NotFound, StoreUnavailable):
        # It is accepted, whatever has happened since: the caller has to learn its id.
        return as_submitted(submission)
