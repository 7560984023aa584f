"""What was made of an upload, in words."""

from __future__ import annotations

from collections.abc import Mapping

from service.analyses.dataset import Dataset, DatasetState, FileFormat, Join, LabelJoin, Understood
from service.analyses.ports import Features, Labels

NAMES = {
    FileFormat.NPY: ".npy",
    FileFormat.NPZ: ".npz",
    FileFormat.SAFETENSORS: "safetensors",
    FileFormat.PARQUET: "Parquet",
    FileFormat.ARROW: "Arrow",
    FileFormat.CSV: "CSV",
}
THINGS = {FileFormat.NPZ: "array", FileFormat.SAFETENSORS: "tensor"}
IN_SENTENCES = 3


def sentence_of(found: Understood) -> str:
    """Format, rows, what was taken, what was left out, and the ids, in a sentence."""
    thing = THINGS.get(found.format, "column")
    said = f"{NAMES[found.format]} with {found.n_rows} rows: {_counted(thing, found.n_taken, found.taken)}"
    if found.id_column is not None:
        said += f"; ids in {found.id_column}"
    if found.n_left_out:
        said += f"; left out: {_counted(thing, found.n_left_out, found.left_out)}"
    return said + "."


def sentence_of_join(dataset: Dataset) -> str | None:
    """What became of the ids of rows that came with x or y, in a sentence; None without any, and before all is here."""
    if dataset.state is not DatasetState.READY:
        return None
    received = {"x": dataset.x and dataset.x.received, "y": dataset.y and dataset.y.received}
    return sentence_of_ids(dataset.join, {part: each.understood for part, each in received.items() if each})


def sentences_of_files(features: Features, labels: Labels) -> dict[str, str]:
    """What was made of files that were opened where they are, and of the ids in them: by part, and `join`."""
    said = {part: sentence_of(found) for part, found in {**features.understood, **labels.understood}.items()}
    joined = [sentence_of_ids(features.join, features.understood), labels.join and sentence_of_label_join(labels.join)]
    if any(joined):
        said["join"] = " ".join(each for each in joined if each)
    return said


def sentence_of_ids(join: Join | None, understood: Mapping[str, Understood]) -> str | None:
    """What became of the ids of rows, in a sentence; None without any.

    Arguments: join, how x and y were joined, None if they were not; understood, what was made of x and of y.
    """
    if join is not None:
        said = f"x and y were joined on {join.id_column}: {join.n_matched} pairs"
        left_out = [
            f"{count} rows of {part} ({_some(count, ids)})"
            for part, count, ids in (("x", join.n_only_x, join.only_x), ("y", join.n_only_y, join.only_y))
            if count
        ]
        return said + ("; left out: " + ", ".join(left_out) if left_out else "") + "."
    for part, other in (("x", "y"), ("y", "x")):
        if part in understood and understood[part].id_column is not None:
            return (
                f"Only {part} has ids ({understood[part].id_column}), which were not used: row i of x and of y are a "
                f"pair. Send ids with {other} too to have them joined."
            )
    return None


def notes_of_files(features: Features, labels: Labels) -> tuple[str, ...]:
    """What a caller should know of files that were opened where they are: what was left out, what became of ids."""
    said = [
        *(left_out_of(part, sentence_of(found), found.n_left_out) for part, found in features.understood.items()),
        sentence_of_ids(features.join, features.understood),
        *(left_out_of(part, sentence_of(found), found.n_left_out) for part, found in labels.understood.items()),
        None if labels.join is None else sentence_of_label_join(labels.join),
    ]
    return tuple(text for text in said if text is not None)


def left_out_of(part: str, text: str, n_left_out: int) -> str | None:
    """What was made of a part, for whoever sent it, where something of it was left out."""
    return f"{part}: {text}" if n_left_out else None


def sentence_of_label_join(join: LabelJoin) -> str:
    """How labels were matched to rows, in a sentence."""
    said = f"Labels were matched on {join.id_column}: {join.n_matched} have a row"
    if join.n_left_out:
        said += f"; left out: {join.n_left_out} without ({_some(join.n_left_out, join.left_out)})"
    return said + "."


def _some(count: int, names: tuple[str, ...]) -> str:
    return ", ".join(names[:IN_SENTENCES]) + (", ..." if count > IN_SENTENCES else "")


def _counted(thing: str, count: int, names: tuple[str, ...]) -> str:
    some = _some(count, names)
    return f"{thing} {some}" if count == 1 else f"{count} {thing}s ({some})"
