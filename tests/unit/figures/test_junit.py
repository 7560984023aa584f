"""JUnit XML of a decision: the form that readers share, and what is green, red or neither."""

from xml.etree import ElementTree

import pytest

from service.figures.junit import junit_xml
from service.gating.decision import Decided, Outcome, RuleResult
from service.gating.policy import OnUndetermined, Severity
from tests.unit.figures.rulings import HOSTILE, rule, ruling

ALLOWED = {  # element: its attributes, its children, of the JUnit schema that Jenkins and GitLab read
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {
            "name",
            "tests",
            "failures",
            "errors",
            "time",
            "disabled",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
        },
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": (
        {"name", "assertions", "time", "classname", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}
NEEDED = {
    "testsuite": {"name", "tests"},
    "testcase": {"name", "classname"},
    "property": {"name", "value"},
}


def parsed(shown):
    text = junit_xml(shown)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = ALLOWED[element.tag]
        assert NEEDED.get(element.tag, set()) <= set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
    return root


def counts_of(suite):
    cases = suite.findall("testcase")
    return {
        "tests": str(len(cases)),
        **{
            name: str(sum(case.find(kind) is not None for case in cases))
            for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
        },
    }


def kind_of(case):
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), None)


def test_a_suite_with_a_case_for_every_rule_and_counts_that_add_up():
    rules = [rule(outcome, f"rule_{outcome}", message=f"Why {outcome}.") for outcome in Outcome]
    (suite,) = parsed(ruling(Decided.FAIL, *rules))
    assert suite.get("name") == "phasegate"
    counts = counts_of(suite)
    assert counts == {name: suite.get(name) for name in counts}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "0"}
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [f"rule_{outcome}" for outcome in Outcome]
    assert {case.get("classname") for case in cases} == {"alignment"}
    failed = cases[2].find("failure")
    assert failed.attrib == {"message": "Why fail.", "type": "fail"}
    assert failed.text == "observed: 0.79996\nrequired: >= 0.8\nWhy fail."


def test_a_rule_that_warns_has_passed_and_says_so():
    (case,) = parsed(ruling(Decided.PASS, rule(Outcome.WARN))).iter("testcase")
    assert kind_of(case) is None
    assert case.find("system-out").text.startswith("warning: observed: 0.79996\n")


@pytest.mark.parametrize(
    ("on_undetermined", "decided", "severity", "kind"),
    [
        (OnUndetermined.ABSTAIN, Decided.ABSTAIN, Severity.FAIL, "error"),
        (OnUndetermined.ABSTAIN, Decided.FAIL, Severity.FAIL, "error"),
        (OnUndetermined.FAIL, Decided.FAIL, Severity.FAIL, "failure"),
        (OnUndetermined.PASS, Decided.PASS, Severity.FAIL, "skipped"),
        (OnUndetermined.PASS, Decided.FAIL, Severity.FAIL, "skipped"),
        (OnUndetermined.PASS, Decided.ABSTAIN, Severity.FAIL, "error"),  # a question that cannot be answered
        (OnUndetermined.ABSTAIN, Decided.PASS, Severity.WARN, "skipped"),
        (OnUndetermined.FAIL, Decided.PASS, Severity.WARN, "skipped"),
        (OnUndetermined.PASS, Decided.ABSTAIN, Severity.WARN, "skipped"),
    ],
)
def test_an_open_rule_is_red_when_it_holds_the_run_up_and_skipped_when_it_does_not(
    on_undetermined, decided, severity, kind
):
    found = RuleResult("warnings", severity, None, ">= 0.8", Outcome.UNDETERMINED, "Open.")
    (case,) = parsed(ruling(decided, found, on_undetermined=on_undetermined)).iter("testcase")
    assert kind_of(case) == kind
    assert case.find(kind).get("message") == "Open."
    assert case.find(kind).text.startswith("observed: –\n")


def test_properties_say_what_was_judged():
    properties = {found.get("name"): found.get("value") for found in parsed(ruling(Decided.ABSTAIN)).iter("property")}
    assert properties == {
        "decision": "abstain",
        "policy": "alignment@2",
        "regime": "both (x → y), ca_only (y → x)",
        "recommendation": "either",
        "analysis_id": "an-" + "0" * 32,
        "report": f"http://127.0.0.1:8000/v1/analyses/an-{'0' * 32}/report",
    }
    in_process = {found.get("name") for found in parsed(ruling(analysis_id=None)).iter("property")}
    assert set(properties) - in_process == {"analysis_id", "report"}


def test_the_same_decision_has_the_same_document():
    assert junit_xml(ruling()) == junit_xml(ruling())


def test_any_text_is_text_without_what_xml_cannot_hold():
    hostile = rule(Outcome.FAIL, f"rehearsed_score[{HOSTILE}]", HOSTILE, f"{HOSTILE}\nand more")
    root = parsed(ruling(Decided.FAIL, hostile, summary=HOSTILE, policy=HOSTILE, analysis_id=HOSTILE))
    readable = "<b>&amp;|`*[x](http://h)[2J]]>@team #1"
    assert root.find("testsuite/testcase").get("name") == f"rehearsed_score[{readable}]"
    assert root.find("testsuite/testcase").get("classname") == readable
    assert root.find("testsuite/testcase/failure").text.endswith(f"{readable}\nand more")
    assert root.find("testsuite/system-out").text == readable
