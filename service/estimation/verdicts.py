"""From the probabilities of the eight cells to verdicts, regimes and their probabilities."""

from __future__ import annotations

from service.estimation.moments import Array
from service.estimation.separation_records import RecoveryProbability, RegimeProbabilities, RegimeShares
from service.estimation.terms import Direction, Regime, Verdict

SURE, SURELY_NOT = 0.8, 0.2  # probability from which a statement is made, and up to which its opposite is
LIKELY_RECOVERY = 0.5  # probability of recovery from which a way of prediction is worth comparing


def verdict(probability: float) -> Verdict:
    """What the probability of recovery says: undetermined strictly between 0.2 and 0.8."""
    if probability >= SURE:
        return Verdict.RECOVERS
    return Verdict.DOES_NOT_RECOVER if probability <= SURELY_NOT else Verdict.UNDETERMINED


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


def better_direction(recovery: RecoveryProbability, forward: float) -> tuple[Direction, float] | None:
    """The way of the larger ratio among those that probably recover the signal; None when neither does.

    Where one way surely recovers it and the other does not, it is the way.

    Arguments: forward, probability that the ratio of x_to_y is the larger.
    Returns: the way and the probability that its ratio is the larger, below 0.5 where only the other way's may be.
    """
    ways = [
        (probability, way)
        for way, recovers, probability in (
            (Direction.X_TO_Y, recovery.cp_x_to_y, forward),
            (Direction.Y_TO_X, recovery.cp_y_to_x, 1 - forward),
        )
        if recovers >= LIKELY_RECOVERY
    ]
    sure = [
        way
        for way, recovers in ((Direction.X_TO_Y, recovery.cp_x_to_y), (Direction.Y_TO_X, recovery.cp_y_to_x))
        if recovers >= SURE
    ]
    if len(sure) == 1:
        ways = [entry for entry in ways if entry[1] in sure]
    if not ways:
        return None
    probability, way = max(ways, key=lambda entry: entry[0])
    return way, probability


def probability_of(shares: RegimeShares, regime: Regime) -> float:
    """The probability of `regime`."""
    return float(getattr(shares, regime.value))


def _shares(table: Array) -> RegimeShares:
    return RegimeShares(
        both=float(table[1, 1]), ca_only=float(table[1, 0]), cp_only=float(table[0, 1]), neither=float(table[0, 0])
    )
