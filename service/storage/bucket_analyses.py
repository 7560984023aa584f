"""Submissions and outcomes on a bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from pydantic import TypeAdapter

from service.analyses.analysis import Estimation, Outcome, Submission
from service.analyses.errors import AnalysisNotFound, NotFound, StoreUnavailable
from service.analyses.happenings import analysis_ended
from service.analyses.identity import Kind
from service.analyses.ports import WebhookStore
from service.analyses.webhooks import owe
from service.storage.bucket import Bucket
from service.storage.bucket_layout import (
    OUTCOME_RECORD,
    SUBMISSION_RECORD,
    UNSETTLED,
    BucketLayout,
    Mark,
    forwards,
    read_mark,
)
from service.storage.bucket_listing import beginning_with, newest_first
from service.storage.bucket_records import DatasetRecords
from service.storage.chunks import chunks
from service.storage.records import SUBMISSION, decode_record, unreadable_outcome

LOOKED_AT_ONCE = 64  # marks whose analyses are read together
NAMED_DIGITS = 16  # of the digest that a report is named after


@dataclass(frozen=True)
class Settled:
    """What outcome.json holds: how an analysis ended, and the name of its report if it has one."""

    outcome: Outcome
    report: str | None


SETTLED = TypeAdapter(Settled)

log = structlog.get_logger("phasegate.store")


class BucketAnalyses:
    """`service.analyses.ports.AnalysisStore` on a bucket."""

    def __init__(self, bucket: Bucket, layout: BucketLayout, webhooks: WebhookStore) -> None:
        self._bucket, self._layout, self._webhooks = bucket, layout, webhooks
        self._records = DatasetRecords(bucket, layout)  # which are confirmed here, and never claimed

    def add(self, submission: Submission) -> None:
        """Keep a submission.  Raises StoreUnavailable; NotFound if what it needs has been removed meanwhile."""
        mark, record = self._layout.mark(submission), self._layout.submission(submission.id)
        # The mark comes first: one without an analysis does no harm, an analysis without one could be lost.
        self._bucket.write(mark, b"")
        if not self._bucket.create(record, SUBMISSION.dump_json(submission, by_alias=True)):
            raise StoreUnavailable("The analysis is being stored by another call. Try again later.")
        try:
            self.confirm(submission)
        except NotFound:
            self._bucket.remove([record])
            self._bucket.remove([mark])
            raise

    def confirm(self, submission: Submission) -> None:
        """Make sure that what it needs is there, and that nobody removes that.  Raises StoreUnavailable, NotFound."""
        subject = submission.subject
        if isinstance(subject, Estimation):
            self._records.confirm(subject.dataset.id, subject.label_set.id)

    def find(self, analysis_id: str) -> Submission | None:
        """What was submitted, or None for an unknown analysis."""
        content = self._bucket.read(self._layout.submission(analysis_id))
        return None if content is None else decode_record(content, SUBMISSION, f"{analysis_id}/{SUBMISSION_RECORD}")

    def find_many(self, analysis_ids: Sequence[str]) -> Sequence[Submission | None]:
        """`find` for many, some at a time."""
        return self._bucket.at_once(self.find, analysis_ids)

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all analyses, newest first; only those older than `before`, and so many of them."""
        return newest_first(self._bucket, self._layout.analyses, Kind.ANALYSIS, SUBMISSION_RECORD, before, at_most)

    def outcome(self, analysis_id: str) -> Outcome | None:
        """How an analysis ended, or None if it has not."""
        settled = self._settled(analysis_id)
        return settled.outcome if settled else None

    def outcomes(self, analysis_ids: Sequence[str]) -> Sequence[Outcome | None]:
        """`outcome` for many, some at a time."""
        return self._bucket.at_once(self.outcome, analysis_ids)

    def report(self, analysis_id: str) -> bytes:
        """The stored report of an analysis that has one, as JSON text.  Raises AnalysisNotFound."""
        settled = self._settled(analysis_id)
        name = settled.report if settled else None
        report = self._bucket.read(f"{self._layout.analysis(analysis_id)}/{name}") if name else None
        if report is None:
            raise AnalysisNotFound("The analysis has been deleted meanwhile. Submit it again.")
        return report

    def settle(self, analysis_id: str, outcome: Outcome, report: str | None) -> bool:
        """Write the outcome once: outcome.json, which can be created only once, decides and names the report.

        Raises StoreUnavailable.
        """
        submission = self.find(analysis_id)
        if submission is None or self._bucket.exists(self._layout.outcome(analysis_id)):
            return False
        name = None
        if report is not None:
            # Named after its content: what another attempt writes never takes its place.
            name = f"report-{hashlib.sha256(report.encode()).hexdigest()[:NAMED_DIGITS]}.json"
            self._bucket.write(f"{self._layout.analysis(analysis_id)}/{name}", report.encode())
        record = SETTLED.dump_json(Settled(outcome, name))
        if not self._bucket.create(self._layout.outcome(analysis_id), record):
            settled = self._settled(analysis_id)
            if name is not None and settled is not None and settled.report != name:
                self._bucket.remove([f"{self._layout.analysis(analysis_id)}/{name}"])
            return False
        try:
            if report is not None and submission.fingerprint:
                self._bucket.write(self._layout.report_of(submission.fingerprint, analysis_id), b"")
            if not self._bucket.exists(self._layout.submission(analysis_id)):
                self._remove(analysis_id, submission.fingerprint)  # it was removed in between
                return False
            self._tell(analysis_id, outcome)
        except StoreUnavailable:
            log.warning("objects_left", analysis_id=analysis_id)  # it has ended all the same
        return True

    def find_report(self, fingerprint: str) -> str | None:
        """The latest analysis with this fingerprint that has a report, or None."""
        for item in beginning_with(self._bucket, self._layout.reports, fingerprint):
            analysis_id = forwards(item.key.removeprefix(f"{self._layout.reports}/{fingerprint}."))
            if self._bucket.exists(self._layout.submission(analysis_id)):
                return analysis_id
        return None

    def unsettled(self) -> Iterator[Submission]:
        """The tenant's analyses without an outcome, oldest first."""
        for marks in chunks(self.marks(), LOOKED_AT_ONCE):
            for found in self._bucket.at_once(self.find_unsettled, [mark.analysis_id for mark in marks]):
                if found is not None:
                    yield found

    def user_of(self, stored_id: str) -> str | None:
        """An analysis without an outcome that needs the dataset or label set with this id; None if there is none."""
        using = (mark.analysis_id for mark in self.marks() if stored_id in mark.needs)
        return next((analysis_id for analysis_id in using if self.find_unsettled(analysis_id) is not None), None)

    def find_unsettled(self, analysis_id: str) -> Submission | None:
        """What was submitted, of an analysis of this tenant that is marked as without an outcome and has none."""
        outcome = self.outcome(analysis_id)
        if outcome is not None:
            self._tell(analysis_id, outcome)  # whoever settled it died before the mark was gone
            return None
        return self.find(analysis_id)

    def _tell(self, analysis_id: str, outcome: Outcome) -> None:
        """Owe the end of an analysis to the webhooks; its mark stays until that is done.  Raises StoreUnavailable."""
        owe(self._webhooks, analysis_ended(analysis_id, outcome))
        self._unmark(analysis_id)

    def mark_unsettled(self) -> None:
        """Mark the tenant's analyses without an outcome that have no mark."""
        marked = {mark.analysis_id for mark in self.marks()}
        settled = {key for key in self._keys_of_analyses() if key.endswith(f"/{OUTCOME_RECORD}")}
        for analysis_id in self.ids():
            if analysis_id not in marked and self._layout.outcome(analysis_id) not in settled:
                submission = self.find(analysis_id)
                if submission is not None:
                    self._bucket.write(self._layout.mark(submission), b"")
                    self.find_unsettled(analysis_id)  # takes it away again if a worker has settled it meanwhile

    def _keys_of_analyses(self) -> Iterator[str]:
        return (item.key for item in self._bucket.listed(self._layout.analyses))

    def marks(self) -> Iterator[Mark]:
        """The marks of the tenant's analyses, oldest first."""
        marks = (read_mark(item.key) for item in self._bucket.listed(UNSETTLED))
        return (mark for mark in marks if mark is not None and mark.tenant == self._layout.tenant)

    def remove(self, analysis_id: str) -> None:
        """Remove an analysis: its record, outcome and report, and what leads to that."""
        submission = self.find(analysis_id)
        self._remove(analysis_id, submission.fingerprint if submission else None)

    def _remove(self, analysis_id: str, fingerprint: str | None) -> None:
        self._bucket.remove([self._layout.submission(analysis_id)])  # in this moment it is gone
        self._unmark(analysis_id)
        ways = [self._layout.report_of(fingerprint, analysis_id)] if fingerprint else []
        left = [item.key for item in self._bucket.listed(self._layout.analysis(analysis_id))]
        self._bucket.remove([*ways, *left])

    def _settled(self, analysis_id: str) -> Settled | None:
        content = self._bucket.read(self._layout.outcome(analysis_id))
        return None if content is None else _decoded(analysis_id, content)

    def _unmark(self, analysis_id: str) -> None:
        self._bucket.remove([item.key for item in beginning_with(self._bucket, UNSETTLED, analysis_id)])


def _decoded(analysis_id: str, content: bytes) -> Settled:
    settled = decode_record(content, SETTLED, f"{analysis_id}/outcome.json")
    return settled or Settled(unreadable_outcome(analysis_id), None)
