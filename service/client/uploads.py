"""What goes up in one call: the parts, opened together, read as binary streams, and counted as they are sent."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Any, Self

from service.analyses.dataset import TypesAsSaid
from service.client.sources import Source, Stream, opened_source
from service.estimation.labels import LabelType
from service.schemas.options import SubmittedOptions

OnProgress = Callable[[int, int], None]
"""Is told how many bytes of the parts have been handed to the connection, and how many there are."""


class Upload:
    """The parts of one call.  Close it at the end.

    A part can be read again from its start, as often as the call is made.
    """

    def __init__(
        self, sources: Mapping[str, Source | None], on_progress: OnProgress | None = None, id_column: str | None = None
    ) -> None:
        """Arguments: sources by part, None for one that is not sent; id_column, the column of frames that holds the
        ids of their rows.

        Raises OSError when one of them cannot be read, UnsupportedSource, both before anything is sent.
        """
        self._open = ExitStack()
        self._on_progress = on_progress
        self._told = -1
        self.streams: dict[str, Stream] = {}
        self.types: dict[str, dict[str, LabelType]] = {}
        """Types of columns by part, where what was given knows more than its values say."""
        try:
            for part, source in sources.items():
                if source is None:
                    continue
                opened = opened_source(part, source, id_column)
                self.streams[part] = self._open.enter_context(closing(opened.stream))
                self.types[part] = dict(opened.types)
            self._total_bytes = sum(_size_bytes(stream) for stream in self.streams.values())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened; a caller's own file stays open."""
        self._open.close()

    def types_of(self, part: str, said: TypesAsSaid) -> TypesAsSaid:
        """The types of a part's columns: those that were said, and what is known of the others."""
        if isinstance(said, str):
            return said
        return {**self.types.get(part, {}), **(said or {})} or None

    def options(self, options: SubmittedOptions | Mapping[str, Any]) -> dict[str, Any]:
        """The options as they are sent, with what is known of the columns' types."""
        said = dict(options) if isinstance(options, Mapping) else asdict(options)
        for part, name in (("labels", "label_types"), ("covariates", "covariate_types")):
            types = self.types_of(part, said.get(name))
            if types is not None:
                said[name] = types
        return said

    def rewind(self) -> None:
        """Begin again."""
        for stream in self.streams.values():
            stream.seek(0)

    def tell(self) -> None:
        """Say how far the parts have been read, if that has changed."""
        read_bytes = sum(stream.tell() for stream in self.streams.values())
        if self._on_progress is not None and read_bytes != self._told:
            self._told = read_bytes
            self._on_progress(read_bytes, self._total_bytes)

    def sha256(self, part: str) -> bytes:
        """The SHA-256 of a part, which is read for it."""
        stream = self.streams[part]
        stream.seek(0)
        digest = hashlib.sha256()
        for chunk in _chunks(stream):
            digest.update(chunk)
        stream.seek(0)
        return digest.digest()


def _size_bytes(stream: Stream) -> int:
    size_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size_bytes


def _chunks(stream: Stream) -> Iterator[bytes]:
    while chunk := stream.read(1 << 20):
        yield chunk
