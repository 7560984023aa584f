"""What a preflight found, for people who read it in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from service.estimation.preflight import Preflight
from service.estimation.warning_codes import SERIOUS


def draw_preflight(found: Preflight, console: Console, understood: Mapping[str, str] | None = None) -> None:
    """Print what was understood of files (by part), the size of the data and every warning, the serious ones in red."""
    said = [f"[bold]{escape(part)}[/bold]: {escape(sentence)}" for part, sentence in (understood or {}).items()]
    console.print(Group(*said, *[""] * bool(said), _data(found), "", *_warnings(found)))


def _data(found: Preflight) -> RenderableType:
    data = found.data
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    left_out = data.n_pairs - data.n_pairs_used
    grid.add_row("Pairs", f"{data.n_pairs}" + (f", {left_out} of them left out" if left_out else ""))
    for name, n_features, rank, n_missing in (
        ("x", data.n_features_x, data.rank_x, data.n_missing_x),
        ("y", data.n_features_y, data.rank_y, data.n_missing_y),
    ):
        grid.add_row(
            name, f"{n_features} features of rank {rank}" + (f", {n_missing} values missing" * bool(n_missing))
        )
    grid.add_row("Labels", f"{data.n_labeled} pairs: {escape(', '.join(data.labels))}")
    grid.add_row("Groups", "none" if data.n_groups is None else str(data.n_groups))
    return grid


def _warnings(found: Preflight) -> list[RenderableType]:
    if not found.warnings:
        return ["[green]Nothing was found.[/green]"]
    return [
        f"[{style}]{word}[/{style}] [bold]{warning.code}[/bold]: {escape(warning.message)}"
        for warning in found.warnings
        for word, style in [("Serious", "red") if warning.code in SERIOUS else ("Warning", "yellow")]
    ]
