"""A decision as JUnit XML, as CI servers read test results: a suite, a case for every rule.

What a reader of the cases alone must not take for green is red: a rule that would make the decision fail is a failure,
one that would make it abstain an error, which means that a test has no result.  A skipped case, which most servers show
as harmless, is only a rule that is undetermined and holds up nothing.  A rule that warns has passed, with its message
as its output.
"""

from __future__ import annotations

import unicodedata
from xml.etree import ElementTree  # written, never parsed  # nosec B405

from service.figures.ruling import Ruling, found_regimes, observed, policy_of, required
from service.gating.decision import Decided, Decision, Outcome, RuleResult
from service.gating.policy import OnUndetermined, Severity

SUITE = "phasegate"
_UNREADABLE = ("Cc", "Cf", "Cs")  # controls, invisible formats such as reversals, halves of characters
_NO_CHARACTERS = frozenset({"\ufffe", "\uffff"})  # which XML 1.0 cannot hold


def junit_xml(ruling: Ruling) -> str:
    """The XML document.  The same decision has the same one: nothing in it tells the time."""
    cases = [_case(ruling, rule) for rule in ruling.decision.rules]
    counts = {
        "tests": len(cases),
        "failures": _count(cases, "failure"),
        "errors": _count(cases, "error"),
    }
    suites = ElementTree.Element("testsuites", _texts(name=SUITE, **counts, time=0))
    suite = ElementTree.SubElement(
        suites, "testsuite", _texts(name=SUITE, **counts, skipped=_count(cases, "skipped"), time=0)
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(ruling).items():
        ElementTree.SubElement(properties, "property", _texts(name=name, value=value))
    suite.extend(cases)
    ElementTree.SubElement(suite, "system-out").text = readable(ruling.decision.summary)
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def readable(text: str) -> str:
    """The text without what XML 1.0 cannot hold; lines and tabs stay."""
    return "".join(character for character in text if character in "\n\t" or not _is_unreadable(character))


def _is_unreadable(character: str) -> bool:
    return unicodedata.category(character) in _UNREADABLE or character in _NO_CHARACTERS


def _properties(ruling: Ruling) -> dict[str, object]:
    said = {
        "decision": ruling.decision.decision,
        "policy": policy_of(ruling),
        "regime": found_regimes(ruling.regimes),
        "recommendation": ruling.decision.recommendation.objective,
        "analysis_id": ruling.analysis_id,
        "report": ruling.report_at,
    }
    return {name: value for name, value in said.items() if value is not None}


def _case(ruling: Ruling, rule: RuleResult) -> ElementTree.Element:
    case = ElementTree.Element("testcase", _texts(classname=ruling.policy, name=rule.rule, time=0))
    facts = f"observed: {observed(rule)}\nrequired: {required(rule)}\n{rule.message}"
    kind = _kind(rule, ruling.decision)
    if kind is None:
        ElementTree.SubElement(case, "system-out").text = readable(
            f"warning: {facts}" if rule.outcome is Outcome.WARN else facts
        )
    else:
        says = {"message": rule.message} if kind == "skipped" else {"message": rule.message, "type": rule.outcome}
        ElementTree.SubElement(case, kind, _texts(**says)).text = readable(facts)
    return case


def _kind(rule: RuleResult, decision: Decision) -> str | None:
    """The element that says how a rule came out; None for one that has passed."""
    if rule.outcome is Outcome.FAIL:
        return "failure"
    if rule.outcome is not Outcome.UNDETERMINED:
        return None
    if rule.severity is Severity.WARN:
        return "skipped"
    # Also of a policy that lets open questions pass: then the report could not answer one.
    if decision.decision is Decided.ABSTAIN:
        return "error"
    return {OnUndetermined.PASS: "skipped", OnUndetermined.FAIL: "failure", OnUndetermined.ABSTAIN: "error"}[
        decision.policy.on_undetermined
    ]


def _count(cases: list[ElementTree.Element], kind: str) -> int:
    return sum(case.find(kind) is not None for case in cases)


def _texts(**values: object) -> dict[str, str]:
    return {name: readable(str(value)) for name, value in values.items()}
