"""Looking into ZIP archives that a stranger made: the directory first, bounded, before anything is unpacked."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from service.analyses.format_errors import FormatNotRead, InvalidArchive, TorchFile
from service.storage.formats.naming import shown

MAX_MEMBERS = 1000
MAX_DIRECTORY_BYTES = 4 * 1024**2  # Python reads it whole
END, END_BYTES = b"PK\x05\x06", 22
LONGEST_COMMENT_BYTES = 2**16
ELSEWHERE = 0xFFFFFFFF  # what stands for a size that only ZIP64 can say
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)
"""What the library raises for archives that are damaged, or were made to be."""


@contextmanager
def array_archive(path: Path, part: str) -> Iterator[zipfile.ZipFile]:
    """An archive of .npy files, its directory read.

    Raises: InvalidArchive, also for damage that is found while it is used; TorchFile, FormatNotRead for other archives.
    """
    _check_directory(path, part)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(archive.namelist(), part)
            yield archive
    except BROKEN as error:
        raise _broken(part) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place before the file's beginning was looked for
            raise _broken(part) from error
        raise


@contextmanager
def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, part: str) -> Iterator[IO[bytes]]:
    """A member as it is unpacked, never more of it than it says to hold.  Raises InvalidArchive."""
    if info.flag_bits & ENCRYPTED:
        raise InvalidArchive(f"{part} is an encrypted archive. Save it without a password.", part=part)
    if info.compress_type not in METHODS:
        raise InvalidArchive(
            f"{part} is compressed in a way that is not read. Save it with numpy.savez or numpy.savez_compressed.",
            part=part,
        )
    with archive.open(info) as file:
        yield file


def _check_directory(path: Path, part: str) -> None:
    """Refuse a directory that is too long, by what the end of the archive says of it."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END_BYTES - LONGEST_COMMENT_BYTES))
        tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + END_BYTES:
        raise _broken(part)
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory_bytes not in range(MAX_DIRECTORY_BYTES) and directory_bytes != ELSEWHERE:
        raise InvalidArchive(f"{part} is an archive of too many files. Save one array in it.", part=part)


def _check_names(names: list[str], part: str) -> None:
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        raise TorchFile(
            f"{part} was saved by torch.save, as a pickle, which is never loaded. Save the tensor with "
            f"safetensors.torch.save_file({{'{part}': tensor.contiguous()}}, file), or with "
            "numpy.save(file, tensor.cpu().numpy()).",
            part=part,
        )
    if not names or not all(name.endswith(".npy") for name in names):
        raise FormatNotRead(
            f"{part} is a ZIP archive and no .npz. Send the file in it by itself, or save arrays with numpy.savez.",
            part=part,
        )
    if len(names) > MAX_MEMBERS:
        raise InvalidArchive(
            f"{part} is an archive of {len(names)} arrays, more than {MAX_MEMBERS}. Save one array in it.", part=part
        )
    if len(set(names)) != len(names):
        repeated = next(name for name, count in Counter(names).items() if count > 1)
        raise InvalidArchive(
            f"{part} is an archive of more than one array named {shown(repeated.removesuffix('.npy'))!r}, and which is "
            "meant cannot be told. Give each its own name.",
            part=part,
        )


def _broken(part: str) -> InvalidArchive:
    return InvalidArchive(
        f"{part} is an archive that cannot be read: it is damaged or incomplete. Save and send it again.", part=part
    )
