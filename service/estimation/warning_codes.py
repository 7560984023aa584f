"""The codes of all warnings that a report may carry, and which of them are serious."""

from __future__ import annotations

# Most serious first.  The answer is wrong with the first group, weaker than it looks with the rest.
SERIOUS = (
    "pairing_not_better_than_shuffled",  # found with the evidence, not by a preflight: `preflight` takes it from beside
    "labels_linear_in_one_modality",
    "copied_columns",
    "near_copy",
    "repeated_rows_need_groups",
)
LESS_SERIOUS = (
    "labels_not_associated",  # and the next four: found with the estimate
    "rehearsal_contradicts",
    "no_nuisance",
    "signal_hardly_shared",
    "one_label_target",
    "duplicate_rows",
    "heavy_tails",
    "unequal_scales",
    "missing_values",
    "fewer_pairs_than_features",
    "few_labels",
    "rare_classes",
    "class_imbalance",
    "collinear_columns",
    "constant_feature_columns",
    "constant_label_columns",
    "sparse_label_columns",
)
ORDER = {code: place for place, code in enumerate((*SERIOUS, *LESS_SERIOUS))}

OF_REFERENCE = (
    "rules_disagree",
    "near_boundary",
    "saturated_correlations",
    "small_scale",
    "unlabeled_pairs_unused",
    "groups_unused",
    "covariates_unused",
)
"""Those that method reference alone gives."""

KNOWN = frozenset((*ORDER, *OF_REFERENCE))
