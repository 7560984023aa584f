"""Two reports beside each other, for people who read them in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from service.figures.printable import printable
from service.figures.ruling import ARROWS, recommended
from service.figures.terminal_tables import ANSWERS, OBJECTIVES, ratio_in_words
from service.gating.comparison import Comparison, RatioSeen, RegimeComparison, Value

DIFFERS = {False: ("no", "green"), True: ("yes", "red"), None: ("open", "yellow")}


def difference(comparison: Comparison, names: tuple[str, str]) -> RenderableType:
    """Whether anything differs; ratios, regimes, recommendations, warnings; what the reports were made from and with.

    `names` says what the two reports are.  Nothing is wider than 80 columns.
    """
    _, style = DIFFERS[comparison.differs]
    return Group(
        f"[bold {style}]{escape(comparison.summary)}[/]",
        "",
        *(f"[bold]{letter}[/bold]  {_said(name)}" for letter, name in zip("AB", names, strict=True)),
        "",
        _ratios(comparison),
        *(
            f"{OBJECTIVES[found.objective]}: {escape(found.reason)}"
            for found in comparison.ratios
            if found.differs is not False
        ),
        "",
        _facts(comparison),
    )


def facts_of(comparison: Comparison) -> list[tuple[str, str]]:
    """What is the same and what is not, besides the ratios: name and words."""
    facts = [(f"Regime {ARROWS[found.direction]}", regime_in_words(found)) for found in comparison.regimes]
    first, second = recommended(comparison.recommendation_a), recommended(comparison.recommendation_b)
    facts.append(("Recommendation", f"{first} → {second}" if comparison.recommendation_changed else first))
    inputs = ", ".join(comparison.inputs_changed)
    facts.append(("Input", f"not the same: {inputs}" if inputs else "the same"))
    facts += [(f"Option {change.name}", change_in_words(change.a, change.b)) for change in comparison.options]
    facts += [(f"Version of {change.name}", change_in_words(change.a, change.b)) for change in comparison.versions]
    if comparison.warnings_gone:
        facts.append(("Warnings in A alone", ", ".join(comparison.warnings_gone)))
    if comparison.warnings_new:
        facts.append(("Warnings in B alone", ", ".join(comparison.warnings_new)))
    return facts


def regime_in_words(found: RegimeComparison) -> str:
    """The regime in both reports, with its probabilities, and whether it differs."""
    first, second = _sure(found.a, found.probability_a), _sure(found.b, found.probability_b)
    if found.a == found.b:
        return first if first == second else f"{first} → {second}"
    verdicts = {True: "differs", False: "not both conclusive", None: "without probabilities it cannot be said"}
    return f"{first} → {second}: {verdicts[found.differs]}"


def change_in_words(a: Value, b: Value) -> str:
    """Both values."""
    return f"{_value(a)} → {_value(b)}"


def ratio_seen(seen: RatioSeen) -> str:
    """Whether the objective recovers the signal, with the ratio and its interval."""
    return f"{ANSWERS[seen.verdict][0]}, {ratio_in_words(seen.ratio, seen.status, seen.interval)}"


def _ratios(comparison: Comparison) -> RenderableType:
    table = Table()
    table.add_column("objective", no_wrap=True)
    table.add_column("A: recovers, ratio", justify="right")
    table.add_column("B: recovers, ratio", justify="right")
    table.add_column("differs", no_wrap=True)
    for found in comparison.ratios:
        word, style = DIFFERS[found.differs]
        table.add_row(
            OBJECTIVES[found.objective],
            f"[{ANSWERS[found.a.verdict][1]}]{ratio_seen(found.a)}[/]",
            f"[{ANSWERS[found.b.verdict][1]}]{ratio_seen(found.b)}[/]",
            f"[{style}]{word}[/]",
        )
    return table


def _facts(comparison: Comparison) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, words in facts_of(comparison):
        grid.add_row(_said(name), _said(words))
    return grid


def _sure(regime: str, probability: float | None) -> str:
    return regime if probability is None else f"{regime} ({probability:.2f})"


def _value(value: Value) -> str:
    return "none" if value is None else str(value)


def _said(text: str) -> str:
    return escape(printable(text))
