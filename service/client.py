"""Typed HTTP client of the service."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from service.estimation.report import Report
from service.schemas.analyses import REPORT, AnalysisView
from service.schemas.options import SubmittedOptions
from service.schemas.wire import Problem

POLL_S = 0.2  # how often a waiting client looks, once its long wait has not sufficed


class ProblemReceived(Exception):
    """The service answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.detail} [{problem.code}]")
        self.problem = problem


class AnalysisFailed(Exception):
    """The analysis ended without a report."""

    def __init__(self, analysis: AnalysisView) -> None:
        detail = f"{analysis.error.detail} [{analysis.error.code}]" if analysis.error else analysis.state.value
        super().__init__(f"Analysis {analysis.id} ended without a report: {detail}")
        self.analysis = analysis


class Client:
    """One service, by its address.  Use as a context manager, or call `close`."""

    def __init__(self, base_url: str, timeout_s: float = 60.0, use_proxies: bool = True) -> None:
        self._timeout_s = timeout_s
        self._http = httpx2.Client(base_url=base_url, timeout=timeout_s, trust_env=use_proxies)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        x: Path,
        y: Path,
        labels: Path,
        rows: Path | None = None,
        options: SubmittedOptions | None = None,
        wait_s: int | None = None,
        *,
        groups: Path | None = None,
        covariates: Path | None = None,
    ) -> AnalysisView:
        """Upload a pair of .npy files with labels; files are streamed.  Raises ProblemReceived.

        `groups` and `covariates`, .npy or CSV, have a line for every row of x and y, labeled or not.

        With `wait_s` the service answers when the analysis is done, or after that many seconds.
        """
        optional = {"rows": rows, "groups": groups, "covariates": covariates}
        paths = {"x": x, "y": y, "labels": labels} | {part: path for part, path in optional.items() if path}
        files = {part: path.open("rb") for part, path in paths.items()}
        try:
            answer = self._http.post(
                "/v1/analyses",
                files={part: (paths[part].name, file) for part, file in files.items()},
                data={"options": json.dumps(asdict(options or SubmittedOptions()))},
                headers={} if wait_s is None else {"Prefer": f"wait={wait_s}"},
                timeout=self._timeout_s + (wait_s or 0),
            )
        finally:
            for file in files.values():
                file.close()
        return AnalysisView.model_validate(_content(answer))

    def analysis(self, analysis_id: str) -> AnalysisView:
        """The analysis as it stands.  Raises ProblemReceived."""
        return AnalysisView.model_validate(_content(self._http.get(f"/v1/analyses/{analysis_id}")))

    def report(self, analysis_id: str) -> Report:
        """The report of a finished analysis.  Raises ProblemReceived."""
        return REPORT.validate_python(self.report_json(analysis_id))

    def report_json(self, analysis_id: str) -> Any:
        """The report as JSON types.  Raises ProblemReceived."""
        return _content(self._http.get(f"/v1/analyses/{analysis_id}/report"))

    def wait(
        self, analysis_id: str, timeout_s: float, on_change: Callable[[AnalysisView], None] = lambda analysis: None
    ) -> AnalysisView:
        """Wait until an analysis has succeeded, showing every look to `on_change`.

        Raises: AnalysisFailed when it ended otherwise, TimeoutError, ProblemReceived.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            analysis = self.analysis(analysis_id)
            on_change(analysis)
            if analysis.state == "succeeded":
                return analysis
            if analysis.state.final:
                raise AnalysisFailed(analysis)
            if time.monotonic() > deadline:
                raise TimeoutError(f"Analysis {analysis_id} is still {analysis.state} after {timeout_s:g} s.")
            time.sleep(POLL_S)


def _content(answer: httpx2.Response) -> Any:
    if answer.is_success:
        return answer.json()
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        raise ProblemReceived(Problem.model_validate(answer.json()))
    answer.raise_for_status()
    raise httpx2.HTTPError(f"Unexpected answer {answer.status_code} from {answer.url}")
