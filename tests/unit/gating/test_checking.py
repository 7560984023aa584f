"""A policy that could never pass, or never do anything else, is refused with the place and what to do."""

import math
import re
from pathlib import Path

import pytest

from service.estimation.inputs import EMBEDDING_BOUNDS
from service.estimation.terms import Direction, Regime
from service.estimation.verdicts import SURE
from service.estimation.warning_codes import KNOWN, LESS_SERIOUS, OF_REFERENCE, SERIOUS
from service.gating import checking
from service.gating.checking import check_policy, rules_of
from service.gating.digests import sha256_of
from service.gating.errors import InvalidPolicy
from service.gating.policy import (
    LossRule,
    MinimumRule,
    Plan,
    Planned,
    Policy,
    RegimeRule,
    Requirements,
    ScoreRule,
    Severity,
    WarningRule,
)
from service.gating.presets import PRESETS, RECOVERY_PROBABILITY

from .samples import a_policy

ROOT = Path(__file__).parents[3]
RECOVERY = {"recovery_probability": MinimumRule(0.8)}


def refusal(policy: Policy) -> str:
    with pytest.raises(InvalidPolicy) as refused:
        check_policy(policy)
    assert (refused.value.code, refused.value.part) == ("invalid_policy", "policy")
    return refused.value.message


@pytest.mark.parametrize(
    ("rules", "place", "advice"),
    [
        ({"recovery_probability": MinimumRule(1.01)}, "recovery_probability.min", "above 0 and at most 1"),
        ({"recovery_probability": MinimumRule(0.0)}, "recovery_probability.min", "above 0 and at most 1"),
        ({"recovery_probability": MinimumRule(-0.1)}, "recovery_probability.min", "above 0 and at most 1"),
        ({"recovery_probability": MinimumRule(math.nan)}, "recovery_probability.min", "above 0 and at most 1"),
        ({"ratio_lower_bound": MinimumRule(-1.0)}, "ratio_lower_bound.min", "above 0"),
        ({"ratio_lower_bound": MinimumRule(0.0)}, "ratio_lower_bound.min", "above 0"),
        ({"ratio_lower_bound": MinimumRule(math.inf)}, "ratio_lower_bound.min", "above 0"),
        ({"rehearsed_score": ScoreRule(1.0)}, "rehearsed_score.min", "between -1 and 1"),
        ({"rehearsed_score": ScoreRule(-1.0)}, "rehearsed_score.min", "between -1 and 1"),
        ({"single_modality_loss": LossRule(1.0)}, "single_modality_loss.max", "between -1 and 1"),
        ({"single_modality_loss": LossRule(-1.0)}, "single_modality_loss.max", "between -1 and 1"),
        ({"regimes": RegimeRule(tuple(Regime))}, "regimes.any_of", "every run would pass"),
        ({"rehearsed_score": ScoreRule(0.5, label="")}, "rehearsed_score.label", "leave it out"),
        ({"single_modality_loss": LossRule(math.nan)}, "single_modality_loss.max", "between -1 and 1"),
        ({"single_modality_loss": LossRule(0.1, label="x" * 513)}, "single_modality_loss.label", "leave it out"),
        ({"regimes": RegimeRule(())}, "regimes.any_of", "empty"),
        ({"regimes": RegimeRule((Regime.BOTH, Regime.BOTH))}, "regimes.any_of", "Say everything once"),
        ({"regimes": RegimeRule((Regime.CP_ONLY, Regime.NEITHER))}, "regimes.any_of", "Add both or ca_only"),
        ({"warnings": WarningRule(())}, "warnings.none_of", "leave the rule out"),
        ({"warnings": WarningRule(("few_label",))}, "warnings.none_of", "Did you mean few_labels?"),
        (
            {"warnings": WarningRule(("zzz", "serious"))},
            "warnings.none_of",
            "Write serious, or some of class_imbalance",
        ),
    ],
)
def test_what_cannot_be_is_refused(rules, place, advice):
    message = refusal(a_policy(**(RECOVERY | rules)))
    assert message.startswith(f"policy.require.{place}: ")
    assert advice in message


def test_regimes_have_to_allow_what_is_planned():
    for planned, regime, allowed in (
        (Planned.PREDICTION, Regime.CP_ONLY, True),
        (Planned.PREDICTION, Regime.CA_ONLY, False),
        (Planned.ANY, Regime.CA_ONLY, True),
        (Planned.ANY, Regime.NEITHER, False),
    ):
        policy = a_policy(planned, regimes=RegimeRule((regime,)))
        if allowed:
            check_policy(policy)
        else:
            assert "recover the signal" in refusal(policy)


@pytest.mark.parametrize("dim", [0, -1, 2001])
def test_no_embedding_has_such_a_size(dim):
    assert "from 1 to 2000" in refusal(a_policy(Plan(Planned.ANY, Direction.X_TO_Y, dim), **RECOVERY))


def test_sizes_of_embeddings_are_those_of_the_option():
    assert checking.EMBEDDING_BOUNDS == EMBEDDING_BOUNDS


@pytest.mark.parametrize("rules", [{}, {"warnings": WarningRule(("serious",), Severity.WARN)}])
def test_a_policy_that_passes_everything_is_refused(rules):
    assert "no rule here can fail" in refusal(a_policy(**rules))


def test_other_versions_of_the_schema_and_long_descriptions_are_refused():
    require = Requirements(**RECOVERY)
    assert 'Write "1.0"' in refusal(Policy("2.0", Plan(Planned.ANY), require))
    assert "at most 2000" in refusal(Policy("1.0", Plan(Planned.ANY), require, description="x" * 2001))


def test_the_prefix_of_places_is_that_of_the_request():
    with pytest.raises(InvalidPolicy, match=r"^gate\.yaml\.require: "):
        check_policy(a_policy(), "gate.yaml")


def test_every_code_that_a_report_can_carry_is_known():
    core = (ROOT / "service/estimation").rglob("*.py")
    written = {
        code for file in core for code in re.findall(r'ReportWarning\(\s*"(\w+)"', file.read_text(encoding="utf-8"))
    }
    assert len(written) > 20
    assert written == KNOWN
    assert not set(OF_REFERENCE) & {*SERIOUS, *LESS_SERIOUS}


def test_every_rule_of_the_requirements_is_held():
    every = a_policy(
        **RECOVERY,
        regimes=RegimeRule((Regime.BOTH,)),
        ratio_lower_bound=MinimumRule(1.0),
        rehearsed_score=ScoreRule(0.1),
        single_modality_loss=LossRule(0.1),
        warnings=WarningRule(("serious",)),
    )
    check_policy(every)
    assert [name for name, _ in rules_of(every.require)] == list(Requirements.__dataclass_fields__)


def test_presets_can_be_held_and_ask_for_what_the_report_calls_sure():
    for policy in PRESETS.values():
        check_policy(policy)
    assert RECOVERY_PROBABILITY == SURE


def test_the_digest_tells_policies_apart_and_does_not_change():
    assert len({sha256_of(policy) for policy in PRESETS.values()}) == len(PRESETS)
    expected = "2053e0d5d621da0ece50159c5bd589cb39b0da6d1a50b3941e1d2c251aec1642"
    assert sha256_of(a_policy(**RECOVERY)) == expected, "a digest that changes parts decisions from their policies"
