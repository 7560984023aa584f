"""Logs a triage to the active MLflow run: what was found, what was decided, and what both rest on.

params      the estimator's options, and the policy with its version
metrics     ratios with their intervals, recovery and regime probabilities, sizes
tags        the ids of analysis and decision, the decision, regimes, recommendation
artifacts   phasegate/report.json and decision.json as the service has them, ratios.png
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import matplotlib.figure
import mlflow

from phasegate import Phasegate, Triage

FOLDER = "phasegate"
OBJECTIVES = {"ca": "align", "cp_x_to_y": "predict x → y", "cp_y_to_x": "predict y → x"}
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


def log_triage(client: Phasegate, triage: Triage) -> None:
    """Log a triage, with its decision if a policy was asked for, to the active run."""
    report = client.report_json(triage.analysis.id)
    mlflow.log_params({f"phasegate.{name}": value for name, value in options_of(triage).items()})
    mlflow.log_metrics(dict(metrics_of(report)))
    mlflow.set_tags(dict(tags_of(triage, report)))
    mlflow.log_text(json.dumps(report, indent=2), f"{FOLDER}/report.json")
    mlflow.log_figure(ratios_of(report), f"{FOLDER}/ratios.png")
    if triage.decision is not None:
        mlflow.log_text(triage.decision.model_dump_json(indent=2), f"{FOLDER}/decision.json")


def options_of(triage: Triage) -> dict[str, Any]:
    said = asdict(triage.analysis.options) if triage.analysis.options else {}
    if triage.decision is not None:
        decision = triage.decision
        said |= {"policy": decision.policy_name, "policy_version": decision.policy_version}
        said |= {"policy_sha256": decision.policy_sha256}
    return said


def metrics_of(report: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Everything that is a number; a ratio that is none (no signal, no nuisance) is a tag."""
    for objective in OBJECTIVES:
        separation = report["separation"][objective]
        interval = separation["interval"] or {}
        ends = {"ratio": separation["ratio"], "ratio_low": interval.get("low"), "ratio_high": interval.get("high")}
        yield from ((f"phasegate.{name}.{objective}", value) for name, value in ends.items() if value is not None)
    for objective, probability in (report["recovery_probability"] or {}).items():
        yield f"phasegate.recovery_probability.{objective}", probability
    for direction, shares in (report["regime_probabilities"] or {}).items():
        for regime, probability in shares.items():
            yield f"phasegate.regime_probability.{direction}.{regime}", probability
    yield "phasegate.n_pairs", report["data"]["n_pairs"]
    yield "phasegate.n_labeled", report["data"]["n_labeled"]


def tags_of(triage: Triage, report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "phasegate.analysis_id", triage.analysis.id
    if triage.decision is not None:
        yield "phasegate.decision_id", triage.decision.id
        yield "phasegate.decision", str(triage.decision.decision)
        yield "phasegate.summary", triage.decision.summary
    yield "phasegate.recommendation", report["recommendation"]["objective"]
    for direction, regime in report["regimes"].items():
        yield f"phasegate.regime.{direction}", regime
    for objective in OBJECTIVES:
        yield f"phasegate.ratio_status.{objective}", report["separation"][objective]["status"]
    if report["warnings"]:
        yield "phasegate.warnings", ", ".join(warning["code"] for warning in report["warnings"])


def ratios_of(report: dict[str, Any]) -> matplotlib.figure.Figure:
    """The ratios with their intervals, on a logarithmic axis; right of the line an objective recovers the signal."""
    figure = matplotlib.figure.Figure(figsize=(6, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", xlabel="separation ratio", ylim=(len(OBJECTIVES) - 0.5, -0.5), xlim=(TICKS[0], TICKS[-1]))
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=1)
    for place, objective in enumerate(OBJECTIVES):
        separation = report["separation"][objective]
        if separation["ratio"] is None:
            axes.annotate(separation["status"].replace("_", " "), (1, place), (6, 0), textcoords="offset points")
            continue
        axes.plot(min(max(separation["ratio"], TICKS[0]), TICKS[-1]), place, "o", color="C0", clip_on=False)
        if separation["interval"] is not None:
            low = max(separation["interval"]["low"], TICKS[0])  # 0 has no place on this axis
            high = separation["interval"]["high"] or TICKS[-1]
            axes.plot([low, high], [place, place], color="C0")
    axes.set_yticks(range(len(OBJECTIVES)), OBJECTIVES.values())
    return figure
