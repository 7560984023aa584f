"""`phasegate gate` against a service: look at the policy, upload, wait for the report, have it judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.analyses.errors import ReportNotReady
from service.client import Phasegate, ProblemReceived
from service.client.policies import version_of
from service.figures.printable import printable, safe_console
from service.figures.ruling import Ruling
from service.gating.policy import Policy
from service.gating.references import read_reference
from service.remote.choices import Choice
from service.remote.commands import Place, Upload, send, wait_for
from service.remote.endings import explained
from service.remote.notes import notes_of
from service.schemas.policies import DecisionView


@dataclass(frozen=True)
class Gated:
    """A decision that has been made."""

    ruling: Ruling
    """As people are shown it."""
    document: Mapping[str, Any]
    """As JSON types: the service's document of a decision."""


def gate_upload(place: Place, upload: Upload, choice: Choice, timeout_s: float) -> Gated:
    """Upload, wait and judge.  A policy that is not there is said before anything is sent.  Raises Ended."""
    with explained(), place.client() as client:
        policy, choice = _looked_at(client, choice)
        analysis = send(client, replace(upload, embedding_dim=policy.planned.embedding_dim))
        safe_console(stderr=True).print(f"Analysis {printable(analysis.id)} is submitted.", markup=False)
        gated = _judged(client, place, analysis.id, choice, timeout_s)
        return replace(gated, ruling=replace(gated.ruling, notes=notes_of(analysis.inputs)))


def gate_analysis(place: Place, analysis_id: str, choice: Choice, timeout_s: float) -> Gated:
    """Judge an analysis that the service has, when it has ended.  Raises Ended.

    One that was judged by the same policy before is answered with that decision, even if its report is gone.
    """
    with explained(), place.client() as client:
        try:
            return _gated(place, client.gate(analysis_id, choice.policy or choice.label), choice)
        except ProblemReceived as error:
            if error.problem.code != ReportNotReady.code:
                raise
        return _judged(client, place, analysis_id, choice, timeout_s)


def _judged(client: Phasegate, place: Place, analysis_id: str, choice: Choice, timeout_s: float) -> Gated:
    again = (
        f"`phasegate gate --analysis {analysis_id} --policy {choice.given}{place.option}` waits for its decision, "
        f"`phasegate cancel {analysis_id}{place.option}` stops it."
    )
    wait_for(client, place, analysis_id, timeout_s, again)
    return _gated(place, client.gate(analysis_id, choice.policy or choice.label), choice)


def _gated(place: Place, view: DecisionView, choice: Choice) -> Gated:
    ruling = Ruling(
        view.as_decision(),
        view.policy_name or choice.label,
        view.figures.regimes,
        view.analysis_id,
        view.policy_version,
        f"{place.shown()}/v1/analyses/{view.analysis_id}/report",
    )
    return Gated(ruling, view.model_dump(mode="json", by_alias=True))


def _looked_at(client: Phasegate, choice: Choice) -> tuple[Policy, Choice]:
    """The policy, and the choice of this very version: what is stored meanwhile does not judge.

    One that is only named is asked for: what does not exist must not cost an upload.
    """
    if choice.policy is not None:
        return choice.policy, choice
    found = client.policy(choice.label)
    named = version_of(found)
    return found.policy, Choice(named, named, None, read_reference(named))
