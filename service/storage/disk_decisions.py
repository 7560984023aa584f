"""Decisions on a local directory: a file each, which gets its name once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from service.analyses.decision import DecisionRecord, Question
from service.analyses.errors import StoreUnavailable
from service.analyses.identity import Kind, first_id, is_id
from service.storage.disk_files import check_there, create_file, read_each, read_record, stored, sync_folder
from service.storage.disk_layout import Layout, ids_in
from service.storage.records import DECISION_RECORD

RECORD = "decision.json"


class DiskDecisions:
    """`service.analyses.ports.DecisionStore` on disk."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def reserve(self, question: Question, decision_id: str) -> str:
        """The id that the decision on a question has: this one, or that of whoever has asked before."""
        place = self._layout.questions / _name_of(question)
        with stored():
            if create_file(place, decision_id.encode("ascii"), self._layout.tmp):
                return decision_id
        found = self.reserved(question)
        if found is None:
            raise StoreUnavailable("The decision on this is being removed by another call. Try again.")
        return found

    def reserved(self, question: Question) -> str | None:
        """The id that was reserved for a question, or None."""
        return self._id_in(_name_of(question))

    def keep(self, record: DecisionRecord) -> bool:
        """Keep a decision; False if it is there already.  Raises StoreUnavailable."""
        folder = self._layout.decisions / record.id
        with stored():
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder.parent)
            return create_file(folder / RECORD, DECISION_RECORD.dump_json(record, by_alias=True), self._layout.tmp)

    def find(self, decision_id: str) -> DecisionRecord | None:
        """A decision, or None for an unknown one."""
        return read_record(self._layout.decisions / decision_id / RECORD, DECISION_RECORD)

    def find_many(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        """`find` for many."""
        return read_each(self.find, decision_ids, lambda unreadable: None)

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all decisions, newest first; only those older than `before`, and so many of them."""
        return ids_in(self._layout.decisions, Kind.DECISION, before)[:at_most]

    def ids_of(self, analysis_id: str) -> Sequence[str]:
        """Ids of the decisions by the report of an analysis, newest first."""
        found = (self._id_in(name) for name in self._questions() if name.startswith(f"{analysis_id}."))
        return sorted((an_id for an_id in found if an_id is not None), reverse=True)

    def remove(self, decision_id: str) -> None:
        """Remove a decision, what leads to it first: what is left of it is still listed, and removed again."""
        record = self.find(decision_id)
        if record is not None:
            name = _name_of(record.question)
            if self._id_in(name) == decision_id:
                (self._layout.questions / name).unlink(missing_ok=True)
        self._layout.remove(self._layout.decisions / decision_id)

    def sweep(self, latest: datetime) -> None:
        """Remove what leads to decisions and was written before `latest`."""
        # No question was asked before its analysis was there.
        end = first_id(Kind.ANALYSIS, latest)
        for name in self._questions():
            with suppress(FileNotFoundError):
                place = self._layout.questions / name
                if name < end and place.stat().st_mtime < latest.timestamp():
                    place.unlink()

    def _questions(self) -> list[str]:
        try:
            return os.listdir(self._layout.questions)
        except FileNotFoundError:
            check_there(self._layout.questions)
            return []  # it came between the two looks

    def _id_in(self, name: str) -> str | None:
        try:
            text = (self._layout.questions / name).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            check_there(self._layout.questions)
            return None
        return text if is_id(text, Kind.DECISION) else None


def _name_of(question: Question) -> str:
    return f"{question.analysis_id}.{question.digest}"
