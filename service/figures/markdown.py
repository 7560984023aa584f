"""A decision, or a comparison, as Markdown, for the summary of a CI step or a comment on a merge request."""

from __future__ import annotations

import json
import re

from service.estimation.record import as_dict
from service.figures.difference import DIFFERS, facts_of, ratio_seen
from service.figures.printable import printable
from service.figures.ruling import (
    Ruling,
    found_regimes,
    headline,
    observed,
    planned,
    policy_of,
    recommended,
    required,
    unmet,
)
from service.figures.terminal_tables import OBJECTIVES
from service.gating.comparison import Comparison
from service.gating.decision import Decided, Outcome

DECIDED_MARKS = {Decided.PASS: "✅", Decided.FAIL: "❌", Decided.ABSTAIN: "❔"}
OUTCOME_MARKS = {Outcome.PASS: "✅", Outcome.WARN: "⚠️", Outcome.FAIL: "❌", Outcome.UNDETERMINED: "❔"}
_SPECIAL = re.compile(r"([\\`*_\[\]|~$]|:(?=//))")
_MENTION = re.compile(r"(?<!\w)@")
_LONGEST_FENCE = re.compile(r"`{3,}")
NO_MENTION = "@&#8203;"  # an invisible break: nobody is called into a discussion by the name of a label


def verdict_markdown(ruling: Ruling) -> str:
    """The decision in a heading, the rules in a table, the recommendation with its reasons, and details to unfold."""
    decision = ruling.decision
    lines = [
        f"## {DECIDED_MARKS[decision.decision]} Phasegate: {plain(headline(ruling))}",
        "",
        plain(decision.summary),
        "",
        *_table(ruling),
        *(f"- **{plain(rule.rule)}** ({rule.outcome}): {plain(rule.message)}" for rule in unmet(ruling)),
        *([""] if unmet(ruling) else []),
        f"**The report recommends:** {plain(recommended(decision.recommendation))}",
        "",
        *(f"- {plain(reason)}" for reason in decision.recommendation.reasons),
        "",
        *_details(ruling),
    ]
    return "\n".join(lines) + "\n"


def comparison_markdown(comparison: Comparison, names: tuple[str, str]) -> str:
    """Two reports beside each other: whether anything differs, the ratios in a table, and all else that changed.

    `names` says what the two reports are.
    """
    rows = [
        f"| {plain(OBJECTIVES[found.objective])} | {plain(ratio_seen(found.a))} | {plain(ratio_seen(found.b))} "
        f"| {DIFFERS[found.differs][0]} | {plain(found.reason)} |"
        for found in comparison.ratios
    ]
    lines = [
        "## Phasegate: two reports compared",
        "",
        f"**{plain(comparison.summary)}**",
        "",
        *(f"- **{letter}:** {plain(name)}" for letter, name in zip("AB", names, strict=True)),
        "",
        "| objective | A: recovers, ratio | B: recovers, ratio | differs | why |",
        "|---|---|---|---|---|",
        *rows,
        "",
        *(f"- **{plain(name)}:** {plain(words)}" for name, words in facts_of(comparison)),
    ]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """The text on one line, as text: nothing in it is Markdown, HTML, a cell's end, or calls anybody."""
    as_html = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MENTION.sub(NO_MENTION, _SPECIAL.sub(r"\\\1", as_html))


def _table(ruling: Ruling) -> list[str]:
    rows = [
        f"| {plain(rule.rule)} | {plain(observed(rule))} | {plain(required(rule))} "
        f"| {OUTCOME_MARKS[rule.outcome]} {rule.outcome} |"
        for rule in ruling.decision.rules
    ]
    return ["| rule | observed | required | outcome |", "|---|---:|---|---|", *rows, ""]


def _details(ruling: Ruling) -> list[str]:
    facts = {
        "Planned": planned(ruling.decision.plan),
        "Policy": policy_of(ruling),
        "Regime": found_regimes(ruling.regimes),
        "Analysis": ruling.analysis_id or "computed in process, kept nowhere",
        "Report": ruling.report_at,
    }
    policy = json.dumps(as_dict(ruling.decision.policy), indent=2, ensure_ascii=True, allow_nan=False)
    fence = "`" * (1 + max([2, *(len(run) for run in _LONGEST_FENCE.findall(policy))]))
    return [
        "<details>",
        "<summary>What was judged</summary>",
        "",
        *(f"- {name}: {plain(value)}" for name, value in facts.items() if value is not None),
        *(f"- Input: {plain(note)}" for note in ruling.notes),
        "",
        f"{fence}json",
        policy,
        fence,
        "",
        "</details>",
    ]
