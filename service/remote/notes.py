"""What a caller should know of what was made of the files: what was left out, and what became of ids."""

from __future__ import annotations

from rich.console import Console

from service.analyses.understanding import left_out_of
from service.figures.printable import printable
from service.schemas.analyses import InputsView


def notes_of(inputs: InputsView | None) -> tuple[str, ...]:
    """In sentences, in the order of the parts; none of a simulation."""
    if inputs is None:
        return ()

    def left_out(*parts: str) -> list[str | None]:
        return [
            left_out_of(part, file.understood.text, file.understood.n_left_out)
            for part in parts
            if (file := getattr(inputs, part)) is not None and file.understood is not None
        ]

    said = [
        *left_out("x", "y", "groups", "covariates"),
        inputs.join and inputs.join.text,
        *left_out("labels", "rows"),
        inputs.label_join and inputs.label_join.text,
    ]
    return tuple(text for text in said if text)


def say(notes: Console, text: str) -> None:
    """A line of its own, however long it is."""
    notes.print(printable(text), markup=False, soft_wrap=True)
