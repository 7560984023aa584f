"""What a policy may ask for: what by its form could never hold, or never fail, is refused before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NoReturn

from service.estimation.terms import Regime
from service.estimation.warning_codes import KNOWN
from service.gating.errors import InvalidPolicy
from service.gating.policy import (
    SCHEMA_VERSION,
    SERIOUS,
    LossRule,
    MinimumRule,
    Planned,
    Policy,
    RegimeRule,
    Requirements,
    ScoreRule,
    Severity,
    WarningRule,
)

MAX_DESCRIPTION_CHARACTERS = 2000
MAX_LABEL_CHARACTERS = 512
EMBEDDING_BOUNDS = (1, 2000)
"""Those of the option embedding_dim."""
LARGEST_SCORE = 1.0
"""Of R^2 and balanced accuracy.  A bound as large as that, or as small as its opposite, tells no runs apart."""
IN_SCORES = f"between {-LARGEST_SCORE:g} and {LARGEST_SCORE:g}"

AnyRule = MinimumRule | ScoreRule | LossRule | RegimeRule | WarningRule

RECOVERING = {
    Planned.ALIGNMENT: (Regime.BOTH, Regime.CA_ONLY),
    Planned.PREDICTION: (Regime.BOTH, Regime.CP_ONLY),
    Planned.ANY: (Regime.BOTH, Regime.CA_ONLY, Regime.CP_ONLY),
}
"""Regimes in which what is planned recovers the signal."""


def rules_of(require: Requirements) -> Iterator[tuple[str, AnyRule]]:
    """The rules that a policy has, with their names, in the order of `Requirements`."""
    named: tuple[tuple[str, AnyRule | None], ...] = (
        ("recovery_probability", require.recovery_probability),
        ("regimes", require.regimes),
        ("ratio_lower_bound", require.ratio_lower_bound),
        ("rehearsed_score", require.rehearsed_score),
        ("single_modality_loss", require.single_modality_loss),
        ("warnings", require.warnings),
    )
    for name, rule in named:
        if rule is not None:
            yield name, rule


def check_policy(policy: Policy, part: str = "policy") -> None:
    """Refuse a policy that asks for what cannot be, or for nothing.

    Arguments: part, what the policy is of the request, with which places begin.

    Raises: InvalidPolicy, with the place and what to do.
    """
    if policy.schema_version != SCHEMA_VERSION:
        _refuse(
            part,
            "schema_version",
            f'{policy.schema_version[:40]!r} is not a version that is known here. Write "{SCHEMA_VERSION}".',
        )
    if len(policy.description) > MAX_DESCRIPTION_CHARACTERS:
        _refuse(part, "description", f"it is too long. Write at most {MAX_DESCRIPTION_CHARACTERS} characters.")
    dim, (low, high) = policy.planned.embedding_dim, EMBEDDING_BOUNDS
    if dim is not None and not low <= dim <= high:
        _refuse(part, "planned.embedding_dim", f"it is {dim}. Write a number from {low} to {high}, or leave it out.")
    rules = list(rules_of(policy.require))
    if not any(rule.severity is Severity.FAIL for _, rule in rules):
        _refuse(
            part,
            "require",
            "no rule here can fail, so that every run would pass. Add a rule of severity fail, such as "
            '"recovery_probability": {"min": 0.8}.',
        )
    for name, rule in rules:
        _check_rule(part, f"require.{name}", name, rule, policy.planned.objective)


def _check_rule(part: str, place: str, name: str, rule: AnyRule, planned: Planned) -> None:
    match rule:
        case MinimumRule() if name == "recovery_probability":
            _check_number(part, f"{place}.min", rule.min, 0 < rule.min <= 1, "above 0 and at most 1, such as 0.8")
        case MinimumRule():
            _check_number(part, f"{place}.min", rule.min, 0 < rule.min < math.inf, "above 0, such as 1")
        case ScoreRule():
            _check_number(part, f"{place}.min", rule.min, abs(rule.min) < LARGEST_SCORE, f"{IN_SCORES}, such as 0.6")
            _check_label(part, place, rule.label)
        case LossRule():
            _check_number(part, f"{place}.max", rule.max, abs(rule.max) < LARGEST_SCORE, f"{IN_SCORES}, such as 0.05")
            _check_label(part, place, rule.label)
        case RegimeRule():
            _check_regimes(part, f"{place}.any_of", rule.any_of, planned)
        case WarningRule():
            _check_codes(part, f"{place}.none_of", rule.none_of)


def _check_number(part: str, place: str, value: float, is_telling: bool, wanted: str) -> None:
    if not is_telling:
        _refuse(part, place, f"it is {value}, with which the rule would tell nothing. Write a number {wanted}.")


def _check_label(part: str, place: str, label: str | None) -> None:
    if label is not None and not 0 < len(label) <= MAX_LABEL_CHARACTERS:
        _refuse(part, f"{place}.label", "it names no label column. Write its name, or leave it out for all of them.")


def _check_regimes(part: str, place: str, any_of: tuple[Regime, ...], planned: Planned) -> None:
    _check_several(part, place, any_of, ", ".join(Regime))
    if set(any_of) == set(Regime):
        _refuse(
            part, place, "these are all regimes there are, so that every run would pass. Leave out some, or the rule."
        )
    recovering = RECOVERING[planned]
    if not set(recovering) & set(any_of):
        what = "any objective" if planned is Planned.ANY else planned.value
        _refuse(
            part,
            place,
            f"in none of these regimes does {what} recover the signal, which is what the policy plans. Add "
            f"{' or '.join(recovering)}, or plan something else.",
        )


def _check_codes(part: str, place: str, none_of: tuple[str, ...]) -> None:
    _check_several(part, place, none_of, f"{SERIOUS}, or codes of warnings")
    words = {SERIOUS, *KNOWN}
    for code in none_of:
        if code not in words:
            close = get_close_matches(code[:80], sorted(words), n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            _refuse(
                part,
                place,
                f"no warning has the code {code[:40]!r}, so that it could never be found.{meant} Write {SERIOUS}, or "
                f"some of {', '.join(sorted(KNOWN))}.",
            )


def _check_several(part: str, place: str, values: tuple[str, ...], known: str) -> None:
    if not values:
        _refuse(part, place, f"it is empty. Write some of {known}, or leave the rule out.")
    if len(set(values)) < len(values):
        _refuse(part, place, "it says something twice. Say everything once.")


def _refuse(part: str, place: str, reason: str) -> NoReturn:
    raise InvalidPolicy(f"{part}.{place}: {reason}", part=part)
