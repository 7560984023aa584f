"""Warnings that only the calibrated estimate can give."""

from __future__ import annotations

from collections.abc import Iterator

from service.estimation.calibrated import CalibratedEstimate
from service.estimation.evidence import pairing_not_better_than_shuffled
from service.estimation.extrapolation import OBJECTIVES
from service.estimation.rehearsal_records import Rehearsal
from service.estimation.rehearsal_verdicts import contradictions
from service.estimation.report import Evidence
from service.estimation.report_warning import ReportWarning
from service.estimation.separation_records import Separation, Separations
from service.estimation.terms import RatioStatus, Verdict

HARDLY_SHARED = 0.2  # canonical correlation of a signal component below which it is hardly shared


def calibrated_warnings(
    found: CalibratedEstimate,
    evidence: Evidence,
    separations: Separations,
    rehearsal: Rehearsal,
    alpha: float,
) -> Iterator[ReportWarning]:
    """What the evidence, the number of label targets, the weakest signal and the rehearsal call for.

    `alpha` is the level of the tests.
    """
    yield from pairing_not_better_than_shuffled(found.coupling, alpha)
    if evidence.labels_p_value > alpha >= evidence.coupling_p_value:
        yield ReportWarning(
            "labels_not_associated",
            f"The labels do not go with anything that x and y share (p = {evidence.labels_p_value_x:.2g} in x, "
            f"{evidence.labels_p_value_y:.2g} in y; both must be at most {alpha:g}): no signal is claimed. Check that "
            "labels and rows belong together; if they do, label more rows, or choose labels of what both modalities "
            "see.",
        )
    yield from _hardly_shared(separations.ca)
    if separations.ca.status is RatioStatus.NO_NUISANCE:
        yield ReportWarning(
            "no_nuisance",
            f"All {separations.ca.signal_count} components that x and y have in common count as signal, so nothing is "
            "left that an objective could learn instead, and every ratio is unbounded. With so few components the "
            "answer says little: send more features, or keep more principal components.",
        )
    if found.circumstances.one_target and found.claimed:
        yield ReportWarning(
            "one_label_target",
            "A single numeric or two-class label shows one direction of the signal and no more: further signal "
            "components are told from nuisance by their strength alone. Send one label column for every factor that "
            "must survive.",
        )
    said = {Verdict.RECOVERS: True, Verdict.DOES_NOT_RECOVER: False, Verdict.UNDETERMINED: None}
    claims = [said[getattr(separations, name).verdict] for name in OBJECTIVES]
    for sentence in contradictions(rehearsal, max(1, separations.ca.signal_count), *claims):
        yield ReportWarning("rehearsal_contradicts", sentence)


def _hardly_shared(ca: Separation) -> Iterator[ReportWarning]:
    if ca.signal_floor is not None and ca.signal_floor < HARDLY_SHARED:
        yield ReportWarning(
            "signal_hardly_shared",
            f"The weakest of {ca.signal_count} signal components is coupled at only {ca.signal_floor:.2g}: the labels "
            "depend on something that one modality hardly sees, which no cross-modal objective can recover. Alignment "
            f"recovers {ca.recovered_count} of them; if these are enough for you, choose labels that depend on them "
            "alone.",
        )
