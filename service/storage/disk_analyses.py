"""Submissions and outcomes on a local directory."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog

from service.analyses.analysis import Estimation, Outcome, Submission
from service.analyses.errors import AnalysisNotFound, DatasetNotFound, LabelSetNotFound, StoreUnavailable
from service.analyses.happenings import analysis_ended
from service.analyses.identity import Kind, is_id
from service.analyses.ports import WebhookStore
from service.analyses.webhooks import owe
from service.storage.disk_files import (
    locked,
    read_each,
    read_record,
    replace_file,
    stored,
    sync_folder,
    unlocked_in_time,
    write_file,
)
from service.storage.disk_layout import Layout, ids_in
from service.storage.records import OUTCOME, SUBMISSION, unreadable_outcome

log = structlog.get_logger("phasegate.store")

OUTCOME_FILES = {"report.json": "outcome.json", "failure.json": "failure.json"}
"""What decides that an analysis has ended, and the record of how."""
DRAFT = "."  # what the names of fingerprints begin with before they are complete


class DiskAnalyses:
    """`service.analyses.ports.AnalysisStore` on disk."""

    def __init__(self, layout: Layout, webhooks: WebhookStore) -> None:
        self._layout, self._webhooks = layout, webhooks

    def add(self, submission: Submission) -> None:
        """Keep a submission, complete before it has its name.  Raises StoreUnavailable."""
        draft = self._layout.tmp / f"submission-{secrets.token_hex(8)}"
        try:
            with stored():
                draft.mkdir(mode=0o700)
                write_file(draft / "submission.json", SUBMISSION.dump_json(submission, by_alias=True))
                sync_folder(draft)
                # The mark comes first: one without an analysis does no harm, an analysis without one could be lost.
                write_file(self._layout.unsettled / submission.id, self._layout.tenant.encode())
                sync_folder(self._layout.unsettled)
                os.rename(draft, self._layout.analyses / submission.id)
                sync_folder(self._layout.analyses)
        except StoreUnavailable:
            if not (self._layout.analyses / submission.id).exists():
                (self._layout.unsettled / submission.id).unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def confirm(self, submission: Submission) -> None:
        """Make sure that it lasts, and that what it needs is there.  Raises StoreUnavailable, NotFound."""
        with stored():
            sync_folder(self._layout.unsettled)
            sync_folder(self._layout.analyses)
        subject = submission.subject
        if not isinstance(subject, Estimation):
            return
        if not (self._layout.datasets / subject.dataset.id / "dataset.json").exists():
            raise DatasetNotFound("The dataset has been removed meanwhile. Send it again.")
        if not (self._layout.label_set(subject.label_set) / "label-set.json").exists():
            raise LabelSetNotFound("The label set has been removed meanwhile. Send it again.")

    def find(self, analysis_id: str) -> Submission | None:
        """What was submitted, or None for an unknown analysis."""
        return read_record(self._layout.analyses / analysis_id / "submission.json", SUBMISSION)

    def find_many(self, analysis_ids: Sequence[str]) -> Sequence[Submission | None]:
        """`find` for many."""
        return read_each(self.find, analysis_ids, lambda unreadable: None)

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all analyses, newest first; only those older than `before`, and so many of them."""
        return ids_in(self._layout.analyses, Kind.ANALYSIS, before)[:at_most]

    def outcome(self, analysis_id: str) -> Outcome | None:
        """How an analysis ended, or None if it has not; a record of it that cannot be read is a failure."""
        folder = self._layout.analyses / analysis_id
        for decides, record in OUTCOME_FILES.items():
            if (folder / decides).exists():
                found = read_record(folder / record, OUTCOME)
                if found is not None:
                    return found
                if (folder / decides).exists():  # still: it is not that the analysis has been removed meanwhile
                    return unreadable_outcome(analysis_id)
        return None

    def outcomes(self, analysis_ids: Sequence[str]) -> Sequence[Outcome | None]:
        """`outcome` for many."""
        return read_each(self.outcome, analysis_ids, unreadable_outcome)

    def report(self, analysis_id: str) -> bytes:
        """The stored report of an analysis that has one, as JSON text.  Raises AnalysisNotFound."""
        try:
            return (self._layout.analyses / analysis_id / "report.json").read_bytes()
        except FileNotFoundError:
            raise AnalysisNotFound("The analysis has been deleted meanwhile. Submit it again.") from None

    def settle(self, analysis_id: str, outcome: Outcome, report: str | None) -> bool:
        """Write the outcome once: under a lock on the folder, complete before it has its name.

        report.json or failure.json decides; what is written before it counts for nothing.  Raises StoreUnavailable.
        """
        folder = self._layout.analyses / analysis_id
        record = OUTCOME.dump_json(outcome)
        with stored(), ExitStack() as held:
            try:
                held.enter_context(locked(folder, alone=True))
            except FileNotFoundError:
                return False
            if not folder.exists() or any((folder / other).exists() for other in OUTCOME_FILES):
                return False
            if report is None:
                replace_file(folder / "failure.json", record)
            else:
                replace_file(folder / "outcome.json", record)
                replace_file(folder / "report.json", report.encode())
            sync_folder(folder)
            self._tell(analysis_id, outcome)
            if report is not None and (place := self._place_of(analysis_id)) is not None:
                # Not synced, nor needed: one that is lost costs a run.  The folder's lock keeps `remove` from coming
                # first.
                with suppress(OSError):
                    _put_id(place, analysis_id)
            return True

    def find_report(self, fingerprint: str) -> str | None:
        """The latest analysis with this fingerprint that has a report, or None."""
        analysis_id = _read_id(self._layout.fingerprints / fingerprint)
        has_report = analysis_id is not None and (self._layout.analyses / analysis_id / "report.json").exists()
        return analysis_id if has_report else None

    def sweep_fingerprints(self, latest: float) -> None:
        """Remove what leads to reports that are gone, and drafts from before `latest` (seconds since the epoch)."""
        for place in self._layout.fingerprints.iterdir():
            with suppress(FileNotFoundError):
                is_draft = place.name.startswith(DRAFT)
                if place.stat().st_mtime < latest if is_draft else self.find_report(place.name) is None:
                    place.unlink()

    def unsettled(self) -> Iterator[Submission]:
        """The tenant's analyses without an outcome, oldest first."""
        for analysis_id in reversed(ids_in(self._layout.unsettled, Kind.ANALYSIS, None)):
            found = self.find_unsettled(analysis_id)
            if found is not None:
                yield found

    def find_unsettled(self, analysis_id: str) -> Submission | None:
        """What was submitted, of an analysis of this tenant that is marked as without an outcome and has none."""
        if self._has_ended(analysis_id):
            # Whoever settled it died before the mark was gone.
            outcome = self.outcome(analysis_id)
            if outcome is not None:
                self._tell(analysis_id, outcome)
            return None
        return self.find(analysis_id)

    def _has_ended(self, analysis_id: str) -> bool:
        return any((self._layout.analyses / analysis_id / name).exists() for name in OUTCOME_FILES)

    def _tell(self, analysis_id: str, outcome: Outcome) -> None:
        """Owe the end of an analysis to the webhooks; its mark stays until that is done."""
        try:
            owe(self._webhooks, analysis_ended(analysis_id, outcome))
        except (OSError, StoreUnavailable):
            log.warning("webhooks_not_told", analysis_id=analysis_id)
            return
        (self._layout.unsettled / analysis_id).unlink(missing_ok=True)

    def user_of(self, stored_id: str) -> str | None:
        """An analysis without an outcome that needs the dataset or label set with this id; None if there is none."""
        return next((submission.id for submission in self.unsettled() if submission.uses(stored_id)), None)

    def mark_unsettled(self) -> None:
        """Mark the tenant's analyses without an outcome that have no mark; one that has an outcome has been told of."""
        for analysis_id in self.ids():
            mark = self._layout.unsettled / analysis_id
            if mark.exists() or self._has_ended(analysis_id) or self.find(analysis_id) is None:
                continue
            with stored():
                write_file(mark, self._layout.tenant.encode())
            self.find_unsettled(analysis_id)  # takes it away again if a worker has settled it meanwhile

    def remove(self, analysis_id: str) -> None:
        """Remove an analysis: its record, outcome and report, and what leads to that."""
        (self._layout.unsettled / analysis_id).unlink(missing_ok=True)
        folder = self._layout.analyses / analysis_id
        with unlocked_in_time(), suppress(FileNotFoundError), locked(folder, alone=True):
            place = self._place_of(analysis_id)
            if place is not None and _read_id(place) == analysis_id:
                place.unlink(missing_ok=True)
            self._layout.remove(folder)

    def _place_of(self, analysis_id: str) -> Path | None:
        """The file that leads to an analysis's report."""
        submission = self.find(analysis_id)
        fingerprint = submission.fingerprint if submission else None
        return self._layout.fingerprints / fingerprint if fingerprint else None


def _put_id(place: Path, analysis_id: str) -> None:
    draft = place.with_name(f"{DRAFT}{secrets.token_hex(8)}")
    try:
        draft.write_text(analysis_id, encoding="ascii")
        os.rename(draft, place)
    finally:
        draft.unlink(missing_ok=True)


def _read_id(place: Path) -> str | None:
    try:
        text = place.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    return text if is_id(text, Kind.ANALYSIS) else None
