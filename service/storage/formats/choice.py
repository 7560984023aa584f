"""Which of the arrays in a file is meant, where it may hold several (.npz, safetensors)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.analyses.dataset import FileFormat, Understood
from service.analyses.format_errors import WhichArray
from service.storage.formats.naming import listed, shown, shown_all

USUAL = ("features", "embeddings")
OTHER = {"x": ("y",), "y": ("x",)}


@dataclass(frozen=True)
class Held:
    """An array in a file, as its header describes it; `is_number` of a type that features may have."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_number: bool


@dataclass(frozen=True)
class Choice:
    """The table of features, and the ids of its rows if there are any."""

    features: Held
    ids: Held | None
    left_out: tuple[str, ...]

    def understood(self, kind: FileFormat) -> Understood:
        """What is said of it."""
        return Understood(
            format=kind,
            n_rows=self.features.shape[0],
            taken=(shown(self.features.name),),
            n_taken=1,
            left_out=shown_all(self.left_out),
            n_left_out=len(self.left_out),
            id_column=self.ids.name if self.ids else None,
        )


def choose(held: Sequence[Held], part: str, id_column: str) -> Choice:
    """The one table of numbers (n, d) or, of several, that called like the part, `features` or `embeddings`.

    Raises WhichArray, also for x where y was meant.
    """
    ids = next((each for each in held if each.name == id_column and len(each.shape) == 1), None)
    tables = [each for each in held if len(each.shape) == 2 and each.is_number]
    named = [each for name in (part, *USUAL) for each in tables if each.name == name]
    if not named and len(tables) != 1:
        there = listed([f"{each.name} {each.shape} {each.dtype}" for each in held])
        what = "no table of numbers with rows and columns" if not tables else "more than one table of numbers"
        raise WhichArray(
            f"{part} holds {what}: {there or 'nothing'}. Save one array with two dimensions, or call it {part}.",
            part=part,
        )
    features = named[0] if named else tables[0]
    if features.name in OTHER.get(part, ()):
        raise WhichArray(
            f"The only table that was sent as {part} is called {features.name}: the files may have been swapped. Send "
            f"each as what it is, or call this table {part}.",
            part=part,
        )
    if ids is not None and ids.shape[0] != features.shape[0]:
        raise WhichArray(
            f"{part} has {features.shape[0]} rows, and {ids.shape[0]} ids in {shown(ids.name)!r}. Give every row one "
            "id.",
            part=part,
        )
    others = tuple(each.name for each in held if each is not features and each is not ids)
    return Choice(features, ids, others)
