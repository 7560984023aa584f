"""A decision for people who read it in a terminal: the answer in a line, the rules, what to do, what it rests on."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

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
from service.gating.decision import Decided, Outcome

DECIDED_STYLES = {Decided.PASS: "bold green", Decided.FAIL: "bold red", Decided.ABSTAIN: "bold yellow"}
OUTCOME_STYLES = {
    Outcome.PASS: "green",
    Outcome.WARN: "yellow",
    Outcome.FAIL: "red",
    Outcome.UNDETERMINED: "yellow",
}


def verdict(ruling: Ruling) -> RenderableType:
    """Decision, summary, rules, the messages of those that did not pass, recommendation, and where the report is.

    Nothing is wider than 80 columns; what the report and the policy say is text, and no markup.
    """
    decision = ruling.decision
    style = DECIDED_STYLES[decision.decision]
    return Group(
        f"[{style}]{headline(ruling)}[/{style}]",
        _said(decision.summary),
        "",
        _circumstances(ruling),
        "",
        _rules(ruling),
        *_messages(ruling),
        "",
        f"[bold]The report recommends[/bold] {escape(recommended(decision.recommendation))}",
        *(Padding(f"• {_said(reason)}", (0, 0, 0, 2)) for reason in decision.recommendation.reasons),
    )


def _circumstances(ruling: Ruling) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("Planned", planned(ruling.decision.plan))
    grid.add_row("Policy", _said(policy_of(ruling)))
    grid.add_row("Regime", found_regimes(ruling.regimes))
    if ruling.analysis_id is None:
        grid.add_row("Analysis", "computed in process, kept nowhere")
    else:
        grid.add_row("Analysis", _said(ruling.analysis_id))
        grid.add_row("Report", f"`phasegate report {_said(ruling.analysis_id)}` shows it")  # an address may be too wide
    return grid


def _rules(ruling: Ruling) -> RenderableType:
    table = Table()
    table.add_column("rule", overflow="fold")
    table.add_column("observed", justify="right", overflow="fold")
    table.add_column("required", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    for rule in ruling.decision.rules:
        style = OUTCOME_STYLES[rule.outcome]
        outcome = f"[{style}]{rule.outcome}[/{style}]"
        table.add_row(_said(rule.rule), _said(observed(rule)), _said(required(rule)), outcome)
    return table


def _messages(ruling: Ruling) -> list[RenderableType]:
    return [
        f"[{OUTCOME_STYLES[rule.outcome]}]{rule.outcome}[/] [bold]{_said(rule.rule)}[/bold]: {_said(rule.message)}"
        for rule in unmet(ruling)
    ]


def _said(text: str) -> str:
    return escape(printable(text))
