"""A report for people who read it in a terminal: the answer in words, the tables behind it, the warnings."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from service.estimation.report import Evidence, ModelFit, Report
from service.estimation.separation_records import RegimeShares
from service.estimation.terms import Regime
from service.estimation.verdicts import SURE, probability_of
from service.figures.ruling import ARROWS, recommended
from service.figures.terminal_tables import component_table, ratio_table, rehearsal_table

NAMED_LABELS = 5  # label columns named before the rest is counted


def draw(report: Report, console: Console, names: tuple[str, str] = ("x", "y")) -> None:
    """Print regime, recommendation, ratios, leading components, rehearsal and warnings.

    `names` says what x and y are.  What the method does not know is left out.  Nothing is wider than 80 columns.
    """
    tables = [ratio_table(report), component_table(report)]
    if report.rehearsal is not None and report.rehearsal.rows:
        tables.append(rehearsal_table(report.rehearsal))
    spaced = [Padding(table, (0, 0, 1, 0)) for table in tables]
    console.print(Group(*_answer(report, names), *spaced, *_warnings(report)))


def _answer(report: Report, names: tuple[str, str]) -> list[RenderableType]:
    data = report.data
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    grid.add_row("Data", f"{data.n_pairs} pairs, {data.n_labeled} labeled; labels: {_labels(report)}")
    grid.add_row("x", f"{escape(names[0])} ({data.n_features_x} features)")
    grid.add_row("y", f"{escape(names[1])} ({data.n_features_y} features)")
    if report.evidence is not None:
        grid.add_row("Evidence", _evidence(report.evidence))
    if report.model is not None:
        grid.add_row("Model", _model(report.model))
    grid.add_row("Regime", _regimes(report))
    if report.regime_probabilities is not None:
        grid.add_row("Probabilities", f"x → y: {_shares(report.regime_probabilities.x_to_y)}")
        grid.add_row("", f"y → x: {_shares(report.regime_probabilities.y_to_x)}")
    grid.add_row("Direction", _direction(report))
    grid.add_row("Recommendation", f"[bold]{recommended(report.recommendation)}[/bold]")
    reasons = [Padding(f"• {escape(reason)}", (0, 0, 0, 2)) for reason in report.recommendation.reasons]
    return [grid, *reasons, ""]


def _evidence(evidence: Evidence) -> str:
    claim = "[green]signal is claimed[/green]" if evidence.signal_claimed else "[red]no signal is claimed[/red]"
    return f"{claim}; p = {evidence.coupling_p_value:.2g} (pairing), {evidence.labels_p_value:.2g} (labels)"


def _model(model: ModelFit) -> str:
    return f"{model.kind}; worth {model.effective_pairs:.0f} pairs and {model.effective_labels:.0f} labeled rows"


def _regimes(report: Report) -> str:
    found = report.regime_probabilities
    ways: list[tuple[str, Regime, RegimeShares | None]] = [
        ("x → y", report.regimes.x_to_y, None if found is None else found.x_to_y),
        ("y → x", report.regimes.y_to_x, None if found is None else found.y_to_x),
    ]
    if found is None:
        return ", ".join(f"{regime} ({way})" for way, regime, _ in ways)
    return "; ".join(f"{regime} ({way}), {_conclusive(regime, shares)}" for way, regime, shares in ways)


def _conclusive(regime: Regime, shares: RegimeShares | None) -> str:
    sure = shares is not None and probability_of(shares, regime) >= SURE
    return "[green]conclusive[/green]" if sure else "[yellow]not conclusive[/yellow]"


def _shares(shares: RegimeShares) -> str:
    return ", ".join(f"{regime} {probability_of(shares, regime):.2f}" for regime in Regime)


def _direction(report: Report) -> str:
    if report.direction is None:
        return "none"
    sure = "" if report.direction_probability is None else f", with probability {report.direction_probability:.2f}"
    return f"{ARROWS[report.direction]}{sure}"


def _labels(report: Report) -> str:
    described = [
        f"{escape(label.name)} ({f'{len(label.classes)} classes' if label.classes else 'numeric'})"
        for label in report.data.labels[:NAMED_LABELS]
    ]
    more = len(report.data.labels) - len(described)
    return ", ".join(described) + (f" and {more} more" if more else "")


def _warnings(report: Report) -> list[RenderableType]:
    return [f"[yellow]Warning[/yellow] [bold]{item.code}[/bold]: {escape(item.message)}" for item in report.warnings]
