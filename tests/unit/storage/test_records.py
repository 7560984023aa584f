"""Records of every version, as they were written then: a data directory outlives the release that made it."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from service.analyses.analysis import RECORD_VERSION, AnalysisKind, Outcome, State, Submission
from service.analyses.dataset import Dataset, DatasetState, LabelSet
from service.analyses.decision import DecisionRecord
from service.analyses.policy import StoredPolicy
from service.analyses.webhook import SUBSCRIBED, Delivery, DeliveryState, EventType, Webhook
from service.estimation.record import to_json
from service.gating.digests import sha256_of
from service.storage.disk_files import read_record

SAMPLES = Path(__file__).parents[2] / "records"
VERSIONS = sorted(int(folder.name.removeprefix("v")) for folder in SAMPLES.glob("v*"))
every_version = pytest.mark.parametrize("version", VERSIONS)
every_version_with_decisions = pytest.mark.parametrize("version", [version for version in VERSIONS if version >= 4])


def read(version: int, name: str, kind: type):
    record = read_record(SAMPLES / f"v{version}" / f"{name}.json", TypeAdapter(kind))
    assert record is not None, f"{name} of version {version} can no longer be read"
    assert record.version == version
    return record


def test_there_are_samples_of_every_version_that_is_read():
    assert list(range(3, RECORD_VERSION + 1)) == VERSIONS


@every_version
def test_datasets_are_read(version):
    dataset = read(version, "dataset", Dataset)
    assert dataset.state is DatasetState.READY
    assert (dataset.x.shape, dataset.y.shape, dataset.n_pairs) == ((60, 3), (60, 4), 60)
    assert set(dataset.files) == {"x", "y", "groups", "covariates"}
    assert dataset.typed_covariates == {"batch": "categorical", "depth": "numeric"}
    opened = read(version, "open-dataset", Dataset)
    assert opened.missing_parts == ("x", "y", "groups")


@every_version
def test_label_sets_are_read(version):
    label_set = read(version, "label-set", LabelSet)
    assert label_set.dataset_id == read(version, "dataset", Dataset).id
    assert (label_set.n_labeled, set(label_set.files)) == (40, {"labels", "rows"})
    assert label_set.label_types == {"kind": "categorical", "size": "numeric"}


@every_version
def test_submissions_are_read(version):
    submission = read(version, "submission", Submission)
    assert submission.subject.kind is AnalysisKind.ESTIMATION
    assert submission.subject.dataset == read(version, "dataset", Dataset)
    assert (submission.subject.options.seed, submission.metadata) == (5, {"team": "vision"})
    simulation = read(version, "simulation-submission", Submission)
    assert simulation.subject.kind is AnalysisKind.SIMULATION
    assert (simulation.subject.n_labeled, simulation.subject.model.dx, simulation.subject.model.dy) == (100, 12, 8)


@every_version
def test_outcomes_are_read(version):
    assert read(version, "outcome", Outcome).state is State.SUCCEEDED
    failed = read(version, "failure", Outcome)
    assert (failed.state, failed.failure.code, failed.failure.part) == (State.FAILED, "constant_modality", "x")
    assert read(version, "cancelled", Outcome).state is State.CANCELLED


@every_version_with_decisions
def test_policies_are_read(version):
    stored = read(version, "policy", StoredPolicy)
    assert (str(stored.reference), stored.created_at.year) == ("pretraining@2", 2026)
    assert stored.policy.require.single_modality_loss.label == "kind"
    assert sha256_of(stored.policy) == stored.sha256, "its decisions are found by this"


@every_version_with_decisions
def test_decisions_are_read_with_all_that_they_rest_on(version):
    record = read(version, "decision", DecisionRecord)
    stored = read(version, "policy", StoredPolicy)
    assert (record.decision.policy, record.policy_sha256) == (stored.policy, stored.sha256)
    assert (record.policy_name, record.policy_version) == ("pretraining", 2)
    assert record.metadata == {"team": "vision"}
    assert record.decided_at.year == 2026
    assert [rule.rule for rule in record.decision.rules] == [
        "recovery_probability",
        "regimes",
        "ratio_lower_bound",
        "rehearsed_score[size]",
        "rehearsed_score[dose]",
        "single_modality_loss[kind]",
        "warnings",
    ]
    assert record.figures.recovery_probability.ca > 0.9
    assert len(record.figures.rehearsal.rows) > 20
    assert "n_pairs" in to_json(record.figures)


def test_joined_datasets_and_their_label_sets_are_read():
    dataset, label_set = read(4, "joined-dataset", Dataset), read(4, "joined-label-set", LabelSet)
    assert (dataset.join.n_matched, dataset.join.only_x, set(dataset.files)) == (28, ("0", "1"), {"x", "y", "ids"})
    assert (dataset.x.received.understood.taken, dataset.y.format, dataset.id_column) == (("a", "b"), "npz", "sample")
    assert (label_set.join.n_matched, label_set.join.left_out, label_set.n_labeled) == (12, ("0", "1"), 12)


@every_version_with_decisions
def test_webhooks_and_deliveries_are_read(version):
    webhook = read(version, "webhook", Webhook)
    assert (webhook.url, webhook.events) == ("https://hooks.example.org/phasegate", SUBSCRIBED)
    assert [secret.until is None for secret in webhook.secrets] == [True, False]
    delivery = read(version, "delivery", Delivery)
    assert (delivery.webhook_id, delivery.state, delivery.n_attempts) == (webhook.id, DeliveryState.PENDING, 2)
    assert delivery.event.type is EventType.ANALYSIS_FAILED
    assert delivery.event.data["error"]["code"] == "rank_deficient"
    assert (delivery.last_attempt.status, delivery.next_attempt_at > delivery.created_at) == (503, True)
