"""The rules on the rehearsal: what the linear encoder of a way to train scores, and what it loses.

A score is held against its bound with one standard error to spare, either way; nearer than that it is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.estimation.rehearsal_records import Rehearsal, RehearsalRow
from service.estimation.report import Report
from service.gating.candidates import Candidate
from service.gating.finding import Finding, exact, shown
from service.gating.policy import LossRule, ScoreRule
from service.gating.rules import USE_CALIBRATED


@dataclass(frozen=True)
class Looked:
    """The row of one label that a rule is held against, or why there is none."""

    label: str | None
    row: RehearsalRow | None
    note: str
    """With a row: what a reader should know of its dimension.  Without: why there is none."""
    advice: str = ""


def rehearsed_score(report: Report, candidate: Candidate, rule: ScoreRule) -> Iterator[tuple[str, Finding]]:
    """For each label: holds from `min` on, for the score less its standard error; does not hold where the score with
    its standard error stays below.
    """
    required = f">= {exact(rule.min)}"

    def held(looked: RehearsalRow, what: str) -> Finding:
        score, error = looked.score, looked.standard_error
        numbers = (
            f"({looked.metric} {shown(score, rule.min)} with a standard error of {error:.2g}, at least "
            f"{exact(rule.min)} is required)"
        )
        if score - error >= rule.min:
            return Finding(True, score, required, f"{what} scores high enough {numbers}")
        if score + error < rule.min:
            advice = "Send features that carry more of this label, or plan something else."
            return Finding(False, score, required, f"{what} scores too low {numbers}", advice)
        reason = f"{what} scores too near to the bound to tell {numbers}"
        return Finding(None, score, required, reason, "Label more rows.")

    return _over_labels("rehearsed_score", report, candidate, rule.label, required, held)


def single_modality_loss(report: Report, candidate: Candidate, rule: LossRule) -> Iterator[tuple[str, Finding]]:
    """For each label: holds up to `max`, for the loss with its standard error; does not hold where the loss less its
    standard error is above.  The loss is the score of the better single modality on the label less the encoder's.
    """
    required = f"<= {exact(rule.max)}"

    def held(looked: RehearsalRow, what: str) -> Finding:
        loss, error = 0.0 - looked.difference, looked.difference_se  # never -0.0
        numbers = (
            f"(loss {shown(loss, rule.max)} of {looked.metric} with a standard error of {error:.2g}, at most "
            f"{exact(rule.max)} is allowed)"
        )
        if loss + error <= rule.max:
            return Finding(True, loss, required, f"{what} keeps up with the better single modality {numbers}")
        if loss - error > rule.max:
            advice = "Train that modality alone as a baseline before you trust the run."
            return Finding(False, loss, required, f"{what} stays behind the better single modality {numbers}", advice)
        reason = f"whether {what} keeps up with the better single modality is too close to tell {numbers}"
        return Finding(None, loss, required, reason, "Label more rows.")

    return _over_labels("single_modality_loss", report, candidate, rule.label, required, held)


def _over_labels(
    rule: str,
    report: Report,
    candidate: Candidate,
    label: str | None,
    required: str,
    held: Callable[[RehearsalRow, str], Finding],
) -> Iterator[tuple[str, Finding]]:
    for looked in _look(report, candidate, label):
        name = rule if looked.label is None else f"{rule}[{looked.label}]"
        if looked.row is None:
            yield name, Finding(None, None, required, looked.note, looked.advice, is_answerable=False)
            continue
        what = f"on {looked.label!r} the linear encoder {looked.row.encoder} of dimension {looked.row.embedding_dim}"
        finding = held(looked.row, what)
        advice = " ".join(sentence for sentence in (looked.note, finding.advice) if sentence)
        yield name, Finding(finding.held, finding.observed, required, finding.reason, advice)


def _look(report: Report, candidate: Candidate, label: str | None) -> Iterator[Looked]:
    rehearsal = report.rehearsal
    if rehearsal is None:
        yield Looked(label, None, "method reference rehearses nothing, so that there is no score", USE_CALIBRATED)
        return
    scored = list(dict.fromkeys(row.label for row in rehearsal.rows))
    if label is not None and label not in scored:
        yield _not_scored(rehearsal, label)
        return
    if not scored:
        reasons = " ".join(f"{entry.label}: {entry.left_out}" for entry in rehearsal.labels if entry.left_out)
        yield Looked(None, None, "no label column could be scored in the rehearsal", reasons)
        return
    wanted, why = _wanted_dimension(report, candidate)
    for name in scored if label is None else (label,):
        rows = [row for row in rehearsal.rows if row.label == name and row.encoder in candidate.encoders]
        dims = sorted({row.embedding_dim or 0 for row in rows})
        dim = _rehearsed_as(wanted, dims, _asked_dimensions(report))
        if dim is None:
            yield Looked(
                name,
                None,
                f"dimension {wanted} ({why}) was not rehearsed for {candidate.name}: "
                f"{' and '.join(map(str, dims)) or 'none'} {'were' if len(dims) > 1 else 'was'}",
                f"Analyse the data again with option embedding_dim {wanted}.",
            )
            continue
        # On a tie the first, as the rehearsal's own verdicts have it.
        best = max((row for row in rows if row.embedding_dim == dim), key=lambda row: row.score)
        note = "" if dim == wanted else f"Dimension {wanted} ({why}) is more than these data have: {dim} is all."
        yield Looked(name, best, note)


def _not_scored(rehearsal: Rehearsal, label: str) -> Looked:
    left_out = next((entry.left_out for entry in rehearsal.labels if entry.label == label), None)
    why = left_out or "It does not vary, or too few rows have it: send more of it, or name another label."
    return Looked(label, None, f"label {label!r} could not be scored in the rehearsal", why)


def _wanted_dimension(report: Report, candidate: Candidate) -> tuple[int, str]:
    """The planned dimension, or the number of signal components, of which the ratios speak."""
    planned = candidate.plan.embedding_dim
    if planned is not None:
        return planned, "which is planned"
    return _signal_count(report), "the number of signal components"


def _asked_dimensions(report: Report) -> set[int]:
    """The dimensions that a rehearsal was asked for; it lowers those that the data do not have."""
    option = report.provenance.options.embedding_dim
    return {_signal_count(report)} | (set() if option is None else {option})


def _signal_count(report: Report) -> int:
    return max(1, report.separation.ca.signal_count)


def _rehearsed_as(wanted: int, dims: list[int], asked: set[int]) -> int | None:
    """The dimension under which the wanted one stands in a rehearsal; None if it is not there.

    Where one that was asked for was lowered to the largest that the data have, every larger one would have been.
    """
    if wanted in dims:
        return wanted
    largest = max(dims, default=None)
    lowered = largest is not None and max(asked) > largest
    return largest if lowered and largest is not None and wanted > largest else None
