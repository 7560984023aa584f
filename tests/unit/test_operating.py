"""What docs/operating.md says of metrics, alerts and logs is so."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from service.access.audit import audit_call, audit_key
from service.access.callers import ANYONE, OPEN
from service.access.keys import KEY, Scope, new_key
from service.access.ring import REMEMBERED_S
from service.analyses.analysis import State
from service.analyses.counting import EndedAnalysis
from service.analyses.errors import AnalysisLost
from service.api.metrics import new_metrics
from service.api.observation import PATH_CHARACTERS
from service.api.problems import subclasses
from service.estimation.terms import Regime
from service.storage.counters import increments, parse_counts
from service.storage.keys import WORKER_TTL_S
from service.storage.measures import LOOKED_AT, Measures

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "docker/monitoring/alerts.yml").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "service").rglob("*.py"))


@pytest.fixture(scope="module")
def families():
    ended = EndedAnalysis("an-" + "0" * 32, State.SUCCEEDED, None, 1.0, 1.0, Regime.BOTH, True, {"survey": 0.5})
    counts = parse_counts({field.encode(): repr(amount).encode() for field, amount in increments(ended)})
    metrics = new_metrics(lambda: Measures(0, 0, 1, None, counts))
    metrics.requests.labels("GET", "none", "404").inc()
    metrics.durations.labels("GET", "none").observe(0.1)
    return {family.name: family for family in metrics.registry.collect() if family.name.startswith("phasegate_")}


def exposed_name(family):
    return family.name + ("_total" if family.type == "counter" else "")


def test_the_table_has_every_metric_with_its_type_and_labels(families):
    rows = re.findall(r"^\| `(phasegate_\w+)` \| (\w+) \| (.*?) ?\| ", PAGE, re.MULTILINE)
    described = {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    exposed = {
        exposed_name(family): (
            family.type,
            frozenset(label for sample in family.samples for label in sample.labels) - {"le"},
        )
        for family in families.values()
    }
    assert described == exposed


def test_alerts_and_expressions_name_metrics_and_labels_that_exist(families):
    samples = {sample.name: set(sample.labels) for family in families.values() for sample in family.samples}
    rules = [rule for group in yaml.safe_load(ALERTS)["groups"] for rule in group["rules"]]
    assert re.findall(r"^\| `(Phasegate\w+)` \|", PAGE, re.MULTILINE) == [rule["alert"] for rule in rules]
    expressions = [rule["expr"] for rule in rules if rule["alert"] != "PhasegateApiAway"]  # which asks for `up`
    expressions += re.search(r"<!-- expressions -->\n```promql\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
    assert len(expressions) > 8
    for expression in expressions:
        named = re.findall(r"(phasegate_\w+)(?:\{(.*?)\})?", expression)
        assert named, expression
        for name, selector in named:
            assert name in samples, name
            assert set(re.findall(r"(\w+)[=!]", selector)) <= samples[name], expression


def test_alerts_know_every_failure_that_is_the_services_own():
    codes = {kind.code for kind in subclasses(AnalysisLost)} - {"stopped", "time_limit_exceeded"}
    assert set(re.search(r'code=~"([a-z_|]+)"', ALERTS)[1].split("|")) == codes


def test_every_event_that_is_named_is_logged():
    named = set(re.findall(r"event `(\w+)`", PAGE)) | set(re.findall(r"`(analysis_\w+|attempt_\w+)`", PAGE))
    named -= {"analysis_id"}
    assert len(named) > 5
    for event in named:
        assert re.search(rf'\(\s*"{event}"', SOURCES), event


def test_numbers_are_those_of_the_code():
    for said in (
        f"within the last {WORKER_TTL_S} s",
        f"of the next {LOOKED_AT} that wait",
        f"cut after {PATH_CHARACTERS} characters",
        f"for {REMEMBERED_S:g} s at most",
        KEY.pattern.replace("(", "").replace(")", ""),
    ):
        assert said in PAGE


def test_every_field_of_the_audit_log_is_described():
    key, _ = new_key("ci", "default", {Scope.READ}, datetime(2026, 11, 26, tzinfo=UTC))
    with capture_logs() as lines:
        audit_call(ANYONE, None, "127.0.0.1", "POST /v1/analyses", None, 202)
        audit_key("keys create", key)
    described = PAGE[PAGE.index("### Audit log") :]
    fields = {field for line in lines for field in line} - {"event", "log_level"}
    assert len(fields) >= 9
    assert all(f"`{field}`" in described for field in fields)


def test_the_table_of_scopes_has_all_of_them():
    rows = re.findall(r"^\| `(\w+)` \| ", PAGE[PAGE.index("| scope |") :], re.MULTILINE)
    assert rows[: len(Scope)] == ["read", "submit", "admin"]
    assert set(rows[: len(Scope)]) == set(Scope)
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert path in OPEN
        assert f"`{path}`" in PAGE
