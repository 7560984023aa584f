"""The closed vocabularies of a report and of the options: one word per idea, the same in code and on the wire."""

from __future__ import annotations

from enum import StrEnum


class Regime(StrEnum):
    """Which objectives recover the signal."""

    BOTH = "both"
    CA_ONLY = "ca_only"
    CP_ONLY = "cp_only"
    NEITHER = "neither"


class Direction(StrEnum):
    """Source and target of cross-modal prediction."""

    X_TO_Y = "x_to_y"
    Y_TO_X = "y_to_x"


class Modality(StrEnum):
    """One of the two modalities."""

    X = "x"
    Y = "y"


class ComponentClass(StrEnum):
    """What a component carries."""

    SIGNAL = "signal"
    NUISANCE = "nuisance"


class Encoder(StrEnum):
    """What a rehearsal probes: raw features, or the optimal linear encoder of an objective."""

    X = "x"
    Y = "y"
    BOTH = "both"
    CA_X = "ca_x"
    CA_Y = "ca_y"
    CA_BOTH = "ca_both"
    CP_X_TO_Y = "cp_x_to_y"
    CP_Y_TO_X = "cp_y_to_x"
    PCA_X = "pca_x"
    PCA_Y = "pca_y"


class Metric(StrEnum):
    """How a probe's predictions of a label column are scored."""

    R2 = "r2"
    BALANCED_ACCURACY = "balanced_accuracy"


class RatioStatus(StrEnum):
    """Whether a separation ratio is a number: without signal it is 0, without nuisance infinite."""

    OK = "ok"
    NO_SIGNAL = "no_signal"
    NO_NUISANCE = "no_nuisance"


class Verdict(StrEnum):
    """Whether an objective recovers the signal, or whether the data leave it open."""

    RECOVERS = "recovers"
    DOES_NOT_RECOVER = "does_not_recover"
    UNDETERMINED = "undetermined"


class PairModel(StrEnum):
    """The model of the pairs: orthogonal components in both modalities, or whatever covariances there are."""

    SPIKED = "spiked"
    GENERAL = "general"


class Objective(StrEnum):
    """What the report recommends to train."""

    ALIGNMENT = "alignment"
    PREDICTION = "prediction"
    EITHER = "either"
    UNIMODAL = "unimodal"
    UNDETERMINED = "undetermined"


class Method(StrEnum):
    """Who estimates: the calibrated estimator, or the procedure exactly as published."""

    CALIBRATED = "calibrated"
    REFERENCE = "reference"


class Scaling(StrEnum):
    """What is done to the columns of a modality before anything else: nothing, or centre and divide by their spread."""

    NONE = "none"
    STANDARDIZE = "standardize"


class Missing(StrEnum):
    """What is done about missing feature values: refuse them, leave their pairs out, or put the column's mean there."""

    REFUSE = "refuse"
    DROP_ROWS = "drop_rows"
    MEAN = "mean"


class Rule(StrEnum):
    """The published rules for which components are signal."""

    ELBOW = "elbow"
    ELBOW_LOG = "elbow_log"
    PERMUTATION = "permutation"
