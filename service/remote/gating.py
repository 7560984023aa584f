"""`phasegate gate` against a service: look at the policy, upload, wait for the report, have it judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.client import Phasegate
from service.estimation.record import as_dict
from service.figures.printable import printable, safe_console
from service.figures.ruling import Ruling
from service.remote.choices import Choice
from service.remote.commands import Place, Upload, send, wait_for
from service.remote.endings import explained
from service.schemas.policies import DecisionView, PolicyView


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
        _look_at(client, choice)
        analysis = send(client, upload)
        safe_console(stderr=True).print(f"Analysis {printable(analysis.id)} is submitted.", markup=False)
        return _judged(client, place, analysis.id, choice, timeout_s)


def gate_analysis(place: Place, analysis_id: str, choice: Choice, timeout_s: float) -> Gated:
    """Judge an analysis that is there, when it has ended.  Raises Ended."""
    with explained(), place.client() as client:
        _look_at(client, choice)
        return _judged(client, place, analysis_id, choice, timeout_s)


def _judged(client: Phasegate, place: Place, analysis_id: str, choice: Choice, timeout_s: float) -> Gated:
    again = (
        f"`phasegate gate --analysis {analysis_id} --policy {choice.given}{place.option}` waits for its decision, "
        f"`phasegate cancel {analysis_id}{place.option}` stops it."
    )
    wait_for(client, place, analysis_id, timeout_s, again)
    view = _gate(client, analysis_id, choice)
    version = "" if view.policy_version is None else f"@{view.policy_version}"
    label = choice.label if view.policy_name is None else f"{view.policy_name}{version}"
    report_at = f"{place.shown()}/v1/analyses/{view.analysis_id}/report"
    ruling = Ruling(view.as_decision(), label, view.figures.regimes, view.analysis_id, report_at)
    return Gated(ruling, view.model_dump(mode="json", by_alias=True))


def _look_at(client: Phasegate, choice: Choice) -> None:
    """Ask for a policy that is only named: what does not exist must not cost an upload."""
    if choice.reference is not None:
        version = "" if choice.reference.version is None else f"/versions/{choice.reference.version}"
        client._connection.read(PolicyView, "GET", f"/v1/policies/{choice.reference.name}{version}")


def _gate(client: Phasegate, analysis_id: str, choice: Choice) -> DecisionView:
    policy = choice.label if choice.policy is None else as_dict(choice.policy)
    return client._connection.read(DecisionView, "POST", f"/v1/analyses/{analysis_id}/gate", json={"policy": policy})
