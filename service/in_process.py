"""Estimation where no service is: files are checked, estimated and judged in this process, with the service's answer.

The files pass the same checks as an upload, and the estimation has one BLAS thread, as a worker has by default.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from threadpoolctl import threadpool_limits

from service.analyses.intake import check_id_column, typed_covariates
from service.analyses.metadata import check_metadata
from service.analyses.policies import PRESET_NUMBER
from service.analyses.understanding import notes_of_files
from service.client.triage import unheeded
from service.estimation import inputs as checks
from service.estimation.covariates import check_covariates
from service.estimation.estimate import estimate
from service.estimation.groups import check_group_ids, check_groups
from service.estimation.labels import has_label, label_columns
from service.estimation.record import as_dict
from service.estimation.report import Report
from service.estimation.stages import Progress
from service.figures.printable import safe_console
from service.figures.ruling import Ruling
from service.gating.deciding import decide
from service.gating.digests import sha256_of
from service.gating.figures import figures_of
from service.gating.policy import Policy
from service.gating.presets import PRESETS
from service.remote.choices import Choice
from service.remote.commands import Upload, pairs_of
from service.remote.endings import Ended, ExitCode, explained
from service.remote.gating import Gated
from service.remote.notes import say
from service.remote.progress import stages_shown
from service.schemas.policies import DecisionView
from service.storage.input_files import open_features, open_labels

THREADS = 1  # what a worker has unless its operator says otherwise

Result = TypeVar("Result")


@dataclass(frozen=True)
class KnownPolicy:
    """A policy that is known without a service; name and version are those of a preset."""

    policy: Policy
    name: str | None = None
    version: int | None = None


def gate_files(upload: Upload, choice: Choice, timeout_s: float) -> Gated:
    """Estimate files and hold the report against a policy.  Raises Ended.

    Returns: the service's document of the decision, with null for what only a service knows.
    """
    with explained():
        known = known_policy(choice)
        metadata = pairs_of(upload.metadata)
        check_metadata(metadata)
        planned = replace(upload, embedding_dim=known.policy.planned.embedding_dim)
        # BLAS is limited for all threads, by the one that waits: while it holds the limits, no other can change them.
        console, notes = safe_console(stderr=True), list[str]()

        def note(text: str) -> None:
            notes.append(text)
            say(console, text)

        with threadpool_limits(limits=THREADS), stages_shown(console) as show:
            report = within(timeout_s, show, lambda progress: estimate_files(planned, progress, note))
        decision, figures = decide(report, known.policy), figures_of(report)
    document = {
        **dict.fromkeys(DecisionView.model_fields),
        **as_dict(decision),
        "policy_name": known.name,
        "policy_version": known.version,
        "policy_sha256": sha256_of(known.policy),
        "metadata": metadata,
        "figures": as_dict(figures),
    }
    ruling = Ruling(decision, choice.label, report.regimes, policy_version=known.version, notes=tuple(notes))
    return Gated(ruling, document)


def known_policy(choice: Choice) -> KnownPolicy:
    """The policy of a file, or the preset of that name: nobody here has stored any other.  Raises Ended."""
    if choice.policy is not None:
        return KnownPolicy(choice.policy)
    reference = choice.reference
    if reference is None or reference.name not in PRESETS or reference.version not in (None, PRESET_NUMBER):
        raise Ended(
            f"There is no preset {choice.label!r}: presets are {', '.join(PRESETS)}. Name one of them, or a file (with "
            ".json, .yaml, .yml or a / in its name); policies that are stored need a service: PHASEGATE_URL or --url "
            "names it.",
            ExitCode.REFUSED,
        )
    return KnownPolicy(PRESETS[reference.name], reference.name, PRESET_NUMBER)


def estimate_files(upload: Upload, progress: Progress, note: Callable[[str], None] = unheeded) -> Report:
    """The report that the service would make of the upload.  Raises EstimationError, AnalysisError, OSError.

    Arguments: note, is told what was left out of the files, and what became of ids, before anything is estimated.
    """
    chosen = upload.submitted_options()
    options = chosen.options()
    checks.check_options(options)
    check_id_column(upload.id_column)
    features = open_features(upload.x, upload.y, upload.groups, upload.covariates, upload.id_column)
    labels = open_labels(upload.labels, upload.rows, features, upload.id_column)
    for text in notes_of_files(features, labels):
        note(text)
    n_pairs = checks.check_pairs(features.x, features.y)
    if features.groups is not None:
        check_group_ids(features.groups, n_pairs)
    covariates = typed_covariates(features.covariates, chosen.covariate_types)
    check_covariates(covariates, n_pairs)
    columns = label_columns(labels.columns, chosen.label_types)
    rows = checks.check_label_rows(n_pairs, len(columns[0].values), labels.rows)
    if features.groups is not None:
        check_groups(features.groups, n_pairs, rows[has_label(columns)])
    checks.check_complete(columns, options.method)
    return estimate(
        features.x, features.y, columns, labels.rows, options, progress, groups=features.groups, covariates=covariates
    )


def within(timeout_s: float, show: Progress, work: Callable[[Progress], Result]) -> Result:
    """What `work` returns or raises, its stages shown.  Raises TimeoutError when it takes longer.

    The work has a thread of its own: neither the time limit nor Ctrl-C waits for a decomposition to return.  A thread
    that is given up ends with the process.
    """
    told: queue.Queue[tuple[str, float] | None] = queue.Queue()
    found: list[Result] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work(lambda stage, fraction: told.put((stage, fraction))))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failed.append(error)
        told.put(None)

    threading.Thread(target=run, name="estimation", daemon=True).start()
    ends_at = time.monotonic() + timeout_s
    while (news := _next(told, ends_at - time.monotonic(), timeout_s)) is not None:
        show(*news)
    if failed:
        raise failed[0]
    return found[0]


def _next(told: queue.Queue[tuple[str, float] | None], left_s: float, timeout_s: float) -> tuple[str, float] | None:
    try:
        return told.get(timeout=max(0.0, left_s))
    except queue.Empty:
        raise TimeoutError(
            f"The estimation has taken longer than {timeout_s:g} s and is given up. Give it longer with --timeout, or "
            "send fewer pairs or features."
        ) from None
