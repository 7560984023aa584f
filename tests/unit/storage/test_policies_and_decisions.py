"""Policies and decisions are written once and stay as they are, in every store, whoever comes at the same time."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.analyses import gate, policies
from service.analyses.analysis import RECORD_VERSION, Failure, Outcome, SimulatedProblem, Submission
from service.analyses.decision import DecisionRecord, Question
from service.analyses.errors import (
    AnalysisNotFound,
    DecisionNotFound,
    InvalidCursor,
    NoReport,
    NotGateable,
    PolicyNotFound,
    ReportNotReady,
    ReportOutdated,
    StoreUnavailable,
    TooManyPolicies,
)
from service.analyses.identity import Kind, new_id
from service.analyses.policy import StoredPolicy
from service.analyses.ports import Store
from service.estimation.record import to_json
from service.estimation.spiked_model import spiked_model
from service.gating.deciding import decide
from service.gating.digests import sha256_of
from service.gating.errors import InvalidPolicy, InvalidPolicyName
from service.gating.figures import figures_of
from service.gating.policy import MinimumRule, Policy
from service.gating.presets import PRESETS
from service.gating.references import Reference, read_reference
from service.schemas.analyses import read_report
from service.storage import disk_files
from service.storage.disk_layout import Layout
from tests.places import DiskPlace, Place
from tests.unit.gating.samples import a_policy, published
from tests.unit.storage.samples import NOW, committed

ALIGNMENT = Reference("alignment")


@pytest.fixture
def store(place: Place) -> Store:
    return place.open().of("default")


def policy_of(minimum: float) -> Policy:
    return a_policy(recovery_probability=MinimumRule(minimum))


def a_version(number: int, minimum: float = 0.5, name: str = "mine") -> StoredPolicy:
    policy = policy_of(minimum)
    return StoredPolicy(RECORD_VERSION, name, number, NOW, sha256_of(policy), policy)


def a_record(analysis_id: str, decision_id: str | None = None, policy: Policy = PRESETS["alignment"]) -> DecisionRecord:
    return DecisionRecord(
        version=RECORD_VERSION,
        id=decision_id or new_id(Kind.DECISION),
        analysis_id=analysis_id,
        policy_sha256=sha256_of(policy),
        policy_name=None,
        policy_version=None,
        report_sha256=64 * "a",
        metadata={"team": "vision"},
        decision=decide(published(), policy),
        figures=figures_of(published()),
    )


def succeeded(store: Store, report: str | None = None) -> str:
    """An analysis with a report."""
    analysis_id = committed(store).id
    now = datetime.now(UTC)
    assert store.analyses.settle(analysis_id, Outcome(RECORD_VERSION, now, now, None), report or to_json(published()))
    return analysis_id


class TestPolicyStore:
    def test_a_version_is_read_as_it_was_written(self, place, store):
        version = a_version(1)
        assert store.policies.add(version)
        assert place.open("another").of("default").policies.find("mine", 1) == version

    def test_a_number_is_given_once(self, store):
        assert store.policies.add(a_version(1))
        assert not store.policies.add(a_version(1, 0.7))
        assert store.policies.find("mine", 1) == a_version(1)

    def test_of_many_at_the_same_time_one_gets_a_number(self, store):
        with ThreadPoolExecutor(8) as pool:
            given = list(pool.map(store.policies.add, [a_version(1, place / 10) for place in range(8)]))
        assert given.count(True) == 1
        assert store.policies.find("mine", 1) == a_version(1, given.index(True) / 10)

    def test_numbers_and_names_are_sorted(self, store):
        for number in (10, 2, 1):
            assert store.policies.add(a_version(number))
        assert store.policies.add(a_version(1, name="another"))
        assert list(store.policies.numbers("mine")) == [1, 2, 10]
        assert list(store.policies.names()) == ["another", "mine"]
        assert store.policies.count() == 4

    def test_what_is_not_there_is_none(self, store):
        assert (store.policies.find("mine", 1), list(store.policies.numbers("mine"))) == (None, [])
        assert (store.policies.find("../x", 1), list(store.policies.numbers(".."))) == (None, [])
        assert (list(store.policies.names()), store.policies.count()) == ([], 0)

    def test_a_name_that_begins_like_another_is_another(self, store):
        assert store.policies.add(a_version(1, name="mine-too"))
        assert list(store.policies.numbers("mine")) == []

    def test_what_one_tenant_has_no_other_sees(self, place, store):
        assert store.policies.add(a_version(1))
        other = place.open().of("other")
        assert other.policies.find("mine", 1) is None
        assert other.policies.add(a_version(1, 0.9))
        assert store.policies.find("mine", 1) == a_version(1)

    def test_where_nothing_can_be_written_that_is_said(self, place, store):
        with pytest.MonkeyPatch.context() as patched:
            place.take_away(patched)
            with pytest.raises(StoreUnavailable):
                store.policies.add(a_version(1))
        assert store.policies.find("mine", 1) is None


class TestDecisionStore:
    def test_a_decision_is_read_as_it_was_written(self, place, store):
        record = a_record(new_id(Kind.ANALYSIS))
        assert store.decisions.keep(record)
        other = place.open("another").of("default").decisions
        assert other.find(record.id) == record
        assert list(other.find_many([record.id, new_id(Kind.DECISION)])) == [record, None]

    def test_a_decision_is_written_once(self, store):
        record = a_record(new_id(Kind.ANALYSIS))
        assert store.decisions.keep(record)
        assert not store.decisions.keep(replace(record, metadata={}))
        assert store.decisions.find(record.id) == record

    def test_a_question_has_one_id(self, store):
        record = a_record(new_id(Kind.ANALYSIS))
        ids = [new_id(Kind.DECISION) for _ in range(8)]
        assert store.decisions.reserved(record.question) is None
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda an_id: store.decisions.reserve(record.question, an_id), ids))
        assert len(found) == 1
        assert found <= set(ids)
        assert {store.decisions.reserved(record.question)} == found

    def test_the_name_of_a_policy_is_part_of_the_question(self, store):
        question = a_record(new_id(Kind.ANALYSIS)).question
        asked = [question, replace(question, reference=Reference("mine", 1)), replace(question, policy_sha256=64 * "b")]
        ids = [store.decisions.reserve(one, new_id(Kind.DECISION)) for one in asked]
        assert len(set(ids)) == 3
        assert list(store.decisions.ids_of(question.analysis_id)) == sorted(ids, reverse=True)
        assert list(store.decisions.ids_of(new_id(Kind.ANALYSIS))) == []

    def test_they_are_listed_newest_first(self, store):
        records = [a_record(new_id(Kind.ANALYSIS), f"de-{place:032x}") for place in (7, 3, 5)]
        for record in records:
            assert store.decisions.keep(record)
        newest, middle, oldest = sorted((record.id for record in records), reverse=True)
        assert list(store.decisions.ids()) == [newest, middle, oldest]
        assert list(store.decisions.ids(newest, 1)) == [middle]
        assert list(store.decisions.ids(oldest)) == []

    def test_it_is_removed_with_what_leads_to_it(self, place, store):
        before = place.contents()
        record = a_record(new_id(Kind.ANALYSIS))
        assert store.decisions.reserve(record.question, record.id) == record.id
        assert store.decisions.keep(record)
        store.decisions.remove(record.id)
        store.decisions.remove(record.id)
        assert place.contents() == before

    def test_what_leads_to_another_decision_stays(self, store):
        record = a_record(new_id(Kind.ANALYSIS))
        later = store.decisions.reserve(record.question, new_id(Kind.DECISION))
        assert store.decisions.keep(record)
        store.decisions.remove(record.id)
        assert store.decisions.reserved(record.question) == later

    def test_what_leads_to_a_decision_that_never_came_is_swept_in_the_end(self, place, store):
        question = Question("an-" + 32 * "0", 64 * "a", None)
        store.decisions.reserve(question, new_id(Kind.DECISION))
        store.decisions.sweep(datetime.now(UTC) - timedelta(hours=1))
        assert store.decisions.reserved(question) is not None
        store.decisions.sweep(datetime.now(UTC) + timedelta(hours=1))
        assert store.decisions.reserved(question) is None

    def test_what_one_tenant_has_no_other_sees(self, place, store):
        record = a_record(new_id(Kind.ANALYSIS))
        store.decisions.reserve(record.question, record.id)
        assert store.decisions.keep(record)
        other = place.open().of("other").decisions
        assert (other.find(record.id), list(other.ids()), other.reserved(record.question)) == (None, [], None)


class TestCreate:
    def test_versions_count_up_and_the_same_again_is_the_latest(self, store):
        first, is_new = policies.create(store, "mine", policy_of(0.5))
        assert (first.number, is_new, first.policy) == (1, True, policy_of(0.5))
        assert policies.create(store, "mine", policy_of(0.5)) == (first, False)
        second, is_new = policies.create(store, "mine", policy_of(0.6))
        assert (second.number, is_new) == (2, True)
        third, is_new = policies.create(store, "mine", policy_of(0.5))
        assert (third.number, is_new) == (3, True)
        assert policies.find(store, Reference("mine")) == third
        assert policies.find(store, Reference("mine", 2)) == second

    def test_many_at_the_same_time_get_versions_of_their_own(self, store):
        def create(place: int) -> tuple[int, float]:
            found, is_new = policies.create(store, "mine", policy_of(place / 10))
            assert is_new
            return found.number, place / 10

        with ThreadPoolExecutor(4) as pool:
            given = dict(pool.map(create, range(1, 5)))
        assert sorted(given) == [1, 2, 3, 4]
        for number, minimum in given.items():
            assert policies.find(store, Reference("mine", number)).policy == policy_of(minimum)

    @pytest.mark.parametrize("name", ["", "Mine", "a" * 65, "-a", "a@1", "a/b", "alignment", "any-crossmodal"])
    def test_no_policy_can_have_such_a_name(self, store, name):
        with pytest.raises(InvalidPolicyName):
            policies.create(store, name, policy_of(0.5))

    def test_an_impossible_policy_is_not_stored(self, store):
        with pytest.raises(InvalidPolicy):
            policies.create(store, "mine", policy_of(1.5))
        assert store.policies.count() == 0

    def test_there_is_a_bound(self, store, monkeypatch):
        monkeypatch.setattr(policies, "MAX_VERSIONS", 2)
        first, _ = policies.create(store, "mine", policy_of(0.1))
        policies.create(store, "other", policy_of(0.2))
        with pytest.raises(TooManyPolicies, match="in full with the question"):
            policies.create(store, "mine", policy_of(0.3))
        assert policies.create(store, "mine", policy_of(0.1)) == (first, False)

    def test_presets_are_found_and_listed_first(self, store):
        for name in ("zeta", "alpha"):
            policies.create(store, name, policy_of(0.5))
        names, cursor = [], None
        while True:
            page = policies.list_policies(store, cursor=cursor, limit=2)
            names += [item.name for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert names == [*sorted(PRESETS), "alpha", "zeta"]
        found = policies.find(store, read_reference("alignment@1"))
        assert (found.policy, found.created_at) == (PRESETS["alignment"], None)
        for reference in ("alignment@2", "unknown", "alpha@2"):
            with pytest.raises(PolicyNotFound):
                policies.find(store, read_reference(reference))
        with pytest.raises(InvalidCursor):
            policies.list_policies(store, cursor="No cursor", limit=2)


class TestGate:
    def test_the_same_question_has_the_same_answer_for_ever(self, store):
        analysis_id = succeeded(store)
        first = gate.gate(store, analysis_id, ALIGNMENT, read_report)
        again = gate.gate(store, analysis_id, read_reference("alignment@1"), read_report)
        assert (first.is_new, again.is_new) == (True, False)
        assert first.record == again.record == gate.find(store, first.record.id)
        record = first.record
        assert record.decision == decide(published(), PRESETS["alignment"])
        assert (record.policy_name, record.policy_version) == ("alignment", 1)
        assert (record.figures, record.metadata) == (figures_of(published()), {"team": "vision"})
        store.analyses.remove(analysis_id)
        assert gate.gate(store, analysis_id, ALIGNMENT, read_report).record == record
        with pytest.raises(AnalysisNotFound):
            gate.gate(store, analysis_id, Reference("prediction"), read_report)

    def test_whoever_dies_before_he_has_kept_it_leaves_it_to_the_next(self, store):
        analysis_id = succeeded(store)

        def dies(record: DecisionRecord) -> bool:
            raise StoreUnavailable("away")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(type(store.decisions), "keep", lambda self, record: dies(record))
            with pytest.raises(StoreUnavailable):
                gate.gate(store, analysis_id, ALIGNMENT, read_report)
        (reserved,) = store.decisions.ids_of(analysis_id)
        assert list(store.decisions.ids()) == []
        answer = gate.gate(store, analysis_id, ALIGNMENT, read_report)
        assert (answer.record.id, answer.is_new) == (reserved, True)

    def test_many_at_the_same_time_get_one_answer(self, store):
        analysis_id = succeeded(store)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: gate.gate(store, analysis_id, ALIGNMENT, read_report), range(4)))
        assert len({answer.record.id for answer in found}) == 1
        assert [answer.record for answer in found] == 4 * [found[0].record]
        assert list(store.decisions.ids()) == [found[0].record.id]

    def test_a_version_is_judged_by_what_it_says(self, store):
        analysis_id = succeeded(store)
        policies.create(store, "mine", policy_of(0.5))
        policies.create(store, "mine", policy_of(0.6))
        for reference, minimum in (("mine", 0.6), ("mine@1", 0.5)):
            record = gate.gate(store, analysis_id, read_reference(reference), read_report).record
            assert record.decision.policy == policy_of(minimum)
        inline = gate.gate(store, analysis_id, policy_of(0.5), read_report).record
        assert (inline.policy_name, inline.policy_version) == (None, None)
        assert len(store.decisions.ids()) == 3

    def test_without_a_report_there_is_no_decision(self, store):
        waiting, failed = committed(store).id, committed(store).id
        failure = Outcome(RECORD_VERSION, None, NOW, Failure("worker_lost", "It died.", None))
        assert store.analyses.settle(failed, failure, None)
        for analysis_id, error in ((waiting, ReportNotReady), (failed, NoReport), ("an-1", AnalysisNotFound)):
            with pytest.raises(error):
                gate.gate(store, analysis_id, ALIGNMENT, read_report)
        assert list(store.decisions.ids()) == []

    def test_a_report_of_another_form_is_refused_with_advice(self, store):
        analysis_id = succeeded(store, '{"regime": "both"}')
        with pytest.raises(ReportOutdated, match="Analyse the data again"):
            gate.gate(store, analysis_id, ALIGNMENT, read_report)

    def test_lists_are_filtered(self, store):
        first, second = succeeded(store), succeeded(store)
        made = [
            gate.gate(store, analysis_id, asked, read_report).record
            for analysis_id in (first, second)
            for asked in (ALIGNMENT, policy_of(0.5), Reference("prediction"))
        ]

        def listed(**wanted) -> set[str]:
            found, cursor = [], None
            while True:
                page = gate.list_decisions(store, cursor=cursor, limit=2, **wanted)
                found += [record.id for record in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert found == sorted(found, reverse=True)
            return set(found)

        assert listed() == {record.id for record in made}
        assert listed(analysis_id=first) == {record.id for record in made[:3]}
        assert listed(policy=read_reference("alignment")) == {made[0].id, made[3].id}
        assert listed(policy=read_reference("alignment@1"), analysis_id=second) == {made[3].id}
        assert listed(policy=read_reference("alignment@2")) == set()
        assert listed(decided=made[0].decision.decision) == {record.id for record in made}
        assert listed(analysis_id="an-1") == set()
        with pytest.raises(DecisionNotFound):
            gate.find(store, "de-1")

    def test_decisions_go_when_their_time_is_over_and_none_before(self, place, store):
        analysis_id = succeeded(store)
        record = gate.gate(store, analysis_id, ALIGNMENT, read_report).record
        year = timedelta(days=365)
        assert gate.sweep_decisions(store, record.decided_at + year - timedelta(seconds=1), year) == []
        assert gate.find(store, record.id) == record
        assert gate.sweep_decisions(store, record.decided_at + year + timedelta(seconds=1), year) == [record.id]
        assert not [name for name in place.contents() if "decision" in name or "question" in name]


def test_a_simulation_is_not_judged(store):
    variances = dict.fromkeys(("gamma_x", "gamma_y", "gamma_tilde_x", "gamma_tilde_y"), 1.0)
    model = spiked_model(kappa=[1.0], nu=0.1, dx=3, dy=2, **variances)
    problem = SimulatedProblem(model, 50, 0, None, None)
    submission = Submission(RECORD_VERSION, new_id(Kind.ANALYSIS), NOW, problem)
    store.analyses.add(submission)
    with pytest.raises(NotGateable):
        gate.gate(store, submission.id, ALIGNMENT, read_report)


def test_what_is_being_created_on_disk_has_no_name_before_it_is_complete(tmp_path, monkeypatch):
    seen = []
    link = disk_files.os.link

    def looking(draft, path) -> None:
        seen.append((draft.read_bytes(), path.exists()))
        link(draft, path)

    monkeypatch.setattr(disk_files.os, "link", looking)
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    assert disk_files.create_file(tmp_path / "it", b"all of it", tmp)
    assert not disk_files.create_file(tmp_path / "it", b"something else", tmp)
    assert seen == [(b"all of it", False), (b"something else", True)]
    assert ((tmp_path / "it").read_bytes(), list(tmp.iterdir())) == (b"all of it", [])


def test_a_tenant_of_an_earlier_release_gets_the_folders_that_came_later(tmp_path):
    place = DiskPlace(tmp_path / "data", max_label_bytes=1_000_000)
    assert committed(place.open().of("other"))
    layout = Layout(tmp_path / "data", "other")
    for folder in layout.folders[layout.folders.index(layout.analyses) + 1 :]:
        folder.rmdir()
    other = place.open().of("other")
    assert policies.create(other, "mine", policy_of(0.5))[1]
    assert gate.gate(other, succeeded(other), Reference("mine"), read_report).is_new
