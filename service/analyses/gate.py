"""May a run start?  The report of an analysis is held against a policy once; the answer is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from service.analyses import lifecycle, policies
from service.analyses.analysis import RECORD_VERSION, Estimation
from service.analyses.decision import DecisionRecord, Question
from service.analyses.errors import AnalysisNotFound, DecisionNotFound, NotGateable, StoreUnavailable
from service.analyses.execution import digest_of
from service.analyses.happenings import decision_made
from service.analyses.identity import Kind, first_id, is_id, new_id
from service.analyses.pages import Page, page_of
from service.analyses.ports import Store
from service.analyses.webhooks import owe
from service.estimation.report import Report
from service.gating.checking import check_policy
from service.gating.deciding import decide
from service.gating.decision import Decided
from service.gating.digests import sha256_of
from service.gating.figures import figures_of
from service.gating.policy import Policy
from service.gating.references import Reference

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """A decision, and whether this call has made it."""

    record: DecisionRecord
    is_new: bool


def gate(store: Store, analysis_id: str, asked: Policy | Reference, read_report: Callable[[bytes], Report]) -> Answer:
    """Decide by the report of an analysis, or give the decision that was made before.

    A decision outlives its analysis: who asks again gets it, though the report is gone.

    Arguments: asked, a policy, or the name of one; read_report, of the stored bytes; it raises AnalysisError for what
    cannot be read.

    Raises: PolicyNotFound, InvalidPolicy, AnalysisNotFound, ReportNotReady, NoReport, ReportAltered, NotGateable,
    StoreUnavailable.
    """
    if not is_id(analysis_id, Kind.ANALYSIS):
        raise AnalysisNotFound("There is no analysis with this id. Check the id.")
    if isinstance(asked, Reference):
        named = policies.find(store, asked)
        policy, reference = named.policy, named.reference
    else:
        check_policy(asked)
        policy, reference = asked, None
    question = Question(analysis_id, sha256_of(policy), reference)
    earlier = _answered(store, question)
    if earlier is not None:
        return Answer(earlier, is_new=False)
    submission = store.analyses.find(analysis_id)
    if submission is not None and not isinstance(submission.subject, Estimation):
        raise NotGateable(
            "This analysis is a simulation, which says nothing of any data. Ask about the analysis of a dataset."
        )
    stored = lifecycle.report(store, analysis_id)
    report = read_report(stored)
    decision = decide(report, policy)
    record = DecisionRecord(
        version=RECORD_VERSION,
        id=store.decisions.reserve(question, new_id(Kind.DECISION)),
        analysis_id=analysis_id,
        policy_sha256=question.policy_sha256,
        policy_name=reference.name if reference else None,
        policy_version=reference.version if reference else None,
        report_sha256=digest_of(stored),
        metadata=dict(submission.metadata) if submission else {},
        decision=decision,
        figures=figures_of(report),
    )
    # First: what is owed for a decision that was not kept is that of whoever asks next, who gets the same one.
    owe(store.webhooks, decision_made(record))
    is_new = store.decisions.keep(record)
    if is_new:
        log.info(
            "decision_made",
            decision_id=record.id,
            analysis_id=analysis_id,
            decision=decision.decision.value,
            policy=str(reference) if reference else None,
            policy_sha256=question.policy_sha256,
        )
        return Answer(record, is_new=True)
    return Answer(_answered(store, question) or record, is_new=False)


def find(store: Store, decision_id: str) -> DecisionRecord:
    """A decision.  Raises DecisionNotFound."""
    record = store.decisions.find(decision_id) if is_id(decision_id, Kind.DECISION) else None
    if record is None:
        raise DecisionNotFound("There is no decision with this id. Check the id, or ask the gate again.")
    return record


def list_decisions(
    store: Store,
    *,
    analysis_id: str | None = None,
    decided: Decided | None = None,
    policy: Reference | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page[DecisionRecord]:
    """A page of decisions, newest first: those of an analysis, those that came out so, those of a named policy, in any
    version unless one is named.  Raises InvalidCursor.
    """

    def look(decision_ids: Sequence[str]) -> list[DecisionRecord | None]:
        return [record if record is not None and wanted(record) else None for record in found(decision_ids)]

    def found(decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        return store.decisions.find_many(decision_ids)

    def wanted(record: DecisionRecord) -> bool:
        return (
            analysis_id in (None, record.analysis_id)
            and decided in (None, record.decision.decision)
            and (policy is None or policy.name == record.policy_name)
            and (policy is None or policy.version in (None, record.policy_version))
        )

    def ids_before(before: str | None, at_most: int) -> Sequence[str]:
        if analysis_id is None:
            return store.decisions.ids(before, at_most)
        if not is_id(analysis_id, Kind.ANALYSIS):
            return ()
        ids = store.decisions.ids_of(analysis_id)
        return [an_id for an_id in ids if before is None or an_id < before][:at_most]

    return page_of(ids_before, look, Kind.DECISION, cursor, limit)


def sweep_decisions(store: Store, now: datetime, retention: timedelta) -> list[str]:
    """Remove the decisions that were made `retention` ago or earlier; their ids.

    What fails with one keeps none of the others.
    """
    removed = []
    latest = now - retention
    for decision_id in store.decisions.ids(first_id(Kind.DECISION, latest)):
        try:
            store.decisions.remove(decision_id)
            removed.append(decision_id)
            log.info("decision_expired", decision_id=decision_id)
        except (OSError, StoreUnavailable):
            log.exception("decision_not_removed", decision_id=decision_id)
    store.decisions.sweep(latest)
    return removed


def _answered(store: Store, question: Question) -> DecisionRecord | None:
    decision_id = store.decisions.reserved(question)
    return None if decision_id is None else store.decisions.find(decision_id)
