"""The tables of a report in a terminal: ratios, leading components, rehearsal; each at most 80 columns wide."""

from __future__ import annotations

import math
from itertools import groupby, zip_longest

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from service.estimation.rehearsal_records import Rehearsal, RehearsalRow
from service.estimation.report import Report
from service.estimation.separation_records import Interval, Separation
from service.estimation.spectrum_records import Component
from service.estimation.terms import ComponentClass, Encoder, Method, Metric, RatioStatus, Verdict

LEADING = 8  # components shown per spectrum
MOST_LABELS = 6  # label columns of a rehearsal before the rest is counted
LABEL_COLUMNS = 48  # of the terminal's, for all labels of a rehearsal together, borders included
LONGEST_LABEL = 20
LEAST_DECIMAL, MOST_DECIMAL = 1e-3, 1e5  # sizes between which a number is written without a power of ten
OBJECTIVES = {"ca": "align", "cp_x_to_y": "predict x → y", "cp_y_to_x": "predict y → x"}
ANSWERS = {
    Verdict.RECOVERS: ("yes", "green"),
    Verdict.DOES_NOT_RECOVER: ("no", "red"),
    Verdict.UNDETERMINED: ("open", "yellow"),
}
MARKS = {ComponentClass.SIGNAL: ("●", "green"), ComponentClass.NUISANCE: ("○", "dim")}
ENCODERS = {
    Encoder.X: "x as it is",
    Encoder.Y: "y as it is",
    Encoder.BOTH: "x and y as they are",
    Encoder.CA_X: "align, x",
    Encoder.CA_Y: "align, y",
    Encoder.CA_BOTH: "align, both",
    Encoder.CP_X_TO_Y: "predict x → y",
    Encoder.CP_Y_TO_X: "predict y → x",
    Encoder.PCA_X: "PCA of x",
    Encoder.PCA_Y: "PCA of y",
}
METRICS = {Metric.R2: "R²", Metric.BALANCED_ACCURACY: "accuracy"}


def ratio_table(report: Report) -> RenderableType:
    """Verdict, ratio with its interval, floors and counts of every objective."""
    table = Table()
    recovery, interval = report.recovery_probability, report.separation.ca.interval
    table.add_column("objective", no_wrap=True)
    table.add_column("recovers" if recovery is None else "recovers\n(prob.)", justify="right")
    table.add_column("ratio" if interval is None else f"ratio\n({interval.level:.0%} interval)", justify="right")
    table.add_column("signal,\nnuisance floor", justify="right")
    table.add_column("signals\nabove", justify="right")
    for name, title in OBJECTIVES.items():
        found: Separation = getattr(report.separation, name)
        answer, style = ANSWERS[found.verdict]
        probability = "" if recovery is None else f" ({getattr(recovery, name):.2f})"
        table.add_row(
            title,
            f"[{style}]{answer}{probability}[/{style}]",
            f"[{style}]{ratio_in_words(found.ratio, found.status, found.interval)}[/{style}]",
            f"{number(found.signal_floor)}, {number(found.nuisance_floor)}",
            f"{found.recovered_count} of {found.signal_count}",
        )
    return _titled("Separation ratios (above 1: the objective recovers the whole signal)", table)


def component_table(report: Report) -> RenderableType:
    """Leading components of the objectives' spectra, with what speaks for signal."""
    spectra: list[tuple[Component, ...]] = [getattr(report.spectra, name) for name in OBJECTIVES]
    calibrated = report.method is Method.CALIBRATED
    columns = "corrected value, R², share in signal" if calibrated else "singular value, R²"
    marks = ", ".join(f"{mark} {kind}" for kind, (mark, _) in MARKS.items())
    table = Table()
    table.add_column("#", justify="right")
    for title in OBJECTIVES.values():
        table.add_column(title, justify="right", no_wrap=True)
    for index, row in enumerate(zip_longest(*(spectrum[:LEADING] for spectrum in spectra))):
        table.add_row(str(index), *("" if component is None else _component(component) for component in row))
    return _titled(f"Leading components: {columns}; {marks}", table)


def rehearsal_table(rehearsal: Rehearsal) -> RenderableType:
    """Scores of linear encoders on labels that they have not seen, the best of every label marked."""
    labels = [tuple(rows) for _, rows in groupby(rehearsal.rows, key=lambda row: row.label)]
    shown = labels[:MOST_LABELS]
    width = min(LONGEST_LABEL, LABEL_COLUMNS // len(shown) - len(" │ "))
    table = Table()
    table.add_column("encoder", no_wrap=True)
    table.add_column("size", justify="right")
    for rows in shown:
        # A Text: a label's name is no markup.
        heading = Text(f"{_cut(rows[0].label, width)} \n{METRICS[rows[0].metric]} ")
        table.add_column(heading, justify="right", no_wrap=True)
    best = [max(row.score for row in rows) for rows in shown]
    for same in zip(*shown, strict=True):  # the same encoders stand in the same order under every label
        size = same[0].embedding_dim
        scores = [_score(row, most) for row, most in zip(same, best, strict=True)]
        table.add_row(ENCODERS[same[0].encoder], "" if size is None else str(size), *scores)
    table.add_section()
    table.add_row("chance", "", *(f"{rows[0].chance:.2f} " for rows in shown), style="dim")
    title = "Rehearsal: linear encoders, scored on labels that they have not seen (* best)"
    return _titled(title, table, *_beside(rehearsal, len(labels) - len(shown)))


def number(value: float | None) -> str:
    """Three digits; a dash for none."""
    if value is None:
        return "–"
    size = abs(value)
    if size and not LEAST_DECIMAL <= size < MOST_DECIMAL:
        return f"{value:.1e}"
    decimals = 2 - math.floor(math.log10(size)) if size else 0
    return f"{value:.{max(0, decimals)}f}"


def ratio_in_words(ratio: float | None, status: RatioStatus, interval: Interval | None) -> str:
    """A separation ratio with its interval, or why it is no number."""
    match status:
        case RatioStatus.NO_SIGNAL:
            return "0, no signal"
        case RatioStatus.NO_NUISANCE:
            return "∞, no nuisance"
    return number(ratio) + ("" if interval is None else f" ({_between(interval)})")


def _titled(title: str, *below: RenderableType) -> RenderableType:
    return Group(Text(title, style="italic"), *below)


def _between(interval: Interval) -> str:
    return f"{number(interval.low)}–{'∞' if interval.high is None else number(interval.high)}"


def _component(component: Component) -> str:
    mark, style = MARKS[component.class_]
    value = component.singular_value if component.corrected_value is None else component.corrected_value
    share = "" if component.signal_share is None else f"  {component.signal_share:.2f}"
    return f"[{style}]{mark} {number(value):>7s}  {component.r2:.2f}{share}[/{style}]"


def _score(row: RehearsalRow, best: float) -> str:
    return f"[bold green]{row.score:.2f}*[/bold green]" if row.score == best else f"{row.score:.2f} "


def _beside(rehearsal: Rehearsal, more: int) -> list[str]:
    """What the table does not say: what encoders were fitted on, and which labels are not shown."""
    kind = "pairs outside the held-out fold" if rehearsal.cross_fitted else "pairs without labels"
    lines = [f"Encoders were fitted on {rehearsal.encoder_pairs} {kind}."]
    if more:
        lines.append(f"{more} more label columns are in the report.")
    left_out = [label.label for label in rehearsal.labels if label.left_out is not None]
    if left_out:
        rest = "" if len(left_out) <= MOST_LABELS else f" and {len(left_out) - MOST_LABELS} more"
        lines.append(f"Not scored: {', '.join(escape(name) for name in left_out[:MOST_LABELS])}{rest}.")
    return lines


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"
