"""Where everything is in the array store on a bucket.

Buckets list keys in ascending order, and lists are wanted newest first: {backwards} is an id whose 32 hexadecimal
digits are each subtracted from 15.

unsettled/{analysis}.{tenant}[.{dataset}.{label set}]   a mark for each analysis without an outcome, and what it needs
keys/{id}.json                                          API keys, see bucket_keys
probe/                                                  written to see whether that can be done, and what time it is
tenants/{tenant}/                                       the root of a tenant; that of the default one is empty

{root}datasets/{backwards}/dataset.json                 the record, replaced by who changes it: see bucket_records
                           x-*.npy  y-*.npy             and groups-*, covariates-* (.npy|.csv), if they were sent
                           label-sets/{id}/labels-*.npy|csv  rows-*
{root}label-sets/{id}.json                              the record of a label set
{root}analyses/{backwards}/submission.json
                           outcome.json                 created once, the last of all; names its report
                           report-*.json
{root}reports/{fingerprint}.{backwards}                 for each analysis that has the report of the same
{root}policies/{name}/{number}.json                     a version of a named policy, created once
{root}decisions/{backwards}/decision.json               a decision, created once
owed/{due}.{delivery}.{tenant}.{webhook}                 a mark for each delivery that is pending, see owed
{root}webhooks/{backwards}/webhook.json                 a webhook with its secrets, replaced by who changes it
{root}deliveries/{webhook}/{backwards}/delivery.json    what a webhook is told, and how that went
{root}questions/{analysis}.{digest}                     the id of the decision on a question, created before that
"""

from __future__ import annotations

from dataclasses import dataclass

from service.analyses.analysis import Estimation, Submission
from service.analyses.dataset import LabelSet
from service.analyses.decision import Question
from service.analyses.identity import Kind, is_id
from service.analyses.tenancy import DEFAULT_TENANT, is_tenant

TENANTS = "tenants"
UNSETTLED = "unsettled"
OWED = "owed"
PROBE = "probe"
LABEL_SETS = "label-sets"
DATASET_RECORD = "dataset.json"
SUBMISSION_RECORD = "submission.json"
OUTCOME_RECORD = "outcome.json"
DECISION_RECORD = "decision.json"
WEBHOOK_RECORD = "webhook.json"
DELIVERY_RECORD = "delivery.json"

_BACKWARDS = str.maketrans("0123456789abcdef", "fedcba9876543210")


@dataclass(frozen=True)
class BucketLayout:
    """The keys of one tenant."""

    tenant: str = DEFAULT_TENANT

    def __post_init__(self) -> None:
        if not is_tenant(self.tenant):
            raise ValueError(f"not a tenant: {self.tenant!r}")

    @property
    def root(self) -> str:
        """What the tenant's keys begin with."""
        return "" if self.tenant == DEFAULT_TENANT else f"{TENANTS}/{self.tenant}/"

    @property
    def datasets(self) -> str:
        """A folder for each dataset."""
        return f"{self.root}datasets"

    @property
    def label_sets(self) -> str:
        """The records of label sets."""
        return f"{self.root}{LABEL_SETS}"

    @property
    def analyses(self) -> str:
        """A folder for each analysis."""
        return f"{self.root}analyses"

    def dataset(self, dataset_id: str) -> str:
        """The folder of a dataset."""
        return f"{self.datasets}/{backwards(dataset_id)}"

    def dataset_record(self, dataset_id: str) -> str:
        """The record of a dataset."""
        return f"{self.dataset(dataset_id)}/{DATASET_RECORD}"

    def label_set_record(self, label_set_id: str) -> str:
        """The record of a label set."""
        return f"{self.label_sets}/{label_set_id}.json"

    def label_sets_of(self, dataset_id: str) -> str:
        """A folder for each label set of a dataset."""
        return f"{self.dataset(dataset_id)}/{LABEL_SETS}"

    def label_set(self, label_set: LabelSet) -> str:
        """The folder of a label set."""
        return f"{self.label_sets_of(label_set.dataset_id)}/{label_set.id}"

    def analysis(self, analysis_id: str) -> str:
        """The folder of an analysis."""
        return f"{self.analyses}/{backwards(analysis_id)}"

    def submission(self, analysis_id: str) -> str:
        """What was submitted."""
        return f"{self.analysis(analysis_id)}/{SUBMISSION_RECORD}"

    def outcome(self, analysis_id: str) -> str:
        """How an analysis ended."""
        return f"{self.analysis(analysis_id)}/{OUTCOME_RECORD}"

    @property
    def reports(self) -> str:
        """What leads from fingerprints to analyses with such a report."""
        return f"{self.root}reports"

    def report_of(self, fingerprint: str, analysis_id: str) -> str:
        """That an analysis has a report of this fingerprint; the latest analysis comes first."""
        return f"{self.reports}/{fingerprint}.{backwards(analysis_id)}"

    @property
    def policies(self) -> str:
        """A folder for each named policy."""
        return f"{self.root}policies"

    def policies_of(self, name: str) -> str:
        """The versions of a policy."""
        return f"{self.policies}/{name}"

    def policy(self, name: str, number: int) -> str:
        """One of them, by a name that sorts by its number."""
        return f"{self.policies_of(name)}/{number:09d}.json"

    @property
    def decisions(self) -> str:
        """A folder for each decision."""
        return f"{self.root}decisions"

    def decision(self, decision_id: str) -> str:
        """The record of a decision."""
        return f"{self.decisions}/{backwards(decision_id)}/{DECISION_RECORD}"

    @property
    def questions(self) -> str:
        """What leads from questions to decisions."""
        return f"{self.root}questions"

    def question(self, question: Question) -> str:
        """What names the decision on a question."""
        return f"{self.questions}/{question.analysis_id}.{question.digest}"

    @property
    def webhooks(self) -> str:
        """A folder for each webhook."""
        return f"{self.root}webhooks"

    def webhook(self, webhook_id: str) -> str:
        """The record of a webhook."""
        return f"{self.webhooks}/{backwards(webhook_id)}/{WEBHOOK_RECORD}"

    def deliveries(self, webhook_id: str) -> str:
        """A folder for each delivery to a webhook."""
        return f"{self.root}deliveries/{webhook_id}"

    def delivery(self, webhook_id: str, delivery_id: str) -> str:
        """The record of a delivery."""
        return f"{self.deliveries(webhook_id)}/{backwards(delivery_id)}/{DELIVERY_RECORD}"

    def mark(self, submission: Submission) -> str:
        """The mark of an analysis without an outcome."""
        mark = f"{UNSETTLED}/{submission.id}.{self.tenant}"
        subject = submission.subject
        return f"{mark}.{subject.dataset.id}.{subject.label_set.id}" if isinstance(subject, Estimation) else mark


@dataclass(frozen=True)
class Mark:
    """What the key of a mark says."""

    key: str
    analysis_id: str
    tenant: str
    needs: tuple[str, ...]


def read_mark(key: str) -> Mark | None:
    """The mark with this key; None for a key that is none."""
    rest = key.removeprefix(f"{UNSETTLED}/").split(".")
    if len(rest) < 2 or not is_id(rest[0], Kind.ANALYSIS) or not is_tenant(rest[1]):
        return None
    return Mark(key, rest[0], rest[1], tuple(rest[2:]))


def backwards(an_id: str) -> str:
    """An id in keys that are listed newest first."""
    kind, _, digits = an_id.partition("-")
    return f"{kind}.{digits.translate(_BACKWARDS)}"


def forwards(name: str) -> str:
    """The id behind a name that `backwards` has made."""
    kind, _, digits = name.partition(".")
    return f"{kind}-{digits.translate(_BACKWARDS)}"
