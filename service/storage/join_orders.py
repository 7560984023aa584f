"""What passes between the process that has rows joined and the child that does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from service.analyses.dataset import Join, LabelJoin, StoredFile
from service.storage.formats.order import Refusal


@dataclass(frozen=True)
class JoinOrder:
    """What is to be joined: x, y, their ids, and what is beside them; or labels, and the ids of a dataset."""

    folder: Path
    suffix: str
    id_column: str
    paths: dict[str, Path]
    files: dict[str, StoredFile]
    memory_bytes: int
    time_s: int


@dataclass(frozen=True)
class JoinAnswer:
    """The files that were made, by their parts, and what became of the rows; or why it was refused."""

    made: dict[str, StoredFile] = field(default_factory=dict)
    join: Join | None = None
    label_join: LabelJoin | None = None
    refusal: Refusal | None = None


ORDER = TypeAdapter(JoinOrder)
ANSWER = TypeAdapter(JoinAnswer)


def too_costly(part: str) -> str:
    """What is said of ids that need more memory or time than there is for them."""
    return (
        f"Matching the ids of {part} takes more memory or time than the service gives. Use shorter ids or whole "
        "numbers, or sort all parts alike and send them without ids."
    )
