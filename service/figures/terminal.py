"""A report for people who read it in a terminal."""

from __future__ import annotations

from itertools import zip_longest

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from service.estimation.report import Recommendation, Report
from service.estimation.separation_records import Separation
from service.estimation.spectrum_records import Component
from service.estimation.terms import ComponentClass, Direction, Objective, RatioStatus

LEADING = 8  # components shown per spectrum
ARROWS = {Direction.X_TO_Y: "x → y", Direction.Y_TO_X: "y → x"}
SPECTRA = {"ca": "align", "cp_x_to_y": "predict x → y", "cp_y_to_x": "predict y → x"}


def draw(report: Report, console: Console, names: tuple[str, str] = ("x", "y")) -> None:
    """Print regime, recommendation, ratios, leading components and warnings; `names` says what x and y are."""
    console.print(Group(*_answer(report, names), _ratios(report), _components(report), *_warnings(report)))


def _answer(report: Report, names: tuple[str, str]) -> list[RenderableType]:
    data = report.data
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    grid.add_row("Data", f"{data.n_pairs} pairs, {data.n_labeled} labeled; labels: {_labels(report)}")
    grid.add_row("x", f"{escape(names[0])} ({data.n_features_x} features)")
    grid.add_row("y", f"{escape(names[1])} ({data.n_features_y} features)")
    grid.add_row("Regime", f"{report.regimes.x_to_y} (x → y), {report.regimes.y_to_x} (y → x)")
    grid.add_row("Direction", ARROWS[report.direction] if report.direction else "none")
    grid.add_row("Recommendation", f"[bold]{_recommended(report.recommendation)}[/bold]")
    reasons = [Padding(f"• {escape(reason)}", (0, 0, 0, 2)) for reason in report.recommendation.reasons]
    return [grid, *reasons, ""]


def _recommended(recommendation: Recommendation) -> str:
    way = ARROWS[recommendation.direction] if recommendation.direction else ""
    match recommendation.objective:
        case Objective.EITHER:
            return f"either: alignment, or prediction {way}"
        case Objective.PREDICTION:
            return f"prediction {way}"
        case Objective.ALIGNMENT:
            return "alignment"
        case Objective.UNIMODAL:
            return f"unimodal: train on {recommendation.modality} alone"
    return "undetermined"


def _labels(report: Report) -> str:
    described = [
        f"{escape(label.name)} ({len(label.classes)} classes)" if label.classes else f"{escape(label.name)} (numeric)"
        for label in report.data.labels[:5]
    ]
    more = len(report.data.labels) - len(described)
    return ", ".join(described) + (f" and {more} more" if more else "")


def _ratios(report: Report) -> RenderableType:
    table = Table(title="Separation ratios (above 1: the objective recovers the signal)", title_justify="left")
    for heading in ("objective", "ratio", "signal floor", "nuisance floor", "signal count", "recovered"):
        first = heading == "objective"
        table.add_column(heading, justify="left" if first else "right", no_wrap=first)
    for name, title in SPECTRA.items():
        found: Separation = getattr(report.separation, name)
        style = "green" if found.recovers else "red"
        table.add_row(
            title,
            f"[{style}]{_ratio(found)}[/{style}]",
            _number(found.signal_floor),
            _number(found.nuisance_floor),
            str(found.signal_count),
            str(found.recovered_count),
        )
    return Padding(table, (0, 0, 1, 0))


def _components(report: Report) -> RenderableType:
    spectra: list[tuple[Component, ...]] = [getattr(report.spectra, name) for name in SPECTRA]
    table = Table(title=f"Leading components: singular value, R², class (first {LEADING})", title_justify="left")
    table.add_column("#", justify="right")
    for title in SPECTRA.values():
        table.add_column(title, justify="right")
    for index, row in enumerate(zip_longest(*(spectrum[:LEADING] for spectrum in spectra))):
        table.add_row(str(index), *(_component(component) for component in row))
    return Padding(table, (0, 0, 1, 0))


def _component(component: Component | None) -> str:
    if component is None:
        return ""
    style = "green" if component.class_ is ComponentClass.SIGNAL else "dim"
    return f"[{style}]{component.singular_value:.3f}  {component.r2:.2f}  {component.class_:8s}[/{style}]"


def _warnings(report: Report) -> list[RenderableType]:
    return [f"[yellow]Warning[/yellow] [bold]{item.code}[/bold]: {escape(item.message)}" for item in report.warnings]


def _ratio(separation: Separation) -> str:
    match separation.status:
        case RatioStatus.NO_SIGNAL:
            return "0 (no signal)"
        case RatioStatus.NO_NUISANCE:
            return "∞ (no nuisance)"
    return _number(separation.ratio)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.1e}"
