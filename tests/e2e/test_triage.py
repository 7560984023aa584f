"""One call from arrays, tensors or frames to a report and a decision, by both clients."""

import asyncio
import io
import threading
from secrets import randbelow

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from phasegate import AnalysisFailed, AsyncPhasegate, Phasegate, ProblemReceived, UnsupportedSource
from service.analyses.analysis import State
from service.analyses.webhook import EventType
from service.estimation.estimate import estimate
from service.estimation.labels import LabelType, label_columns
from service.estimation.options import Options
from service.estimation.record import as_dict
from service.estimation.terms import Method, Regime
from service.gating.deciding import decide
from service.gating.decision import Decided
from service.gating.errors import InvalidPolicy, InvalidPolicyName
from service.gating.policy import Plan, Planned, Policy, RegimeRule, Requirements
from service.gating.presets import PRESETS
from tests.driving import KINDS, opened
from tests.e2e.samples import Sample, npy

PUBLISHED = {"method": "reference"}
SAMPLE = Sample(seed=1907)
LABELS = {"kind": SAMPLE.kind, "score": SAMPLE.score}
LITTLE_IS_ASKED = """
schema_version: "1.0"
planned: {objective: any}
require: {regimes: {any_of: [both, ca_only, cp_only]}}
"""


@pytest.fixture(params=KINDS)
def client(request, running):
    with opened(request.param, running.address) as client:
        yield client


def expected():
    options = Options(method=Method.REFERENCE)
    return figures(estimate(SAMPLE.x, SAMPLE.y, label_columns(LABELS), SAMPLE.rows, options))


def figures(report):
    """All of a report but how long it took, and whose bytes it is of."""
    return {name: value for name, value in as_dict(report).items() if name not in ("timings", "provenance")}


FORMS = {
    "arrays": lambda: (SAMPLE.x, np.asfortranarray(SAMPLE.y), LABELS, SAMPLE.rows),
    "pandas": lambda: (pd.DataFrame(SAMPLE.x), pd.DataFrame(SAMPLE.y), pd.DataFrame(LABELS), pd.Series(SAMPLE.rows)),
    "polars": lambda: (pl.DataFrame(SAMPLE.x), pl.DataFrame(SAMPLE.y), pl.DataFrame(LABELS), pl.Series(SAMPLE.rows)),
    "pyarrow": lambda: (
        pa.table({str(place): column for place, column in enumerate(SAMPLE.x.T)}),
        pa.FixedSizeListArray.from_arrays(pa.array(SAMPLE.y.ravel()), 8),
        pa.table(LABELS),
        pa.array(SAMPLE.rows),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_form_the_data_have_the_report_is_the_same(client, form):
    triage = client.triage(*FORMS[form](), options=PUBLISHED, timeout_s=60)
    assert figures(triage.report) == expected()
    assert (triage.analysis.state, triage.decision) == (State.SUCCEEDED, None)


def test_a_policy_turns_the_report_into_a_decision(client, tmp_path):
    seen, sent = [], []
    (tmp_path / "policy.yaml").write_text(LITTLE_IS_ASKED)
    triage = client.triage(
        SAMPLE.x,
        SAMPLE.y,
        LABELS,
        SAMPLE.rows,
        policy=tmp_path / "policy.yaml",
        options=PUBLISHED | {"seed": randbelow(2**31)},
        metadata={"run": "7"},
        timeout_s=60,
        on_progress=lambda done, total: sent.append((done, total)),
        on_change=seen.append,
    )
    assert seen[-1].state is State.SUCCEEDED
    assert sent[-1][0] == sent[-1][1] > SAMPLE.x.nbytes + SAMPLE.y.nbytes
    assert triage.decision.decision is Decided.PASS
    assert (triage.decision.analysis_id, triage.decision.metadata) == (triage.analysis.id, {"run": "7"})
    mapping = {
        "schema_version": "1.0",
        "planned": {"objective": "any"},
        "require": {"regimes": {"any_of": list(Regime)[:3]}},
    }
    full = Policy("1.0", Plan(Planned.ANY), Requirements(regimes=RegimeRule(tuple(Regime)[:3])))
    for same in (LITTLE_IS_ASKED, mapping, full, str(tmp_path / "policy.yaml")):
        assert client.gate(triage.analysis.id, same) == triage.decision
    assert client.decision(triage.decision.id) == triage.decision
    named = client.gate(triage.analysis.id, "prediction")
    assert named.as_decision() == decide(triage.report, PRESETS["prediction"])
    assert named.policy_name == "prediction"
    assert [found.id for found in client.decisions(analysis_id=triage.analysis.id, page_size=1)] == [
        named.id,
        triage.decision.id,
    ]
    passed = client.decisions(analysis_id=triage.analysis.id, decision=Decided.PASS, policy="prediction")
    assert {found.id for found in passed} <= {named.id}


def test_policies_are_kept_by_name_and_version(client):
    name = f"nightly-{randbelow(2**40)}"
    first = client.create_policy(name, LITTLE_IS_ASKED)
    assert client.create_policy(name, LITTLE_IS_ASKED) == first
    second = client.create_policy(name, PRESETS["alignment"])
    assert (first.version, second.version) == (1, 2)
    assert client.policy(name) == client.policy(f"{name}@2") == client.policy(name, 2) == second
    assert client.policy(f"{name}@1") == first
    listed = {found.name: found for found in client.policies(page_size=2)}
    assert listed[name] == second
    assert set(PRESETS) <= set(listed)


def test_the_version_that_was_looked_at_judges_and_not_one_that_is_stored_meanwhile(client, running):
    name = f"moving-{randbelow(2**40)}"
    first = client.create_policy(name, LITTLE_IS_ASKED)

    def store_another(*_):
        with Phasegate(running.address) as other:
            other.create_policy(name, PRESETS["alignment"])

    options = PUBLISHED | {"seed": randbelow(2**31)}
    triage = client.triage(
        SAMPLE.x, SAMPLE.y, LABELS, SAMPLE.rows, policy=name, options=options, timeout_s=60, on_change=store_another
    )
    assert client.policy(name).version == 2
    assert (triage.decision.policy_name, triage.decision.policy_version) == (name, 1)
    assert triage.decision.policy == first.policy


@pytest.mark.parametrize(
    ("policy", "error", "words"),
    [
        ("no-such-policy", ProblemReceived, "policy_not_found"),
        ("Alignment", InvalidPolicyName, "names no policy"),
        ({"schema_version": "1.0"}, InvalidPolicy, "planned"),
        ("schema_version: 2", InvalidPolicy, "planned: Field required"),
        ("not/there.yaml", FileNotFoundError, "there.yaml"),
    ],
)
def test_a_wrong_policy_is_found_before_anything_is_sent(client, policy, error, words):
    sent = []
    with pytest.raises(error, match=words):
        client.triage(SAMPLE.x, SAMPLE.y, LABELS, policy=policy, on_progress=lambda *now: sent.append(now))
    assert sent == []


def test_what_the_caller_knows_of_a_column_goes_with_it(client):
    frame = pd.DataFrame({"digit": pd.Categorical(SAMPLE.rows % 3), "plate": np.where(SAMPLE.score > 0, "1", "2")})
    groups, covariates = (
        pd.Series(np.arange(120) // 3),
        pl.DataFrame({"batch": ["1", "2"] * 60, "depth": np.arange(120) / 7}),
    )
    submitted = client.submit(
        SAMPLE.x, SAMPLE.y, frame, SAMPLE.rows, PUBLISHED, groups=groups, covariates=covariates, wait_s=30
    )
    assert submitted.label_types == {"digit": LabelType.CATEGORICAL, "plate": LabelType.CATEGORICAL}
    assert submitted.covariate_types == {"batch": LabelType.CATEGORICAL, "depth": LabelType.NUMERIC}
    said = client.submit(
        SAMPLE.x, SAMPLE.y, frame, SAMPLE.rows, PUBLISHED | {"label_types": {"plate": "numeric"}}, wait_s=30
    )
    assert said.label_types == {"digit": LabelType.CATEGORICAL, "plate": LabelType.NUMERIC}


def test_an_analysis_that_fails_and_one_that_takes_too_long_are_errors_that_say_how_to_go_on(client):
    constant = np.ones_like(SAMPLE.x)
    with pytest.raises(AnalysisFailed, match="constant_modality") as failed:
        client.triage(constant, SAMPLE.y, LABELS, SAMPLE.rows, options=PUBLISHED)
    assert failed.value.analysis.state is State.FAILED
    with pytest.raises(TimeoutError, match=r"It goes on.*`wait\('an-[0-9a-f]{32}', timeout_s\)` waits for it"):
        client.triage(SAMPLE.x, SAMPLE.y, LABELS, SAMPLE.rows, options=PUBLISHED, reuse=False, timeout_s=0)


def test_events_tell_of_an_analysis_to_its_end_and_go_on_where_one_was(client):
    submitted = client.submit(SAMPLE.x, SAMPLE.y, LABELS, SAMPLE.rows, PUBLISHED | {"seed": randbelow(2**31)})
    events = list(client.events(submitted.id))
    assert events[-1].analysis == client.analysis(submitted.id)
    assert events[-1].state is State.SUCCEEDED
    assert all(event.analysis is None and not event.state.final for event in events[:-1])
    assert list(client.events(submitted.id, events[-1].id)) == []
    assert [event.id for event in client.events(submitted.id)] == [events[-1].id]


def test_a_service_is_not_asked_about_what_cannot_be_uploaded(client):
    with pytest.raises(UnsupportedSource):
        client.triage(object(), SAMPLE.y, LABELS)


def test_rows_with_ids_are_joined_on_them(client):
    ids = [f"s{row:03}" for row in range(SAMPLE.n)]
    x = pd.DataFrame(SAMPLE.x).assign(subject=ids)
    y = pl.DataFrame(SAMPLE.y).with_columns(subject=pl.Series(ids)).reverse()
    labels = pd.DataFrame(LABELS | {"subject": [ids[row] for row in SAMPLE.rows]})
    triage = client.triage(x, y, labels, options=PUBLISHED, id_column="subject", timeout_s=60)
    assert client.dataset(triage.analysis.dataset_id).join.n_matched == SAMPLE.n
    assert figures(triage.report) == expected()
    opened = client.open_dataset(id_column="subject")
    for part, source in (("x", x), ("y", y)):
        ready = client.put_part(opened.id, part, source, id_column="subject")
    assert ready.join.n_matched == SAMPLE.n


def test_a_look_may_wait_for_the_end(client):
    submitted = client.submit(SAMPLE.x, SAMPLE.y, LABELS, SAMPLE.rows, PUBLISHED | {"seed": randbelow(2**31)})
    assert client.analysis(submitted.id, wait_s=30).state is State.SUCCEEDED


def test_webhooks_are_made_tried_and_removed(client):
    made = client.webhooks.create("https://localhost:9/gate", [EventType.DECISION_MADE], "the nightly gate")
    assert made.secret.startswith("whsec_")
    found = client.webhooks.find(made.id)
    assert (found.events, found.description) == ([EventType.DECISION_MADE], "the nightly gate")
    assert found in client.webhooks.every()
    assert client.webhooks.rotate(made.id).secret != made.secret
    tried = client.webhooks.try_out(made.id)
    assert client.webhooks.replay(made.id, tried.id).id == tried.id
    assert [delivery.id for delivery in client.webhooks.deliveries(made.id, page_size=1)] == [tried.id]
    client.webhooks.delete(made.id)
    with pytest.raises(ProblemReceived, match="webhook_not_found"):
        client.webhooks.find(made.id)
    with pytest.raises(ProblemReceived, match="elsewhere"):
        client.webhooks.create("https://hooks.elsewhere/gate", [EventType.DECISION_MADE])


class Held(io.BytesIO):
    """A file that gives nothing before it is told to."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.is_read, self.may_go_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.is_read.set()
        assert self.may_go_on.wait(20), "the event loop does not go on"
        return super().read(size)


def test_an_event_loop_goes_on_while_a_file_is_read(running):
    async def upload() -> None:
        x = Held(npy(SAMPLE.x))
        async with AsyncPhasegate(running.address) as client:
            several = [client.triage(SAMPLE.x, SAMPLE.y, LABELS, SAMPLE.rows, options=PUBLISHED) for _ in range(3)]
            sending = asyncio.create_task(client.triage(x, SAMPLE.y, LABELS, SAMPLE.rows, options=PUBLISHED))
            await asyncio.to_thread(x.is_read.wait, 20)
            reports = [triage.report for triage in await asyncio.gather(*several)]
            x.may_go_on.set()
            reports.append((await sending).report)
            assert [figures(report) for report in reports] == [expected()] * 4

    asyncio.run(upload())


def test_an_upload_that_is_cancelled_ends_and_the_client_goes_on(running):
    async def upload() -> None:
        async with AsyncPhasegate(running.address) as client:
            tasks: list[asyncio.Task[object]] = []
            sending = client.submit(np.zeros((400_000, 20)), SAMPLE.y, LABELS, on_progress=lambda *_: tasks[0].cancel())
            tasks.append(asyncio.create_task(sending))
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            assert (await client.limits()).data.min_pairs == 20

    asyncio.run(upload())
