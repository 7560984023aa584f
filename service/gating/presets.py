"""Policies that are there without anybody having stored them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from service.gating.policy import (
    SCHEMA_VERSION,
    SERIOUS,
    LossRule,
    MinimumRule,
    OnUndetermined,
    Plan,
    Planned,
    Policy,
    Requirements,
    Severity,
    WarningRule,
)

# The probability from which the report itself says that an objective recovers the signal: a preset asks for no more
# than the report would claim, and for no less.
RECOVERY_PROBABILITY = 0.8

# What the encoder of the planned objective may lose of the score (R^2, balanced accuracy) of the better single modality
# before somebody should look: about the standard error of such a score on some hundred labeled rows.  It only warns:
# the rehearsed encoders are linear, and those that will be trained need not lose what linear ones do.
SINGLE_MODALITY_LOSS = 0.05


def _preset(objective: Planned, description: str) -> Policy:
    return Policy(
        schema_version=SCHEMA_VERSION,
        planned=Plan(objective=objective),
        require=Requirements(
            recovery_probability=MinimumRule(min=RECOVERY_PROBABILITY),
            single_modality_loss=LossRule(max=SINGLE_MODALITY_LOSS, severity=Severity.WARN),
            warnings=WarningRule(none_of=(SERIOUS,)),
        ),
        on_undetermined=OnUndetermined.ABSTAIN,
        description=description,
    )


PRESETS: Mapping[str, Policy] = MappingProxyType(
    {
        "alignment": _preset(
            Planned.ALIGNMENT,
            "Cross-modal alignment surely recovers the shared signal, and nothing speaks against the data.",
        ),
        "prediction": _preset(
            Planned.PREDICTION,
            "Cross-modal prediction, one way or the other, surely recovers the shared signal, and nothing speaks "
            "against the data.",
        ),
        "any-crossmodal": _preset(
            Planned.ANY,
            "Alignment or prediction surely recovers the shared signal, and nothing speaks against the data.",
        ),
    }
)
"""By name; no stored policy can have one of these names."""
