"""What passes between the process that has a file converted and the child that does it: JSON, one object each way."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from service.analyses.dataset import FileFormat, Understood


@dataclass(frozen=True)
class Order:
    """What is to be converted, to what, and within which limits.  Paths are absolute."""

    part: str
    format: FileFormat
    source: str
    target: str
    ids: str
    id_column: str
    max_bytes: int
    memory_bytes: int
    time_s: int

    def written(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Order:
        """From JSON."""
        fields: dict[str, Any] = json.loads(text)
        return Order(**{**fields, "format": FileFormat(fields["format"])})


@dataclass(frozen=True)
class Refusal:
    """Code and sentence of an UploadError, and what a library said, for the log."""

    code: str
    message: str
    cause: str = ""
    part: str | None = None
    """Which part is at fault, where several are worked on."""


@dataclass(frozen=True)
class Answer:
    """What was made of the file, or why it was refused."""

    understood: Understood | None = None
    refusal: Refusal | None = None

    def written(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: bytes) -> Answer:
        """From JSON.  Raises ValueError, KeyError, TypeError for anything else."""
        fields: dict[str, Any] = json.loads(text)
        if fields["refusal"] is not None:
            return Answer(refusal=Refusal(**fields["refusal"]))
        found = fields["understood"]
        return Answer(
            Understood(
                **{
                    **found,
                    "format": FileFormat(found["format"]),
                    "taken": tuple(found["taken"]),
                    "left_out": tuple(found["left_out"]),
                }
            )
        )
