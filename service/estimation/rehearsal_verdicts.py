"""What a rehearsal says in short: the best modality, the best cross-modal encoder, and where it contradicts the ratios.

Labels of different metrics are compared by their lift, (score - chance) / (1 - chance): 0 at chance, 1 when perfect.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from service.estimation.rehearsal_records import Rehearsal, RehearsalRow
from service.estimation.terms import Encoder, Modality

SPARE = 2.0  # standard errors that a statement about a score must have to spare
RETAINED = 0.9  # share of the better single modality's lift over chance that an encoder has to retain
ALIGNMENT = (Encoder.CA_X, Encoder.CA_Y, Encoder.CA_BOTH)
CROSS_MODAL = (*ALIGNMENT, Encoder.CP_X_TO_Y, Encoder.CP_Y_TO_X)


@dataclass(frozen=True)
class Candidate:
    """An encoder with its lift and standard error, both averaged over labels.

    Averaging the errors bounds that of the mean from above: labels of the same rows may err together.
    """

    encoder: Encoder
    embedding_dim: int | None
    lift: float
    lift_se: float

    @property
    def beats_chance(self) -> bool:
        """Whether the lift is more than one standard error above chance."""
        return self.lift > self.lift_se


def best_modality(rehearsal: Rehearsal) -> Modality | None:
    """The single modality of the larger mean lift, x on a tie; None when that does not beat chance."""
    best = _best(rehearsal, (Encoder.X, Encoder.Y))
    return None if best is None else Modality(best.encoder)


def best_cross_modal(rehearsal: Rehearsal) -> Candidate | None:
    """The cross-modal encoder, with its dimension, of the largest mean lift; None when that does not beat chance."""
    return _best(rehearsal, CROSS_MODAL)


def beats_modalities(rehearsal: Rehearsal) -> Candidate | None:
    """The best cross-modal encoder, if it beats the better single modality by two standard errors; else None.

    Differences and their errors are averaged over labels, each over 1 - chance.
    """
    best = best_cross_modal(rehearsal)
    if best is None:
        return None
    same = [row for row in rehearsal.rows if (row.encoder, row.embedding_dim) == (best.encoder, best.embedding_dim)]
    spare = sum((row.difference - SPARE * row.difference_se) / (1 - row.chance) for row in same)
    return best if spare > 0 else None


def contradictions(
    rehearsal: Rehearsal, embedding_dim: int, ca: bool | None, cp_x_to_y: bool | None, cp_y_to_x: bool | None
) -> tuple[str, ...]:
    """One sentence for every objective whose ratio says other than the rehearsal.

    An encoder keeps a label if its difference to the better single modality is above -(1 - 0.9) of that modality's
    lift over chance by two standard errors, and loses it if it is below by two; between them the label says nothing.
    An objective that is said to recover the signal is contradicted when its encoder loses more than half of the labels,
    one that is said not to recover it when its encoder keeps more than half.  Only labels that the better single
    modality predicts by two standard errors above chance can be kept; only labels on which the source of a
    prediction is the better single modality can be lost to it, since its ratio speaks of the source's signal.  Of
    alignment's encoders (x, y, both) the best on each label counts.

    Arguments:
        embedding_dim: where to look: the number of signal components, which is what the ratios speak of (a larger
            embedding may keep the signal among the nuisance).  Where it was not rehearsed, the nearest below serves.
        ca, cp_x_to_y, cp_y_to_x: whether the ratio says that the objective recovers the signal; None for no claim.

    Returns: the sentences, none where nothing speaks against the ratios; that is no confirmation of them.
    """
    claims = (
        ("alignment", ALIGNMENT, (Encoder.X, Encoder.Y), ca),
        ("prediction of y from x", (Encoder.CP_X_TO_Y,), (Encoder.X,), cp_x_to_y),
        ("prediction of x from y", (Encoder.CP_Y_TO_X,), (Encoder.Y,), cp_y_to_x),
    )
    found = []
    for name, encoders, sources, recovers in claims:
        dims = {row.embedding_dim or 0 for row in rehearsal.rows if row.encoder in encoders}
        nearest = max((dim for dim in dims if dim <= embedding_dim), default=None)
        if recovers is None or nearest is None:
            continue
        labels = _by_label(rehearsal)
        against = 0
        for rows in labels:
            single = next(row for row in rows if row.encoder in (Encoder.X, Encoder.Y) and row.difference == 0)
            own = [row for row in rows if row.encoder in encoders and row.embedding_dim == nearest]
            best = max(own, key=lambda row: row.score)
            against += _loses(best, single) and single.encoder in sources if recovers else _keeps(best, single)
        if 2 * against > len(labels):
            found.append(_sentence(name, recovers, nearest, f"{against} of {len(labels)} labels"))
    return tuple(found)


def _keeps(best: RehearsalRow, single: RehearsalRow) -> bool:
    lift = single.score - single.chance
    known = lift > SPARE * single.standard_error
    return known and best.difference - SPARE * best.difference_se >= (RETAINED - 1) * lift


def _loses(best: RehearsalRow, single: RehearsalRow) -> bool:
    lift = max(single.score - single.chance, 0.0)
    return best.difference + SPARE * best.difference_se < (RETAINED - 1) * lift


def _sentence(objective: str, recovers: bool, embedding_dim: int, labels: str) -> str:
    if recovers:
        return (
            f"The ratio of {objective} says that it recovers the signal, but its linear encoder of dimension "
            f"{embedding_dim} keeps less than {RETAINED:.0%} of the better single modality's lift over chance on "
            f"{labels}. Train that modality alone as a baseline before you trust the ratio."
        )
    return (
        f"The ratio of {objective} says that it does not recover the signal, but its linear encoder of dimension "
        f"{embedding_dim} keeps at least {RETAINED:.0%} of the better single modality's lift over chance on {labels}. "
        "These labels may need less than the whole signal: do not rule the objective out on its ratio alone."
    )


def _best(rehearsal: Rehearsal, encoders: tuple[Encoder, ...]) -> Candidate | None:
    labels = _by_label(rehearsal)
    candidates = [
        _candidate(same)
        for same in zip(*labels, strict=True)  # the same encoders stand in the same order under every label
        if same[0].encoder in encoders
    ]
    best = max(candidates, key=lambda candidate: candidate.lift, default=None)
    return best if best is not None and best.beats_chance else None


def _candidate(same: tuple[RehearsalRow, ...]) -> Candidate:
    lifts = [(row.score - row.chance) / (1 - row.chance) for row in same]
    errors = [row.standard_error / (1 - row.chance) for row in same]
    return Candidate(same[0].encoder, same[0].embedding_dim, sum(lifts) / len(same), sum(errors) / len(same))


def _by_label(rehearsal: Rehearsal) -> list[tuple[RehearsalRow, ...]]:
    return [tuple(rows) for _, rows in groupby(rehearsal.rows, key=lambda row: row.label)]
