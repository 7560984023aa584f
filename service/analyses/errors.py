"""Errors of analyses.  Each class has a stable code; the message says what is wrong and what to do.

AnalysisError
+-- UploadError             an uploaded file cannot be read as what it should be; its kinds stand in `upload_errors`
|   +-- InvalidArrayFile    invalid_npy
|   +-- InvalidTable        invalid_csv
|   +-- LabelsTooLarge      labels_too_large
+-- InvalidRequest          invalid_request
|   +-- UnreadableBody      invalid_request, for a body that breaks off or is not in the form that it claims
|   |   +-- InvalidDigest        invalid_digest
|   |   +-- DigestMismatch       digest_mismatch
|   +-- JsonTooDeep         json_too_deep
|   +-- JsonTooLarge        json_too_large
|   +-- JsonNumber          json_number
|   +-- RepeatedJsonName    invalid_request, for an object in which a name stands twice
|   +-- SlowBody            body_too_slow
|   +-- InvalidMetadata     invalid_metadata
|   +-- InvalidCursor       invalid_cursor
|   +-- LabelSetMismatch    label_set_mismatch
|   +-- TargetRefused       target_refused
|   +-- IdempotencyKeyReused  idempotency_key_reused
+-- MemoryLimitExceeded     memory_limit_exceeded
+-- NotFound                what an id names does not exist
|   +-- AnalysisNotFound    analysis_not_found
|   +-- DatasetNotFound     dataset_not_found
|   +-- LabelSetNotFound    label_set_not_found
|   +-- PolicyNotFound      policy_not_found
|   +-- DecisionNotFound    decision_not_found
|   +-- WebhookNotFound     webhook_not_found
|   +-- DeliveryNotFound    delivery_not_found
+-- Conflict                what is asked for is not possible now
|   +-- DatasetIncomplete   dataset_incomplete
|   +-- DatasetImmutable    dataset_immutable
|   +-- DatasetInUse        dataset_in_use
|   +-- LabelSetInUse       label_set_in_use
|   +-- AnalysisActive      analysis_active
|   +-- IdempotencyKeyInUse   idempotency_key_in_use
|   +-- TooManyDatasets     too_many_datasets
|   +-- TooManyLabelSets    too_many_label_sets
|   +-- TooManyPolicies     too_many_policies
|   +-- TooManyWebhooks     too_many_webhooks
|   +-- WebhooksOff         webhooks_off
|   +-- WebhookDisabled     webhook_disabled
|   +-- RotatedMeanwhile    rotated_meanwhile
|   +-- DeliveryUnderWay    delivery_under_way
|   +-- NotGateable         not_gateable
|   +-- ReportOutdated      report_outdated
+-- TooMuch                 more than the service takes now; `retry_after_s` says when to try again
|   +-- QueueFull           queue_full
|   +-- RateLimited         rate_limited
|   +-- TooManyUploads      too_many_uploads
|   +-- TooManyStreams      too_many_streams
|   +-- TooManyPending      too_many_pending
+-- ReportNotReady          report_not_ready
+-- NoReport                no_report
+-- ReportAltered           report_altered
+-- QueueUnavailable        queue_unavailable
+-- StoreUnavailable        store_unavailable
+-- ReadersBusy             readers_busy
+-- Draining                draining
+-- AnalysisLost            how an analysis ended that no report could be made for
    +-- TimeLimitExceeded   time_limit_exceeded
    +-- WorkerLost          worker_lost
    +-- AnalysisStopped     stopped
    +-- JobRefused          job_refused
    +-- OutOfMemory         out_of_memory
    +-- InputLost           input_lost
    +-- InputAltered        input_altered
    +-- CacheTooSmall       cache_too_small
    +-- RecordUnreadable    record_unreadable
    +-- InternalError       internal_error
"""

from __future__ import annotations

from typing import ClassVar


class AnalysisError(Exception):
    """Anything that goes wrong around an analysis.  `part` names the uploaded part concerned, if one is."""

    code: ClassVar[str]

    def __init__(self, message: str, *, part: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.part = part


class UploadError(AnalysisError):
    """An uploaded file cannot be read as what it should be."""


class InvalidArrayFile(UploadError):
    """A file is not a readable .npy array."""

    code = "invalid_npy"


class InvalidTable(UploadError):
    """A file is not a readable CSV table."""

    code = "invalid_csv"


class LabelsTooLarge(UploadError):
    """The labels, rows, groups or covariates are larger than the service accepts."""

    code = "labels_too_large"


class InvalidRequest(AnalysisError):
    """The request cannot be read."""

    code = "invalid_request"


class UnreadableBody(InvalidRequest):
    """The request cannot be read."""


class InvalidDigest(UnreadableBody):
    """The digest that was sent with the content cannot be read."""

    code = "invalid_digest"


class DigestMismatch(UnreadableBody):
    """The content is not what its digest says."""

    code = "digest_mismatch"


class JsonTooDeep(InvalidRequest):
    """The JSON is nested more deeply than the service accepts."""

    code = "json_too_deep"


class JsonTooLarge(InvalidRequest):
    """The JSON holds more values than the service accepts."""

    code = "json_too_large"


class JsonNumber(InvalidRequest):
    """A number in the JSON is not one that can be taken."""

    code = "json_number"


class RepeatedJsonName(InvalidRequest):
    """A name stands twice in one object of the JSON."""


class SlowBody(InvalidRequest):
    """The body comes too slowly."""

    code = "body_too_slow"


class InvalidMetadata(InvalidRequest):
    """The metadata are not a few short strings by name."""

    code = "invalid_metadata"


class InvalidCursor(InvalidRequest):
    """The cursor is not one that a list has given."""

    code = "invalid_cursor"


class LabelSetMismatch(InvalidRequest):
    """The label set belongs to another dataset."""

    code = "label_set_mismatch"


class TargetRefused(InvalidRequest):
    """The address is not one that webhooks may reach."""

    code = "target_refused"


class IdempotencyKeyReused(InvalidRequest):
    """The key belongs to another call."""

    code = "idempotency_key_reused"


class MemoryLimitExceeded(AnalysisError):
    """The analysis would need more memory than an analysis may take."""

    code = "memory_limit_exceeded"


class NotFound(AnalysisError):
    """What an id names does not exist."""


class AnalysisNotFound(NotFound):
    """There is no such analysis."""

    code = "analysis_not_found"


class DatasetNotFound(NotFound):
    """There is no such dataset."""

    code = "dataset_not_found"


class LabelSetNotFound(NotFound):
    """There is no such label set."""

    code = "label_set_not_found"


class PolicyNotFound(NotFound):
    """There is no such policy."""

    code = "policy_not_found"


class DecisionNotFound(NotFound):
    """There is no such decision."""

    code = "decision_not_found"


class WebhookNotFound(NotFound):
    """There is no such webhook."""

    code = "webhook_not_found"


class DeliveryNotFound(NotFound):
    """There is no such delivery."""

    code = "delivery_not_found"


class Conflict(AnalysisError):
    """What is asked for is not possible now."""


class DatasetIncomplete(Conflict):
    """The dataset still lacks a part."""

    code = "dataset_incomplete"


class DatasetImmutable(Conflict):
    """The dataset is ready, and never changes from then on."""

    code = "dataset_immutable"


class DatasetInUse(Conflict):
    """An analysis of the dataset has not finished."""

    code = "dataset_in_use"


class LabelSetInUse(Conflict):
    """An analysis with the label set has not finished."""

    code = "label_set_in_use"


class AnalysisActive(Conflict):
    """The analysis has not finished."""

    code = "analysis_active"


class IdempotencyKeyInUse(Conflict):
    """The call with this key is being answered."""

    code = "idempotency_key_in_use"


class TooManyDatasets(Conflict):
    """There are as many datasets as the service keeps."""

    code = "too_many_datasets"


class TooManyLabelSets(Conflict):
    """There are as many label sets of the dataset as the service keeps."""

    code = "too_many_label_sets"


class TooManyPolicies(Conflict):
    """There are as many versions of policies as the service keeps."""

    code = "too_many_policies"


class NotGateable(Conflict):
    """The analysis has a report that says nothing of any data."""

    code = "not_gateable"


class ReportOutdated(Conflict):
    """The report was made by a version of the service whose reports cannot be judged any more."""

    code = "report_outdated"


class TooManyWebhooks(Conflict):
    """There are as many webhooks as the service keeps."""

    code = "too_many_webhooks"


class WebhooksOff(Conflict):
    """The operator lets webhooks reach no host."""

    code = "webhooks_off"


class WebhookDisabled(Conflict):
    """The webhook is told nothing any more."""

    code = "webhook_disabled"


class RotatedMeanwhile(Conflict):
    """The secret that the call has made counts no more, or not for long."""

    code = "rotated_meanwhile"


class DeliveryUnderWay(Conflict):
    """The delivery is being sent."""

    code = "delivery_under_way"


class TooMuch(AnalysisError):
    """More than the service takes now."""

    def __init__(self, message: str, *, part: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, part=part)
        self.retry_after_s = retry_after_s


class QueueFull(TooMuch):
    """As many analyses wait as the service takes."""

    code = "queue_full"


class RateLimited(TooMuch):
    """The caller makes more calls than the service takes."""

    code = "rate_limited"


class TooManyUploads(TooMuch):
    """The caller sends more at the same time than the service takes."""

    code = "too_many_uploads"


class TooManyStreams(TooMuch):
    """As many streams of events, and waits, are open as the service holds."""

    code = "too_many_streams"


class TooManyPending(TooMuch):
    """As many deliveries of a webhook wait as may be asked for by hand."""

    code = "too_many_pending"


class ReportNotReady(AnalysisError):
    """The analysis has not finished."""

    code = "report_not_ready"


class NoReport(AnalysisError):
    """The analysis ended without a report."""

    code = "no_report"


class ReportAltered(AnalysisError):
    """The stored report is not what was stored."""

    code = "report_altered"


class QueueUnavailable(AnalysisError):
    """The queue cannot be reached."""

    code = "queue_unavailable"


class StoreUnavailable(AnalysisError):
    """The array store cannot be written."""

    code = "store_unavailable"


class ReadersBusy(AnalysisError):
    """Too many uploads are being read at the same time."""

    code = "readers_busy"


class Draining(AnalysisError):
    """The API is stopping."""

    code = "draining"


class AnalysisLost(AnalysisError):
    """An analysis for which no report could be made, through no fault of its input."""


class TimeLimitExceeded(AnalysisLost):
    """The analysis ran longer than the time limit."""

    code = "time_limit_exceeded"


class WorkerLost(AnalysisLost):
    """The process that ran the analysis died."""

    code = "worker_lost"


class AnalysisStopped(AnalysisLost):
    """The analysis was stopped from outside."""

    code = "stopped"


class JobRefused(AnalysisLost):
    """The queue held something else under the name of the analysis."""

    code = "job_refused"


class OutOfMemory(AnalysisLost):
    """The analysis needed more memory than there is."""

    code = "out_of_memory"


class InputLost(AnalysisLost):
    """The stored input of the analysis is gone or unreadable."""

    code = "input_lost"


class InputAltered(AnalysisLost):
    """The stored input of the analysis is not what was received."""

    code = "input_altered"


class CacheTooSmall(AnalysisLost):
    """The files of the analysis do not fit into the cache of a worker."""

    code = "cache_too_small"


class RecordUnreadable(AnalysisLost):
    """The record of how the analysis ended cannot be read."""

    code = "record_unreadable"


class InternalError(AnalysisLost):
    """The service failed."""

    code = "internal_error"
