"""Files on their way to the service: opened together, streamed, and counted as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path

OnProgress = Callable[[int, int], None]
"""Is told how many bytes of the files have been handed to the connection, and how many there are."""


class CountedFile(FileIO):
    """A file that says how far it has been read."""

    def __init__(self, path: Path, on_position: Callable[[int], None]) -> None:
        super().__init__(path)
        self._on_position = on_position

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        content = super().read(-1 if size is None else size)
        self._on_position(self.tell())
        return content


def sha256_of(path: Path) -> bytes:
    """The SHA-256 of a file.  Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextmanager
def opened(paths: Mapping[str, Path | None], on_progress: OnProgress | None = None) -> Iterator[dict[str, CountedFile]]:
    """The files of the parts that have one, open until the context ends.

    Raises OSError when one of them cannot be read, before anything is sent.
    """
    read: dict[str, int] = {}
    sizes: dict[str, int] = {}

    def counter(part: str) -> Callable[[int], None]:
        def count(position: int) -> None:
            read[part] = position
            if on_progress is not None:
                on_progress(sum(read.values()), sum(sizes.values()))

        return count

    with ExitStack() as open_files:
        files = {
            part: open_files.enter_context(CountedFile(path, counter(part)))
            for part, path in paths.items()
            if path is not None
        }
        for part, file in files.items():
            try:
                sizes[part] = file.seek(0, 2)
            except OSError as error:  # a pipe, whose size nobody knows
                raise OSError(error.errno, error.strerror, str(paths[part])) from error
            file.seek(0)
        yield files
