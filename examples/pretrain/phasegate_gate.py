"""May this run start?  Asked once, by the process of rank 0, and answered to all.

Ranks that are not told would wait for each other until a collective call times out; so rank 0 broadcasts what it has,
even if that is an error, and every rank starts or stops for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, distributed

from phasegate import ClientError, Phasegate

Answer = Literal["pass", "fail", "abstain", "unreachable", "error"]


@dataclass(frozen=True)
class Features:
    """What frozen encoders make of the pairs: a row for each, and labels for some of them."""

    x: Tensor
    """Features of modality x (n, dx)."""
    y: Tensor
    """Features of modality y (n, dy)."""
    labels: Tensor
    """Labels (m,) or (m, k)."""
    rows: Tensor | None = None
    """The row of each label (m,), counted from 0; None when they cover all rows."""


@dataclass(frozen=True)
class Verdict:
    """What the gate has answered."""

    answer: Answer
    """pass, fail or abstain; unreachable: no service, or not in time; error: it could not be asked, or refused."""
    reason: str
    """Why, in a sentence."""
    decision_id: str | None = None
    """Where the service keeps it."""


class RunStopped(Exception):
    """The gate does not let this run start."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"The gate says {verdict.answer}. {verdict.reason}")
        self.verdict = verdict


@dataclass(frozen=True)
class Gate:
    """What is asked, and what an answer other than pass or fail does."""

    features: Callable[[], Features]
    """Makes the features; called on rank 0 alone, before the first step."""
    policy: str = "alignment"
    """Name of a policy of the service."""
    url: str | None = None
    """Address of the service; None: PHASEGATE_URL.  A key is read from PHASEGATE_API_KEY."""
    starts_on: frozenset[Answer] = frozenset({"pass"})
    """Answers with which the run starts; add abstain, or unreachable, if it should then too.  No error starts a run."""
    timeout_s: float = 480.0
    """Longest wait for the report (seconds). The other ranks wait as long: keep it below the time-out of the process
    group, which is 600 s with NCCL unless it was set."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """To find the analysis by."""


def hold_until_answered(gate: Gate) -> Verdict:
    """Ask, on rank 0, tell all ranks, and return the verdict with which the run starts.  Raises RunStopped."""
    verdict = _told_to_all(_asked(gate) if _rank() == 0 else None)
    if verdict.answer == "error" or verdict.answer not in gate.starts_on:
        raise RunStopped(verdict)
    return verdict


def _asked(gate: Gate) -> Verdict:
    try:
        with torch.no_grad():
            seen = gate.features()
        with Phasegate(gate.url) as client:
            triage = client.triage(
                seen.x,
                seen.y,
                seen.labels,
                seen.rows,
                policy=gate.policy,
                metadata=dict(gate.metadata),
                timeout_s=gate.timeout_s,
            )
    except TimeoutError as error:
        return Verdict("unreachable", str(error))
    except ClientError as error:
        return Verdict("unreachable" if error.passes else "error", f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the other ranks must hear of it
        return Verdict("error", f"{type(error).__name__}: {error}")
    decision = triage.decision
    return Verdict(str(decision.decision), decision.summary, decision.id)


def _rank() -> int:
    return distributed.get_rank() if _is_distributed() else 0


def _told_to_all(verdict: Verdict | None) -> Verdict:
    if not _is_distributed():
        return verdict
    told = [verdict]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()
