"""From the probabilities of the eight cells to verdicts, regimes and their probabilities."""

from __future__ import annotations

from service.estimation.moments import Array
from service.estimation.separation_records import RecoveryProbability, RegimeProbabilities, RegimeShares
from service.estimation.terms import Regime, Verdict

SURE = 0.8  # probability from which a statement is made; below 1 - SURE its opposite is


def verdict(probability: float) -> Verdict:
    """What the probability of recovery says: undetermined strictly between 0.2 and 0.8."""
    if probability >= SURE:
        return Verdict.RECOVERS
    return Verdict.DOES_NOT_RECOVER if probability <= 1 - SURE else Verdict.UNDETERMINED


def recovery_probability(cells: Array) -> RecoveryProbability:
    """Probability that each ratio exceeds 1, from those of the cells (2, 2, 2) of (ca, cp_x_to_y, cp_y_to_x)."""
    return RecoveryProbability(
        ca=float(cells[1].sum()), cp_x_to_y=float(cells[:, 1].sum()), cp_y_to_x=float(cells[:, :, 1].sum())
    )


def regime_probabilities(cells: Array) -> RegimeProbabilities:
    """Probability of each regime of both directions, from those of the cells (2, 2, 2)."""
    return RegimeProbabilities(x_to_y=_shares(cells.sum(axis=2)), y_to_x=_shares(cells.sum(axis=1)))


def most_probable(shares: RegimeShares) -> Regime:
    """The regime of greatest probability; the more cautious one on a tie."""
    cautious = (Regime.NEITHER, Regime.CP_ONLY, Regime.CA_ONLY, Regime.BOTH)
    return max(cautious, key=lambda regime: probability_of(shares, regime))


def probability_of(shares: RegimeShares, regime: Regime) -> float:
    """The probability of `regime`."""
    return float(getattr(shares, regime.value))


def _shares(table: Array) -> RegimeShares:
    return RegimeShares(
        both=float(table[1, 1]), ca_only=float(table[1, 0]), cp_only=float(table[0, 1]), neither=float(table[0, 0])
    )
