"""What was made of an upload, in words."""

from __future__ import annotations

from service.analyses.dataset import FileFormat, Understood

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


def _counted(thing: str, count: int, names: tuple[str, ...]) -> str:
    some = ", ".join(names[:IN_SENTENCES]) + (", ..." if count > IN_SENTENCES else "")
    return f"{thing} {some}" if count == 1 else f"{count} {thing}s ({some})"
