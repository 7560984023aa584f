"""Stages of an estimation: what is being done, how far it is, how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.estimation.report import Timings

Progress = Callable[[str, float], None]


def silent(stage: str, fraction: float) -> None:
    """Tell nobody."""


class Stages:
    """Announces each stage as it begins, with the fraction of the work done by then, and keeps its duration."""

    def __init__(self, announce: Progress) -> None:
        self._announce = announce
        self._seconds: dict[str, float] = {}
        self._current: tuple[str, float] | None = None

    def begin(self, stage: str, fraction: float) -> None:
        """End the current stage and begin `stage`."""
        self._end()
        self._current = (stage, time.perf_counter())
        self._announce(stage, fraction)

    def advance(self, fraction: float) -> None:
        """Announce that the current stage is further on."""
        if self._current is not None:
            self._announce(self._current[0], fraction)

    def finish(self) -> Timings:
        """End the last stage; the durations of all."""
        self._end()
        self._announce("done", 1.0)
        return Timings(total_s=sum(self._seconds.values()), stages_s=dict(self._seconds))

    def _end(self) -> None:
        if self._current is not None:
            stage, started = self._current
            self._seconds[stage] = time.perf_counter() - started
            self._current = None
