"""What the analyses need of the outside world, as protocols; `storage` implements them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from numpy.typing import NDArray

from service.analyses.analysis import Outcome, Progress, Submission
from service.analyses.counting import EndedAnalysis
from service.analyses.dataset import ID_COLUMN, Dataset, Join, LabelJoin, LabelSet, StoredFile, Understood
from service.analyses.decision import DecisionRecord, Question
from service.analyses.policy import StoredPolicy
from service.analyses.webhook import Delivery, Owed, Webhook


class QueueState(StrEnum):
    """What the queue knows of an analysis."""

    WAITING = "waiting"
    STARTED = "started"
    EXHAUSTED = "exhausted"  # the queue has given up on it: no attempt is left


class LossReason(StrEnum):
    """Why the queue gave up on an analysis."""

    TIME_LIMIT = "time_limit"  # it ran longer than the time limit
    WORKER_LOST = "worker_lost"  # the process that ran it died, in every attempt
    OUT_OF_MEMORY = "out_of_memory"  # the process that ran it was killed for lack of memory, or could not go on
    STOPPED = "stopped"  # somebody told the worker to stop it
    REFUSED = "refused"  # the job was not one that a worker may run


@dataclass(frozen=True)
class QueueEntry:
    """One analysis as the queue sees it."""

    analysis_id: str
    state: QueueState
    position: int | None  # 0-based place among the waiting ones, None unless waiting
    started_at: datetime | None  # aware, UTC; start of the latest attempt
    progress: Progress | None
    loss: LossReason | None  # set exactly when state is EXHAUSTED
    signal: str | None = None  # name of the signal that ended the last attempt's process, if it is known


class Queue(Protocol):
    """The queue of analyses that wait for a worker.  It can be lost and rebuilt from the store at any time.

    Every call raises QueueUnavailable when it cannot be reached.
    """

    def enqueue(self, analysis_id: str) -> None:
        """Add an analysis; one that the queue has, given up or not, is left alone until `forget`."""

    def find(self, analysis_id: str) -> QueueEntry | None:
        """The entry of an analysis, or None if the queue does not know it."""

    def find_many(self, analysis_ids: Sequence[str]) -> Sequence[QueueEntry | None]:
        """`find` for many, in one step."""

    def exhausted(self) -> Sequence[QueueEntry]:
        """All entries the queue has given up on."""

    def running(self) -> Sequence[str]:
        """Ids of all analyses that have a running attempt."""

    def forget(self, analysis_id: str) -> None:
        """Remove every trace of an analysis; an attempt that is running is stopped within 2 seconds."""

    def erase(self, an_id: str) -> None:
        """Remove every trace of an analysis, a dataset or a label set that is on the store no longer: also that it was
        counted, and answers to calls that name it.
        """

    def waiting(self) -> int:
        """How many analyses wait for a worker."""

    def requeue_lost(self) -> None:
        """Put back the analyses whose worker has died, or give them up when no attempt is left; end pauses."""

    def workers_alive(self) -> int:
        """How many workers have sent a heartbeat recently."""

    def announce(self, analysis_id: str) -> None:
        """Tell whoever waits for this analysis that its outcome is stored."""

    def count(self, ended: EndedAnalysis) -> None:
        """Count an analysis that has just ended.  To be called once for each; sent twice, it counts once."""


@dataclass(frozen=True)
class Features:
    """What a dataset holds, opened but not checked: x and y memory-mapped, covariates by name."""

    x: NDArray[Any]
    y: NDArray[Any]
    groups: NDArray[Any] | None
    covariates: Mapping[str, NDArray[Any]] | None
    ids: NDArray[Any] | None = None
    """Of files that were opened where they are: the ids on which x and y were joined, if they were."""
    join: Join | None = None
    """What became of their rows then."""
    understood: Mapping[str, Understood] = field(default_factory=dict)
    """What was made of each part that had to be converted."""


@dataclass(frozen=True)
class Labels:
    """What a label set holds, read but not checked: label columns by name, and the row of each label."""

    columns: Mapping[str, NDArray[Any]]
    rows: NDArray[Any] | None
    join: LabelJoin | None = None
    """Of files that were opened where they are: how they were matched to the features by ids, if they were."""
    understood: Mapping[str, Understood] = field(default_factory=dict)
    """As for features."""


class Source(Protocol):
    """Where the bytes of a part come from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` further bytes; none at the end."""


class Receiver(Protocol):
    """A part that is being received."""

    def write(self, chunk: bytes) -> None:
        """Take further bytes.  Raises LabelsTooLarge, StoreUnavailable."""

    def finish(self) -> StoredFile:
        """The part is complete, and understood.  Raises UploadError, ReadersBusy, StoreUnavailable."""


class Staged(Protocol):
    """Received files that belong to nothing yet; gone unless they are kept.  Calls that keep raise StoreUnavailable."""

    @property
    def files(self) -> Mapping[str, StoredFile]:
        """The parts that have been received."""

    def begin(self, part: str, media_type: str | None = None) -> Receiver:
        """Receive a part piece by piece; it must be what `media_type` says, if that says anything."""

    def receive(self, part: str, source: Source, media_type: str | None = None) -> StoredFile:
        """Receive a part from a file.  What the client calls it counts for nothing."""

    def array(self, part: str) -> NDArray[Any]:
        """The array of a received part."""

    def features(self) -> Features:
        """The received dataset."""

    def features_with(self, dataset: Dataset) -> Features:
        """The features of a dataset of which some parts are staged still."""

    def labels(self) -> Labels:
        """The received label set."""

    def keep(self, dataset: Dataset, label_set: LabelSet | None = None) -> None:
        """Make the files a new dataset, perhaps with a label set among them."""

    def join(self, dataset: Dataset | None = None, *, is_id_named: bool = False) -> Join | None:
        """Join x and y on the ids of their rows, if both have ids; else nothing is changed, and None returned.

        The files are those of the joined rows then, `ids` among them, and groups and covariates with ids in their
        order.  Arguments: dataset, of which some parts are staged still; is_id_named, whether a column was asked for.

        Raises: InvalidIds of some kind; UploadError.
        """

    def match_labels(self, dataset: Dataset | None = None) -> LabelJoin | None:
        """Find the rows of the labels by ids, if the labels have a column of ids and the dataset's rows were joined.

        Labels and rows are those that were found then.  Arguments: dataset, unless that is staged too.

        Raises: InvalidIds of some kind; UploadError.
        """

    def bring(self, dataset_id: str) -> None:
        """Bring what is staged to where a dataset is, before that is held: it may take long.  It belongs to nothing
        yet.
        """

    def add_parts(self, dataset: Dataset) -> None:
        """Make what was brought the dataset's, and its new record the dataset's.  Only while it is held alone.

        Raises DatasetInUse if that is not so any more.
        """

    def add_label_set(self, label_set: LabelSet) -> None:
        """Make the files a label set of a dataset.  Only while that is held.  Raises DatasetNotFound if it is gone."""


class DatasetStore(Protocol):
    """Datasets with their label sets.  What is kept survives a crash."""

    def stage(self, id_column: str = ID_COLUMN) -> AbstractContextManager[Staged]:
        """A place for files that are being received, in which the ids of rows are called so."""

    def find(self, dataset_id: str) -> Dataset | None:
        """A dataset, or None for an unknown one."""

    def find_many(self, dataset_ids: Sequence[str]) -> Sequence[Dataset | None]:
        """`find` for many, in less time than one by one."""

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all datasets, newest first; only those older than `before`, and so many of them."""

    def features_of(self, dataset: Dataset) -> Features:
        """The features of a dataset."""

    def inputs_of(self, dataset: Dataset, label_set: LabelSet) -> tuple[Features, Labels]:
        """`features_of` and `labels_of` for an analysis, when every file of both has been read and has its digest.

        Raises InputAltered for one that is not byte for byte what was received; CacheTooSmall, UploadError.
        """

    def groups_of(self, dataset: Dataset) -> NDArray[Any] | None:
        """The group ids of a dataset, None without groups."""

    def hold(self, dataset_id: str, *, alone: bool) -> AbstractContextManager[None]:
        """Use a dataset or, alone, change or remove it.  Raises DatasetNotFound.

        Whoever adds an analysis or a label set while he holds it, and whoever removes it while he holds it alone,
        cannot both succeed without knowing of each other: one of them waits, or the call with which he adds or removes
        raises DatasetNotFound or DatasetInUse.
        """

    def remove(self, dataset_id: str) -> None:
        """Remove a dataset with its label sets, while it is held alone.

        Raises DatasetInUse if that is not so any more.
        """

    def find_label_set(self, label_set_id: str) -> LabelSet | None:
        """A label set, or None for an unknown one."""

    def find_label_sets(self, label_set_ids: Sequence[str]) -> Sequence[LabelSet | None]:
        """`find_label_set` for many, in less time than one by one."""

    def label_set_ids(self, dataset_id: str, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of a dataset's label sets, newest first."""

    def labels_of(self, label_set: LabelSet) -> Labels:
        """The labels of a label set."""

    def remove_label_set(self, label_set: LabelSet) -> None:
        """Remove a label set, while its dataset is held alone.  Raises DatasetInUse if that is not so any more."""


class AnalysisStore(Protocol):
    """Submissions and outcomes, each written once."""

    def add(self, submission: Submission) -> None:
        """Keep a submission: from here on the analysis survives a crash.

        Raises StoreUnavailable, after which it may be there all the same; DatasetNotFound, LabelSetNotFound if what it
        needs is gone.
        """

    def confirm(self, submission: Submission) -> None:
        """The last step of `add`, for a submission that is there, though the call that added it may have failed.

        Raises StoreUnavailable; DatasetNotFound, LabelSetNotFound if what it needs is gone.
        """

    def find(self, analysis_id: str) -> Submission | None:
        """What was submitted, or None for an unknown analysis."""

    def find_many(self, analysis_ids: Sequence[str]) -> Sequence[Submission | None]:
        """`find` for many, in less time than one by one."""

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all analyses, newest first; only those older than `before`, and so many of them."""

    def outcome(self, analysis_id: str) -> Outcome | None:
        """How an analysis ended, or None if it has not.  Does not read the report."""

    def outcomes(self, analysis_ids: Sequence[str]) -> Sequence[Outcome | None]:
        """`outcome` for many, in less time than one by one."""

    def report(self, analysis_id: str) -> bytes:
        """The stored report of an analysis that has one, as JSON text.  Raises AnalysisNotFound."""

    def settle(self, analysis_id: str, outcome: Outcome, report: str | None) -> bool:
        """Write the outcome of an analysis once, with its report if it succeeded.

        Returns False, and changes nothing, if it has an outcome already, or is not there any more.  A report is found
        again by the fingerprint of its submission, in place of one that was there before.
        """

    def find_report(self, fingerprint: str) -> str | None:
        """The latest analysis with this fingerprint that has a report, or None."""

    def unsettled(self) -> Iterator[Submission]:
        """The tenant's analyses without an outcome, oldest first."""

    def user_of(self, stored_id: str) -> str | None:
        """An analysis without an outcome that needs the dataset or label set with this id; None if there is none."""

    def remove(self, analysis_id: str) -> None:
        """Remove an analysis: its record, outcome and report, and what leads to that."""


class PolicyStore(Protocol):
    """Versions of named policies, each written once and never changed.  Calls raise StoreUnavailable."""

    def names(self) -> Sequence[str]:
        """Every name that has a version, sorted."""

    def numbers(self, name: str) -> Sequence[int]:
        """The versions of a name, the first one first; none for an unknown one."""

    def count(self) -> int:
        """Versions of all names together."""

    def find(self, name: str, number: int) -> StoredPolicy | None:
        """A version, or None for one that is not there or cannot be read."""

    def add(self, policy: StoredPolicy) -> bool:
        """Keep a version; False, and nothing changes, if there is one with this number.  Of several callers at the same
        time one succeeds.
        """


class DecisionStore(Protocol):
    """Decisions, each written once, and what leads from a question to its decision.  Calls raise StoreUnavailable."""

    def reserve(self, question: Question, decision_id: str) -> str:
        """The id that the decision on a question has: this one, or that of whoever has asked before.

        It comes first, and what is decided is a function of the question: whoever dies before he has kept the decision
        leaves it to the next who asks.
        """

    def reserved(self, question: Question) -> str | None:
        """The id that was reserved for a question, or None."""

    def keep(self, record: DecisionRecord) -> bool:
        """Keep a decision; False, and nothing changes, if it is there already."""

    def find(self, decision_id: str) -> DecisionRecord | None:
        """A decision, or None for an unknown one."""

    def find_many(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        """`find` for many, in less time than one by one."""

    def ids(self, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of all decisions, newest first; only those older than `before`, and so many of them."""

    def ids_of(self, analysis_id: str) -> Sequence[str]:
        """Ids of the decisions by the report of an analysis, newest first."""

    def remove(self, decision_id: str) -> None:
        """Remove a decision, and what leads to it."""

    def sweep(self, latest: datetime) -> None:
        """Remove what leads to decisions and was written before `latest`, when every decision from then is removed."""


Chosen = Callable[[Sequence[str]], Sequence[str]]
"""Some of the ids of analyses, in their order; it is called with many at a time."""


class WebhookStore(Protocol):
    """Webhooks, and what they are told.  Calls that keep raise StoreUnavailable."""

    def add(self, webhook: Webhook) -> bool:
        """Keep a webhook; False if there is one with its id."""

    def find(self, webhook_id: str) -> Webhook | None:
        """A webhook, or None for an unknown one."""

    def has(self, webhook_id: str) -> bool:
        """Whether it is there, though it may be that it cannot be read."""

    def ids(self) -> Sequence[str]:
        """Ids of all webhooks, newest first."""

    def change(self, webhook_id: str, changed: Callable[[Webhook], Webhook]) -> Webhook | None:
        """Put what `changed` makes of a webhook in its place, as one step; None for an unknown one."""

    def remove(self, webhook_id: str) -> None:
        """Remove a webhook with its deliveries."""

    def owe(self, delivery: Delivery) -> None:
        """Keep a new delivery; one that is there already is left alone.  Nothing if the webhook is gone."""

    def update(self, before: Delivery, after: Delivery) -> None:
        """Put a delivery in the place of what it was before."""

    def find_delivery(self, webhook_id: str, delivery_id: str) -> Delivery | None:
        """A delivery, or None for an unknown one."""

    def has_delivery(self, webhook_id: str, delivery_id: str) -> bool:
        """Whether it is there, though it may be that it cannot be read."""

    def find_deliveries(self, webhook_id: str, delivery_ids: Sequence[str]) -> Sequence[Delivery | None]:
        """`find_delivery` for many."""

    def delivery_ids(self, webhook_id: str, before: str | None = None, at_most: int | None = None) -> Sequence[str]:
        """Ids of a webhook's deliveries, newest first; only those older than `before`, and so many of them."""

    def pending_ids(self, webhook_id: str) -> Sequence[str]:
        """Ids of a webhook's deliveries that are marked as pending, newest first."""

    def remove_delivery(self, webhook_id: str, delivery_id: str) -> None:
        """Remove a delivery."""

    def drop(self, owed: Owed) -> None:
        """Remove the mark that a delivery is due, which does not hold any more."""


class Store(Protocol):
    """The truth about what one tenant has; nothing of another's is in reach."""

    @property
    def datasets(self) -> DatasetStore:
        """Datasets with their label sets."""

    @property
    def analyses(self) -> AnalysisStore:
        """Submissions and outcomes."""

    @property
    def policies(self) -> PolicyStore:
        """Named policies."""

    @property
    def decisions(self) -> DecisionStore:
        """Decisions."""

    @property
    def webhooks(self) -> WebhookStore:
        """Webhooks, and what they are told."""

    def check(self) -> None:
        """Raise StoreUnavailable unless the store can be written."""


class Stores(Protocol):
    """The stores of all tenants, for those who work for all of them: workers, reconciliation, sweeping."""

    def of(self, tenant: str) -> Store:
        """A tenant's store; one that nothing has been put into is empty."""

    def tenants(self) -> Sequence[str]:
        """Everybody who may have something."""

    def holder_of(self, analysis_id: str) -> Store | None:
        """The store that holds an analysis without an outcome; None if there is no such analysis."""

    def unsettled(self, chosen: Chosen | None = None) -> Iterator[Submission]:
        """Everybody's analyses without an outcome, oldest first; only those that are `chosen`, before they are read."""

    def owed(self, until: datetime) -> Iterator[Owed]:
        """Everybody's deliveries that are due by then, those first that have been for longest; last those that are due
        too late to be true.
        """

    def mend(self) -> None:
        """Put right what a copy that was made while the service ran may lack, so that every analysis comes to its end.

        Looks at all analyses: once, when a process begins.
        """

    def sweep(self) -> None:
        """Remove what processes that have died left behind: received files, marks, links."""

    def check(self) -> None:
        """Raise StoreUnavailable unless the store can be written."""
