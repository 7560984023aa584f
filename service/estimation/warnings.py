"""What is accepted but should be known: each function gives the warnings that its part of the evidence calls for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.inputs import MIN_LABELED_ROWS, ValueSummary, is_sparse
from service.estimation.labels import LabelColumn, LabelType, class_counts, present_values, varies
from service.estimation.moments import Array
from service.estimation.reference import FOLDS, RIDGE
from service.estimation.report_warning import ReportWarning
from service.estimation.separation_records import Separations
from service.estimation.spectrum_records import Rules
from service.estimation.terms import Rule

NEAR_BOUNDARY = 0.1  # |log ratio| below which a ratio is called near 1
RIDGE_SHARE = 0.01  # share of a modality's mean variance above which the ridge is worth a warning
SMALL_CLASS = 10  # rows below which a class is small whatever the other classes
UNEVEN = 0.2  # share of an even class size below which a class is small
FEW_LABELS = 50
SHOWN = 10  # columns or names listed before the rest is counted


def rules_disagree(rules: Rules, rule: Rule) -> Iterator[ReportWarning]:
    """The regime hangs on the choice of classification rule."""
    regimes = {name: getattr(rules, name).regimes for name in Rule}
    if len(set(regimes.values())) > 1:
        said = "; ".join(f"{name}: {r.x_to_y} (x_to_y), {r.y_to_x} (y_to_x)" for name, r in regimes.items())
        yield ReportWarning(
            "rules_disagree",
            f"The published classification rules disagree on the regime ({said}); this report follows {rule}. "
            "Do not stop or start a training run on this answer alone.",
        )


def near_boundary(separations: Separations) -> Iterator[ReportWarning]:
    """A ratio so close to 1 that other samples may put it on the other side."""
    ratios = {"ca": separations.ca, "cp_x_to_y": separations.cp_x_to_y, "cp_y_to_x": separations.cp_y_to_x}
    near = [f"{name} {s.ratio:.3g}" for name, s in ratios.items() if s.ratio and abs(np.log(s.ratio)) < NEAR_BOUNDARY]
    if near:
        yield ReportWarning(
            "near_boundary",
            f"Ratios within 10 % of 1 may fall on either side with other samples: {', '.join(near)}. "
            "The published procedure gives no interval: label more rows before relying on them.",
        )


def few_pairs(
    n_used: int, n_features: tuple[int, int], advice: str = "Label more pairs or send fewer features."
) -> Iterator[ReportWarning]:
    """A modality has at least as many features as pairs are used: its covariance is singular."""
    wide = [f"{part} has {d}" for part, d in zip(("x", "y"), n_features, strict=True) if d >= n_used]
    if wide:
        yield ReportWarning(
            "fewer_pairs_than_features",
            f"{n_used} pairs were used and {' and '.join(wide)} features: not every direction of the features can be "
            f"told from noise. {advice}",
        )


def saturated_correlations(
    n_used: int, ranks: tuple[int, int], n_features: tuple[int, int], pca_components: int
) -> Iterator[ReportWarning]:
    """So few pairs for so many principal components that a canonical correlation is 1 whatever the data."""
    if sum(ranks) >= n_used:
        enough = sum(min(d, pca_components) for d in n_features)
        yield ReportWarning(
            "saturated_correlations",
            f"{n_used} pairs were used for {ranks[0]} principal components of x and {ranks[1]} of y. With so few pairs "
            "the leading canonical correlations are 1 whatever the data, and the ratio of alignment means nothing: "
            f"label more than {enough} pairs, better several times as many, or lower pca_components.",
        )


def rare_classes(columns: Sequence[LabelColumn]) -> Iterator[ReportWarning]:
    """Classes that cannot be in every fold of the cross-validation."""
    for column in columns:
        if column.type is not LabelType.CATEGORICAL:
            continue
        rare = [repr(name) for name, count in class_counts(column).items() if count < FOLDS]
        if rare:
            yield ReportWarning(
                "rare_classes",
                f"Classes of {column.name!r} with fewer than {FOLDS} labeled rows: {listed(rare)}. Their R^2 rests on "
                "so few rows that it may be far off either way: label more of them, or use coarser classes.",
            )


def class_imbalance(columns: Sequence[LabelColumn]) -> Iterator[ReportWarning]:
    """Classes in every fold, one of them so small that it decides nothing, or whatever a few rows make it decide."""
    for column in columns:
        if column.type is not LabelType.CATEGORICAL:
            continue
        counts = class_counts(column)
        if len(counts) < 2:
            continue
        name, smallest = min(counts.items(), key=lambda entry: entry[1])
        n_rows = sum(counts.values())
        if smallest >= FOLDS and (smallest < SMALL_CLASS or smallest < UNEVEN * n_rows / len(counts)):
            yield ReportWarning(
                "class_imbalance",
                f"The smallest of {len(counts)} classes of {column.name!r} is {name!r}, with {smallest} of {n_rows} "
                f"labeled rows ({100 * smallest / n_rows:.2g} %). What tells it apart rests on those rows and can be "
                "missed: label more of them, if need be at the cost of the large classes.",
            )


def few_labels(columns: Sequence[LabelColumn]) -> Iterator[ReportWarning]:
    """Label columns that so few rows have that components can hardly be told to be signal or nuisance."""
    sizes = {column.name: len(present_values(column)) for column in columns}
    few = [f"{name!r} ({size})" for name, size in sizes.items() if size < FEW_LABELS]
    if few:
        yield ReportWarning(
            "few_labels",
            f"Label columns with fewer than {FEW_LABELS} values, here with how many each has: {listed(few)}. Weak "
            "signal in them is hardly told from chance: label more rows with them.",
        )


def small_scale(part: str, labeled: Array) -> Iterator[ReportWarning]:
    """The ridge of the published procedure is no longer small beside the features' variance."""
    variance = float(labeled.var(axis=0).mean())
    if RIDGE_SHARE * variance < RIDGE:
        yield ReportWarning(
            "small_scale",
            f"The mean variance of {part}'s columns is {variance:.2g}; the published procedure adds {RIDGE:g} to "
            f"every variance, which distorts features this small: multiply {part} by a constant.",
        )


def duplicate_rows(x: ValueSummary, y: ValueSummary) -> Iterator[ReportWarning]:
    """Pairs that repeat an earlier pair exactly in both modalities."""
    pairs = np.empty(len(x.row_hashes), dtype=[("x", np.int64), ("y", np.int64)])
    pairs["x"], pairs["y"] = x.row_hashes, y.row_hashes
    _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
    original = first[inverse]
    repeats = np.flatnonzero(original != np.arange(len(pairs)))
    if len(repeats):
        yield ReportWarning(
            "duplicate_rows",
            f"{len(repeats)} pairs repeat an earlier pair exactly; the first is row {repeats[0]}, which repeats row "
            f"{original[repeats[0]]}. Labeled, they stand on both sides of the cross-validation and flatter R^2: "
            "send each pair once.",
        )


def unlabeled_pairs_unused(n_labeled: int, n_pairs: int) -> Iterator[ReportWarning]:
    """The published procedure leaves unlabeled pairs out of the spectra."""
    if n_labeled < n_pairs:
        yield ReportWarning(
            "unlabeled_pairs_unused",
            f"The published procedure looks at labeled pairs only: {n_pairs - n_labeled} of {n_pairs} pairs did not "
            "enter the spectra.",
        )


def constant_columns(part: str, summary: ValueSummary, n_features: int) -> Iterator[ReportWarning]:
    """Feature columns that do not vary."""
    constant = summary.constant_columns
    if len(constant):
        yield ReportWarning(
            "constant_feature_columns",
            f"{len(constant)} of {n_features} columns of {part} do not vary and carry nothing: "
            f"{listed(constant)} (counted from 0).",
        )


def constant_labels(columns: Sequence[LabelColumn]) -> Iterator[ReportWarning]:
    """Label columns that do not vary, which the estimate leaves out."""
    dropped = [repr(column.name) for column in columns if not is_sparse(column) and not varies(column)]
    if dropped:
        yield ReportWarning(
            "constant_label_columns", f"Label columns that do not vary were dropped: {listed(dropped)}."
        )


def sparse_labels(columns: Sequence[LabelColumn]) -> Iterator[ReportWarning]:
    """Label columns that too few rows have, which the estimate leaves out."""
    dropped = [f"{column.name!r} ({len(present_values(column))})" for column in columns if is_sparse(column)]
    if dropped:
        yield ReportWarning(
            "sparse_label_columns",
            f"Label columns with fewer than {MIN_LABELED_ROWS} values were dropped, here with how many each has: "
            f"{listed(dropped)}. Label more rows with them.",
        )


def groups_unused(groups: NDArray[Any] | None) -> Iterator[ReportWarning]:
    """The published procedure knows no groups."""
    if groups is not None:
        yield ReportWarning(
            "groups_unused",
            "The published procedure knows no groups: pairs of one group stand on both sides of its cross-validation, "
            "which flatters R^2. Use method calibrated.",
        )


def covariates_unused(covariates: Sequence[LabelColumn]) -> Iterator[ReportWarning]:
    """The published procedure knows no covariates."""
    if covariates:
        yield ReportWarning(
            "covariates_unused",
            "The published procedure knows no covariates: what they explain is still in the features and in this "
            "report. Use method calibrated.",
        )


def listed(items: Iterable[object]) -> str:
    """The first items, and how many more there are."""
    shown = [str(item) for item in items]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more
