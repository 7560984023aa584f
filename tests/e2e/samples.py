"""Small uploads whose answer the core gives too."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


@dataclass
class Sample:
    """x (n, 6), y (n, 8) with two shared coordinates; two label columns for m rows."""

    seed: int = 0
    n: int = 120
    m: int = 60
    x: np.ndarray = field(init=False)
    y: np.ndarray = field(init=False)
    rows: np.ndarray = field(init=False)
    kind: np.ndarray = field(init=False)
    score: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        shared = rng.standard_normal((self.n, 2))
        self.x = (shared @ rng.standard_normal((2, 6)) + rng.standard_normal((self.n, 6))).astype(np.float32)
        self.y = shared @ rng.standard_normal((2, 8)) + rng.standard_normal((self.n, 8))
        self.rows = np.sort(rng.choice(self.n, self.m, replace=False))
        self.kind = np.where(shared[self.rows, 0] > 0, "above", "below")
        self.score = np.round(shared[self.rows, 1] + 0.1 * rng.standard_normal(self.m), 6)

    def labels_csv(self) -> bytes:
        lines = [f"{kind},{float(score)!r}" for kind, score in zip(self.kind, self.score, strict=True)]
        return ("kind,score\n" + "\n".join(lines) + "\n").encode()

    def files(self, **changed: Any) -> dict[str, Any]:
        """Multipart files; a part changed to None is left out."""
        parts = {
            "x": npy(self.x),
            "y": npy(self.y),
            "labels": self.labels_csv(),
            "rows": npy(self.rows),
            **changed,
        }
        return {part: (part, content) for part, content in parts.items() if content is not None}
