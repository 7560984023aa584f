"""What a file is, by its first bytes; what its sender calls it must agree, and its name counts for nothing."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from service.analyses.dataset import FileFormat
from service.analyses.format_errors import FormatMismatch, FormatNotRead, UnknownFormat
from service.analyses.upload_errors import PickledArray

START_BYTES = 4096
NUMPY, ZIP, PARQUET, ARROW = b"\x93NUMPY", b"PK\x03\x04", b"PAR1", b"ARROW1"
PICKLE = b"\x80"  # how pickles of every protocol since 2 begin
OLD_PICKLE = re.compile(rb"\([ld]p[0-9]+\n|c(numpy|pandas|torch|copy_reg|__builtin__)[\w.]*\n\w+\n")
TAR, TAR_AT = b"ustar", 257
LONGEST_HEADER_BYTES = 100_000_000  # of a safetensors file, as its specification has it

SAID = {
    "application/vnd.apache.parquet": FileFormat.PARQUET,
    "application/x-parquet": FileFormat.PARQUET,
    "application/parquet": FileFormat.PARQUET,
    "application/vnd.apache.arrow.file": FileFormat.ARROW,
    "application/x-npy": FileFormat.NPY,
    "application/x-npz": FileFormat.NPZ,
    "application/x-safetensors": FileFormat.SAFETENSORS,
    "application/vnd.safetensors": FileFormat.SAFETENSORS,
    "text/csv": FileFormat.CSV,
}
"""Content types that say what a file is; all others say nothing."""

NAMES = {
    FileFormat.NPY: "a .npy file",
    FileFormat.NPZ: "an .npz archive",
    FileFormat.SAFETENSORS: "a safetensors file",
    FileFormat.PARQUET: "a Parquet file",
    FileFormat.ARROW: "an Arrow IPC file",
    FileFormat.CSV: "CSV",
}

# What begins like this is never read: its name, and what to do.
REFUSED = {
    b"PARE": ("an encrypted Parquet file", "Write it without encryption"),
    b"\x89HDF": (
        "an HDF5 file, which may refer to other files",
        "Save the array alone: numpy.save(file, dataset[...])",
    ),
    b"\x1f\x8b": ("compressed with gzip", "Unpack it; Parquet and .npz may be compressed inside"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "Unpack it; Parquet and .npz may be compressed inside"),
    b"BZh": ("compressed with bzip2", "Unpack it; Parquet and .npz may be compressed inside"),
    b"\xfd7zXZ": ("compressed with xz", "Unpack it; Parquet and .npz may be compressed inside"),
    b"MATLAB 5.0": ("a MATLAB file", "Save the array with numpy.save"),
    b"ORC": ("an ORC file", "Write it as Parquet"),
    b"Obj\x01": ("an Avro file", "Write it as Parquet"),
    b"FEA1": ("a Feather file of version 1", "Write it as Feather of version 2, or as Parquet"),
    b"\xff\xff\xff\xff": ("an Arrow stream", "Write an Arrow file, or Parquet"),
    b"Rar!\x1a\x07": ("a RAR archive", "Unpack it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "Unpack it"),
    b"\xd0\xcf\x11\xe0": ("an old Excel file, or another of Office", "Save the table as CSV or Parquet"),
    b"%PDF": ("a PDF", "Write the table as Parquet or CSV"),
    b"SQLite format 3\x00": ("an SQLite database", "Write the table as Parquet or CSV"),
}

# What begins like this, after blank space, is text that is no table.
REFUSED_TEXT = {
    re.compile(rb'\{\s*["}]|\[\s*["\[{\]\-0-9]'): ("JSON", "Write the table as Parquet or CSV"),
    re.compile(rb"<(!doctype|html|\?xml|svg)", re.IGNORECASE): (
        "HTML or XML, perhaps the answer of a server instead of a file",
        "Look into it, and get the file again",
    ),
}


def recognise(path: Path, part: str) -> FileFormat:
    """What a file is by its first bytes; what begins with plain text is taken for CSV.

    Raises PickledArray, FormatNotRead and UnknownFormat, which say what to do instead.
    """
    with path.open("rb") as file:
        start = file.read(START_BYTES)
        file.seek(0, 2)
        size = file.tell()
    if start.startswith(NUMPY):
        return FileFormat.NPY
    if start.startswith(PARQUET):
        return FileFormat.PARQUET
    if start.startswith(ARROW):
        return FileFormat.ARROW
    if start.startswith(ZIP):
        return FileFormat.NPZ  # or another archive, which its reader refuses
    if _is_safetensors(start, size):
        return FileFormat.SAFETENSORS
    if start.startswith(PICKLE) or OLD_PICKLE.match(start):
        raise PickledArray(
            f"{part} looks like a Python pickle, which is never loaded. Save the array with numpy.save, or with "
            "safetensors.",
            part=part,
        )
    refusal = _refusal(start)
    if refusal is not None:
        what, todo = refusal
        raise FormatNotRead(f"{part} is {what}, which is not read. {todo}, and send that.", part=part)
    if _is_text(start):
        return FileFormat.CSV
    raise UnknownFormat(
        f"{part} is of no format that is known. Send .npy, .npz, safetensors, Parquet, an Arrow file, or CSV in UTF-8.",
        part=part,
    )


def _refusal(start: bytes) -> tuple[str, str] | None:
    """What a file is that is never read, and what to do; None for every other."""
    for magic, refusal in REFUSED.items():
        if start.startswith(magic):
            return refusal
    if start[TAR_AT:].startswith(TAR):
        return "a tar archive", "Unpack it"
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    return next((refusal for pattern, refusal in REFUSED_TEXT.items() if pattern.match(text)), None)


def check_said(media_type: str | None, found: FileFormat, part: str) -> None:
    """Raise FormatMismatch where a content type says that a file is something else than it is."""
    said = SAID.get((media_type or "").partition(";")[0].strip().lower())
    if said is not None and said is not found:
        raise FormatMismatch(
            f"{part} is {NAMES[found]} and its Content-Type says {NAMES[said]}. Send the right file, or leave out "
            "the type.",
            part=part,
        )


def _is_safetensors(start: bytes, size: int) -> bool:
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and 2 <= length <= min(LONGEST_HEADER_BYTES, size - 8)


def _is_text(start: bytes) -> bool:
    """Whether bytes begin like text: valid UTF-8, up to a character that may be cut, without NUL."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return b"\x00" not in start
