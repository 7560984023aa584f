"""Decisions on a bucket: an object each, which is created once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from service.analyses.decision import DecisionRecord, Question
from service.analyses.errors import StoreUnavailable
from service.analyses.identity import Kind, first_id, is_id
from service.storage.bucket import LISTED_AT_ONCE, Bucket
from service.storage.bucket_layout import DECISION_RECORD as RECORD
from service.storage.bucket_layout import BucketLayout
from service.storage.bucket_listing import beginning_with, newest_first
from service.storage.chunks import chunks
from service.storage.records import DECISION_RECORD, decode_record


class BucketDecisions:
    """`service.analyses.ports.DecisionStore` on a bucket."""

    def __init__(self, bucket: Bucket, layout: BucketLayout) -> None:
        self._bucket, self._layout = bucket, layout

    def reserve(self, question: Question, decision_id: str) -> str:
        """The id that the decision on a question has: this one, or that of whoever has asked before."""
        if self._bucket.create(self._layout.question(question), decision_id.encode("ascii")):
            return decision_id
        found = self.reserved(question)
        if found is None:
            raise StoreUnavailable("The decision on this is being removed by another call. Try again.")
        return found

    def reserved(self, question: Question) -> str | None:
        """The id that was reserved for a question, or None."""
        return self._id_in(self._layout.question(question))

    def keep(self, record: DecisionRecord) -> bool:
        """Keep a decision; False if there is another with its id already.  Raises StoreUnavailable."""
        return self._bucket.create(self._layout.decision(record.id), DECISION_RECORD.dump_json(record, by_alias=True))

    def find(self, decision_id: str) -> DecisionRecord | None:
        """A decision, or None for an unknown one."""
        content = self._bucket.read(self._layout.decision(decision_id))
        return None if content is None else decode_record(content, DECISION_RECORD, f"{decision_id}/{RECORD}")

    def find_many(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        """`find` for many, some at a time."""
        return self._bucket.at_once(self.find, decision_ids)

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all decisions, newest first; only those older than `before`, and so many of them."""
        return newest_first(self._bucket, self._layout.decisions, Kind.DECISION, RECORD, before, at_most)

    def ids_of(self, analysis_id: str) -> Sequence[str]:
        """Ids of the decisions by the report of an analysis, newest first."""
        keys = [item.key for item in beginning_with(self._bucket, self._layout.questions, analysis_id)]
        found = self._bucket.at_once(self._id_in, keys)
        return sorted((an_id for an_id in found if an_id is not None), reverse=True)

    def remove(self, decision_id: str) -> None:
        """Remove a decision, what leads to it first: what is left of it is still listed, and removed again."""
        record = self.find(decision_id)
        if record is not None and self.reserved(record.question) == decision_id:
            self._bucket.remove([self._layout.question(record.question)])
        self._bucket.remove([self._layout.decision(decision_id)])

    def sweep(self, latest: datetime) -> None:
        """Remove what leads to decisions and was written before `latest`, by the clock of the bucket."""
        # Analyses are listed oldest first, and no question was asked before its analysis was there.
        end = f"{self._layout.questions}/{first_id(Kind.ANALYSIS, latest)}"
        asked = takewhile(lambda item: item.key < end, self._bucket.listed(self._layout.questions))
        for keys in chunks([item.key for item in asked if item.modified_at < latest], LISTED_AT_ONCE):
            self._bucket.remove(keys)

    def _id_in(self, key: str) -> str | None:
        text = (self._bucket.read(key) or b"").decode("ascii", "replace")
        return text if is_id(text, Kind.DECISION) else None
