"""From the domain's records to the wire models."""

from __future__ import annotations

from datetime import timedelta

from service.analyses.analysis import Analysis, Estimation, SimulatedProblem
from service.analyses.dataset import ID_COLUMN, Dataset, Join, LabelJoin, LabelSet, StoredArray, StoredFile
from service.analyses.decision import DecisionRecord
from service.analyses.policy import StoredPolicy
from service.analyses.understanding import sentence_of, sentence_of_join, sentence_of_label_join
from service.api import problems
from service.gating.presets import PRESETS
from service.gating.references import Reference
from service.schemas.analyses import AnalysisView, InputsView, LinksView, ProgressView, SimulatedView
from service.schemas.datasets import (
    ArrayView,
    DatasetLinks,
    DatasetView,
    FileView,
    JoinView,
    LabelJoinView,
    LabelSetLinks,
    LabelSetView,
    UnderstoodView,
)
from service.schemas.policies import DecisionView, PolicyView


def dataset_address(dataset_id: str) -> str:
    """Where a dataset is."""
    return f"/v1/datasets/{dataset_id}"


def label_set_address(label_set_id: str) -> str:
    """Where a label set is."""
    return f"/v1/label-sets/{label_set_id}"


def analysis_address(analysis_id: str) -> str:
    """Where an analysis is."""
    return f"/v1/analyses/{analysis_id}"


def policy_address(reference: Reference) -> str:
    """Where a version of a policy is."""
    return f"/v1/policies/{reference.name}/versions/{reference.version}"


def decision_address(decision_id: str) -> str:
    """Where a decision is."""
    return f"/v1/decisions/{decision_id}"


def view_dataset(dataset: Dataset) -> DatasetView:
    """A dataset on the wire."""
    address = dataset_address(dataset.id)
    return DatasetView(
        id=dataset.id,
        state=dataset.state,
        missing_parts=list(dataset.missing_parts),
        created_at=dataset.created_at,
        expires_at=dataset.expires_at,
        n_pairs=dataset.n_pairs,
        x=_array(dataset.x) if dataset.x else None,
        y=_array(dataset.y) if dataset.y else None,
        groups=_optional(dataset.groups),
        covariates=_optional(dataset.covariates),
        covariate_types=dataset.typed_covariates,
        join=_join(dataset),
        links=DatasetLinks(self=address, label_sets=f"{address}/label-sets"),
    )


def view_label_set(label_set: LabelSet) -> LabelSetView:
    """A label set on the wire."""
    return LabelSetView(
        id=label_set.id,
        dataset_id=label_set.dataset_id,
        created_at=label_set.created_at,
        n_labeled=label_set.n_labeled,
        labels=_file(label_set.labels),
        rows=_optional(label_set.rows),
        label_types=label_set.label_types,
        join=None if label_set.join is None else _label_join(label_set.join),
        links=LabelSetLinks(self=label_set_address(label_set.id), dataset=dataset_address(label_set.dataset_id)),
    )


def view_analysis(analysis: Analysis, retention: timedelta) -> AnalysisView:
    """An analysis on the wire; `retention` says how long it is kept after its end."""
    submission = analysis.submission
    subject = submission.subject
    stored = subject if isinstance(subject, Estimation) else None
    address = analysis_address(submission.id)
    return AnalysisView(
        id=submission.id,
        kind=subject.kind,
        state=analysis.state,
        progress=ProgressView(stage=analysis.progress.stage, fraction=analysis.progress.fraction),
        queue_position=analysis.queue_position,
        submitted_at=submission.submitted_at,
        started_at=analysis.started_at,
        finished_at=analysis.finished_at,
        expires_at=analysis.finished_at + retention if analysis.finished_at else None,
        reused=analysis.reused,
        error=problems.problem_of_failure(analysis.failure) if analysis.failure else None,
        dataset_id=stored.dataset.id if stored else None,
        label_set_id=stored.label_set.id if stored else None,
        simulation=_simulation(subject) if isinstance(subject, SimulatedProblem) else None,
        options=subject.options,
        metadata=dict(submission.metadata),
        label_types=stored.label_set.label_types if stored else {},
        covariate_types=stored.dataset.typed_covariates if stored else {},
        inputs=_inputs(stored.dataset, stored.label_set) if stored else None,
        links=LinksView(
            self=address,
            report=f"{address}/report",
            dataset=dataset_address(stored.dataset.id) if stored else None,
            label_set=label_set_address(stored.label_set.id) if stored else None,
        ),
    )


def view_policy(stored: StoredPolicy) -> PolicyView:
    """A version of a policy on the wire."""
    return PolicyView(
        name=stored.name,
        version=stored.number,
        created_at=stored.created_at,
        sha256=stored.sha256,
        built_in=stored.name in PRESETS,
        policy=stored.policy,
    )


def view_decision(record: DecisionRecord, retention: timedelta) -> DecisionView:
    """A decision on the wire; `retention` says how long it is kept."""
    decision = record.decision
    return DecisionView(
        id=record.id,
        analysis_id=record.analysis_id,
        decided_at=record.decided_at,
        expires_at=record.decided_at + retention,
        decision=decision.decision,
        plan=decision.plan,
        rules=list(decision.rules),
        summary=decision.summary,
        recommendation=decision.recommendation,
        policy=decision.policy,
        policy_name=record.policy_name,
        policy_version=record.policy_version,
        policy_sha256=record.policy_sha256,
        report_sha256=record.report_sha256,
        metadata=dict(record.metadata),
        figures=record.figures,
    )


def _simulation(problem: SimulatedProblem) -> SimulatedView:
    return SimulatedView(model=problem.model, n_pairs=problem.n_pairs, seed=problem.seed, n_labeled=problem.n_labeled)


def _inputs(dataset: Dataset, label_set: LabelSet) -> InputsView:
    if dataset.x is None or dataset.y is None:
        raise ValueError("an analysis was submitted for a dataset that is not ready")
    return InputsView(
        x=_array(dataset.x),
        y=_array(dataset.y),
        labels=_file(label_set.labels),
        rows=_optional(label_set.rows),
        groups=_optional(dataset.groups),
        covariates=_optional(dataset.covariates),
        join=_join(dataset),
        label_join=None if label_set.join is None else _label_join(label_set.join),
    )


def _file(file: StoredFile) -> FileView:
    return FileView(
        size_bytes=file.sent_bytes, sha256=file.sent_sha256, format=file.format, understood=_understood(file)
    )


def _optional(file: StoredFile | None) -> FileView | None:
    return None if file is None else _file(file)


def _array(array: StoredArray) -> ArrayView:
    return ArrayView(
        size_bytes=array.sent_bytes,
        sha256=array.sent_sha256,
        format=array.format,
        understood=_understood(array),
        shape=list(array.shape),
        dtype=array.dtype,
    )


def _join(dataset: Dataset) -> JoinView | None:
    text = sentence_of_join(dataset)
    if text is None:
        return None
    join = dataset.join or Join(dataset.id_column or ID_COLUMN, 0, 0, 0, (), ())
    return JoinView(
        text=text,
        used=dataset.join is not None,
        id_column=join.id_column,
        n_matched=join.n_matched,
        n_only_x=join.n_only_x,
        n_only_y=join.n_only_y,
        only_x=list(join.only_x),
        only_y=list(join.only_y),
    )


def _label_join(join: LabelJoin) -> LabelJoinView:
    return LabelJoinView(
        text=sentence_of_label_join(join),
        id_column=join.id_column,
        n_matched=join.n_matched,
        n_left_out=join.n_left_out,
        left_out=list(join.left_out),
    )


def _understood(file: StoredFile) -> UnderstoodView | None:
    if file.received is None:
        return None
    found = file.received.understood
    return UnderstoodView(
        text=sentence_of(found),
        n_rows=found.n_rows,
        taken=list(found.taken),
        n_taken=found.n_taken,
        left_out=list(found.left_out),
        n_left_out=found.n_left_out,
        id_column=found.id_column,
    )
