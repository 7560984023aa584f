"""The client: a method for every call of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx2

from service.access import environment
from service.analyses.analysis import State
from service.analyses.dataset import TypesAsSaid
from service.client.addresses import step
from service.client.asynchronous.connection import AsyncConnection
from service.client.asynchronous.following import events_of
from service.client.asynchronous.runtime import in_thread
from service.client.asynchronous.waiting import wait_for
from service.client.asynchronous.webhooks import AsyncWebhooks
from service.client.errors import ClientError
from service.client.event_stream import AnalysisEvent
from service.client.policies import PolicySource, asked_policy, full_policy, rehearsing, version_of
from service.client.sources import Source
from service.client.triage import Triage, unheeded
from service.client.uploads import OnProgress, Upload
from service.estimation.phase_diagram import PhaseDiagram
from service.estimation.report import Report
from service.estimation.simulation_records import Simulation
from service.estimation.spiked_model import ModelSeparation
from service.gating.decision import Decided
from service.gating.references import read_reference
from service.schemas.analyses import AnalysisPage, AnalysisView
from service.schemas.datasets import DatasetPage, DatasetView, LabelSetPage, LabelSetView
from service.schemas.limits import LimitsView
from service.schemas.options import EstimationOptions, SubmittedOptions
from service.schemas.policies import DecisionPage, DecisionView, PolicyPage, PolicyView
from service.schemas.wire import WireModel

if TYPE_CHECKING:  # whoever asks about the model has loaded these; nobody else waits for the estimators behind them
    from service.schemas.model import ModelParameters, PhaseDiagramRequest, SimulationRequest


class AsyncPhasegate:
    """One service, by its address.  Use as a context manager, or call `close`.

    Threads, or the tasks of one event loop, may share one.  Every call raises ClientError: NotReachable,
    UnexpectedAnswer, or ProblemReceived when the service refuses.  Calls that send something raise also OSError for a
    file that cannot be read, UnsupportedSource for what cannot be sent.  Lists are fetched a page at a time, as needed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        key_over_http: bool | None = None,
        timeout_s: float = 60.0,
        use_proxies: bool = True,
    ) -> None:
        """Arguments: url, such as http://127.0.0.1:8000, which it is unless PHASEGATE_URL says otherwise; api_key, sent
        to this service alone, never to where it redirects, PHASEGATE_API_KEY unless given, none if empty;
        key_over_http, whether the key may be sent to another machine without TLS, for everybody on the way to read,
        as PHASEGATE_API_KEY_OVER_HTTP says unless given; timeout_s, longest silence of the service (seconds);
        use_proxies, whether to use those of the environment, which are never used for loopback addresses.

        Raises InvalidAddress, KeyWithheld.
        """
        self._connection = AsyncConnection(
            environment.service_address() if url is None else url,
            timeout_s,
            use_proxies,
            (environment.api_key() if api_key is None else api_key) or None,
            environment.key_over_http() if key_over_http is None else key_over_http,
        )
        self.webhooks = AsyncWebhooks(self._connection)
        """Who is told when an analysis has ended or a decision was made."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def limits(self) -> LimitsView:
        """What the service accepts."""
        return await self._connection.read(LimitsView, "GET", "/v1/limits")

    async def create_dataset(
        self,
        x: Source,
        y: Source,
        *,
        groups: Source | None = None,
        covariates: Source | None = None,
        covariate_types: TypesAsSaid = None,
        id_column: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> DatasetView:
        """Upload a whole dataset: files, arrays, tensors or frames; they are streamed.

        `id_column` names the column by which rows of x and y, and of all else that has it, are joined.
        """
        parts = {"x": x, "y": y, "groups": groups, "covariates": covariates}
        with await in_thread(Upload, parts, on_progress, id_column) as upload:
            texts = {"covariate_types": upload.types_of("covariates", covariate_types), "id_column": id_column}
            return await self._connection.send_form(DatasetView, "/v1/datasets", upload, texts)

    async def open_dataset(
        self,
        parts: Sequence[str] = ("x", "y"),
        covariate_types: TypesAsSaid = None,
        id_column: str | None = None,
    ) -> DatasetView:
        """Begin a dataset whose parts will be sent one by one."""
        body = {"parts": list(parts), "covariate_types": covariate_types, "id_column": id_column}
        return await self._connection.read(DatasetView, "POST", "/v1/datasets", json=body)

    async def put_part(
        self,
        dataset_id: str,
        part: str,
        source: Source,
        on_progress: OnProgress | None = None,
        id_column: str | None = None,
    ) -> DatasetView:
        """Send a part of an open dataset; the last one makes it ready.

        It is read once before it is sent, for its digest: what arrives is what was read, or is refused.  `id_column` as
        the dataset was opened with.
        """
        path = f"/v1/datasets/{step(dataset_id)}/{step(part)}"
        with await in_thread(Upload, {part: source}, on_progress, id_column) as upload:
            return await self._connection.send_part(DatasetView, path, upload, part)

    async def dataset(self, dataset_id: str) -> DatasetView:
        """The dataset as it stands."""
        return await self._connection.read(DatasetView, "GET", f"/v1/datasets/{step(dataset_id)}")

    def datasets(self, page_size: int | None = None) -> AsyncIterator[DatasetView]:
        """All datasets, newest first."""
        return self._connection.items(DatasetPage, "/v1/datasets", {"limit": page_size})

    async def delete_dataset(self, dataset_id: str) -> None:
        """Remove a dataset with its label sets; reports stay."""
        await self._connection.delete(f"/v1/datasets/{step(dataset_id)}")

    async def add_label_set(
        self,
        dataset_id: str,
        labels: Source,
        rows: Source | None = None,
        label_types: TypesAsSaid = None,
        on_progress: OnProgress | None = None,
        *,
        id_column: str | None = None,
    ) -> LabelSetView:
        """Upload labels for some or, without `rows` and `id_column`, for all rows of a ready dataset."""
        path = f"/v1/datasets/{step(dataset_id)}/label-sets"
        with await in_thread(Upload, {"labels": labels, "rows": rows}, on_progress, id_column) as upload:
            texts = {"label_types": upload.types_of("labels", label_types), "id_column": id_column}
            return await self._connection.send_form(LabelSetView, path, upload, texts)

    def label_sets(self, dataset_id: str, page_size: int | None = None) -> AsyncIterator[LabelSetView]:
        """The label sets of a dataset, newest first."""
        return self._connection.items(LabelSetPage, f"/v1/datasets/{step(dataset_id)}/label-sets", {"limit": page_size})

    async def label_set(self, label_set_id: str) -> LabelSetView:
        """The label set."""
        return await self._connection.read(LabelSetView, "GET", f"/v1/label-sets/{step(label_set_id)}")

    async def delete_label_set(self, label_set_id: str) -> None:
        """Remove a label set; reports stay."""
        await self._connection.delete(f"/v1/label-sets/{step(label_set_id)}")

    async def submit(
        self,
        x: Source,
        y: Source,
        labels: Source,
        rows: Source | None = None,
        options: SubmittedOptions | Mapping[str, Any] | None = None,
        wait_s: int | None = None,
        *,
        groups: Source | None = None,
        covariates: Source | None = None,
        metadata: Mapping[str, str] | None = None,
        id_column: str | None = None,
        reuse: bool = True,
        on_progress: OnProgress | None = None,
    ) -> AnalysisView:
        """Upload a dataset with labels and have it analysed; what is given is streamed.

        `groups` and `covariates` have a line for every row of x and y, labeled or not.  `id_column` names the column
        by which rows of x and y, and of all else that has it, are joined.  With `wait_s` the service answers when the
        analysis is done, or after that many seconds.  Without `reuse` it runs even if there is a report of the same.
        """
        parts = {"x": x, "y": y, "labels": labels, "rows": rows, "groups": groups, "covariates": covariates}
        with await in_thread(Upload, parts, on_progress, id_column) as upload:
            texts = {
                "options": upload.options(options or SubmittedOptions()),
                "metadata": dict(metadata) if metadata else None,
                "id_column": id_column,
                "reuse": None if reuse else False,
            }
            return await self._connection.send_form(
                AnalysisView, "/v1/analyses", upload, texts, **self._waiting(wait_s)
            )

    async def submit_stored(
        self,
        dataset_id: str,
        label_set_id: str,
        options: EstimationOptions | None = None,
        metadata: Mapping[str, str] | None = None,
        wait_s: int | None = None,
        reuse: bool = True,
    ) -> AnalysisView:
        """Have a stored dataset analysed with one of its label sets; `wait_s` and `reuse` as for `submit`."""
        body = {
            "dataset_id": dataset_id,
            "label_set_id": label_set_id,
            "options": asdict(options or EstimationOptions()),
            "metadata": dict(metadata or {}),
            **({} if reuse else {"reuse": False}),
        }
        return await self._connection.read(AnalysisView, "POST", "/v1/analyses", json=body, **self._waiting(wait_s))

    def analyses(
        self,
        state: State | Collection[State] = (),
        metadata: Mapping[str, str] | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[AnalysisView]:
        """Analyses, newest first: in a state or one of several, and with all that `metadata` says."""
        states = [state] if isinstance(state, State) else list(state)
        wanted = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
        query = {**wanted, "state": states or None, "limit": page_size}
        return self._connection.items(AnalysisPage, "/v1/analyses", query)

    async def analysis(self, analysis_id: str, wait_s: int | None = None) -> AnalysisView:
        """The analysis as it stands; with `wait_s`, when it has ended, or after that many seconds."""
        path = f"/v1/analyses/{step(analysis_id)}"
        return await self._connection.read(AnalysisView, "GET", path, **self._waiting(wait_s))

    async def report(self, analysis_id: str) -> Report:
        """The report of a finished estimation."""
        return await self._connection.read(Report, "GET", f"/v1/analyses/{step(analysis_id)}/report")

    async def report_json(self, analysis_id: str) -> Any:
        """The report, of an estimation or of a simulation, as JSON types."""
        return await self._connection.read_json(f"/v1/analyses/{step(analysis_id)}/report")

    async def simulation(self, analysis_id: str) -> Simulation:
        """The report of a finished simulation."""
        return await self._connection.read(Simulation, "GET", f"/v1/analyses/{step(analysis_id)}/report")

    async def cancel(self, analysis_id: str) -> AnalysisView:
        """Stop an analysis, or take it out of the queue; one that has ended stays as it is."""
        return await self._connection.read(AnalysisView, "POST", f"/v1/analyses/{step(analysis_id)}/cancel")

    async def delete_analysis(self, analysis_id: str) -> None:
        """Remove a finished analysis with its report; its dataset and its label set stay."""
        await self._connection.delete(f"/v1/analyses/{step(analysis_id)}")

    async def triage(
        self,
        x: Source,
        y: Source,
        labels: Source,
        rows: Source | None = None,
        *,
        policy: PolicySource | None = None,
        options: SubmittedOptions | Mapping[str, Any] | None = None,
        groups: Source | None = None,
        covariates: Source | None = None,
        metadata: Mapping[str, str] | None = None,
        id_column: str | None = None,
        reuse: bool = True,
        timeout_s: float = 3600.0,
        on_progress: OnProgress | None = None,
        on_change: Callable[[AnalysisView], None] = unheeded,
    ) -> Triage:
        """Upload, wait, and fetch the report and, with a policy, the decision: may this run start?

        A policy that is wrong or unknown is found before anything is sent; of one that is named, the version of that
        moment judges.  The embedding dimension that it plans is rehearsed, unless the options name another.
        Arguments: as for `submit`; policy, what must hold of the report; timeout_s, how long to wait for the report
        once everything is sent (seconds); on_progress, is told how much has been sent; on_change, is shown how the
        analysis stands.

        Raises: AnalysisFailed when it ended without a report; TimeoutError, upon which the analysis goes on, and
        `wait`, `report` and `gate` with its id do the rest; InvalidPolicy; OSError; ClientError.
        """
        asked = None if policy is None else await in_thread(asked_policy, policy)
        if isinstance(asked, str):
            found = await self.policy(asked)
            asked = version_of(found)  # what is stored meanwhile does not judge a run that it has not planned
            options = rehearsing(options, found.policy.planned.embedding_dim)
        elif asked is not None:
            options = rehearsing(options, asked["planned"]["embedding_dim"])
        submitted = await self.submit(
            x,
            y,
            labels,
            rows,
            options,
            groups=groups,
            covariates=covariates,
            metadata=metadata,
            id_column=id_column,
            reuse=reuse,
            on_progress=on_progress,
        )
        try:
            analysis = await self.wait(submitted.id, timeout_s, on_change)
        except TimeoutError as error:
            raise TimeoutError(
                f"{error} `wait({submitted.id!r}, timeout_s)` waits for it, then `report` and `gate` answer."
            ) from error
        report = await self.report(analysis.id)
        decision = None if asked is None else await self._decide(analysis.id, asked)
        return Triage(analysis, report, decision)

    async def gate(self, analysis_id: str, policy: PolicySource) -> DecisionView:
        """Hold the report of a finished analysis against a policy: by its name, in full, or a file of it.

        The same analysis and policy have the same answer ever after.  Raises also: InvalidPolicy, OSError.
        """
        return await self._decide(analysis_id, await in_thread(asked_policy, policy))

    async def _decide(self, analysis_id: str, asked: str | dict[str, Any]) -> DecisionView:
        path = f"/v1/analyses/{step(analysis_id)}/gate"
        return await self._connection.read(DecisionView, "POST", path, json={"policy": asked})

    async def create_policy(self, name: str, policy: PolicySource) -> PolicyView:
        """Keep a policy under a name, as its next version; if the latest one says the same, it is the answer.

        Raises also: InvalidPolicy, OSError.
        """
        body = {"name": name, "policy": await in_thread(full_policy, policy)}
        return await self._connection.read(PolicyView, "POST", "/v1/policies", json=body)

    def policies(self, page_size: int | None = None) -> AsyncIterator[PolicyView]:
        """All named policies in their latest version."""
        return self._connection.items(PolicyPage, "/v1/policies", {"limit": page_size})

    async def policy(self, name: str, version: int | None = None) -> PolicyView:
        """A policy by its name (`alignment`, or `alignment@2` for a version); the latest version unless one is given.

        Raises also: InvalidPolicyName.
        """
        named = read_reference(name)
        wanted = named.version if version is None else version
        path = f"/v1/policies/{step(named.name)}" + ("" if wanted is None else f"/versions/{wanted}")
        return await self._connection.read(PolicyView, "GET", path)

    async def decision(self, decision_id: str) -> DecisionView:
        """A decision, as it was made."""
        return await self._connection.read(DecisionView, "GET", f"/v1/decisions/{step(decision_id)}")

    def decisions(
        self,
        *,
        analysis_id: str | None = None,
        decision: Decided | None = None,
        policy: str | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[DecisionView]:
        """Decisions, newest first: of an analysis, of one outcome, by a policy of this name."""
        query = {"analysis_id": analysis_id, "decision": decision, "policy": policy, "limit": page_size}
        return self._connection.items(DecisionPage, "/v1/decisions", query)

    def events(self, analysis_id: str, last_event_id: str | None = None) -> AsyncIterator[AnalysisEvent]:
        """How an analysis stands, whenever that changes, to its end; with `last_event_id`, only what is new since.

        A stream that is lost is taken up again where it was.
        """
        return events_of(self._connection, analysis_id, last_event_id)

    async def model_separation(self, parameters: ModelParameters) -> ModelSeparation:
        """Closed forms of a spiked model: singular values, separation ratios, regimes."""
        return await self._connection.read(ModelSeparation, "POST", "/v1/model/separation", json=_said(parameters))

    async def phase_diagram(self, request: PhaseDiagramRequest) -> PhaseDiagram:
        """Regimes on a grid of signal strength and nuisance correlation, and the curves between them."""
        return await self._connection.read(PhaseDiagram, "POST", "/v1/model/phase-diagram", json=_said(request))

    async def simulate(self, request: SimulationRequest) -> Simulation | AnalysisView:
        """Draw a problem of known truth and solve it; one that takes long comes back as an analysis to wait for."""
        answer = await self._connection.ask("POST", "/v1/model/simulation", json=_said(request))
        if answer.status_code == httpx2.codes.ACCEPTED:
            return self._connection.parse(AnalysisView, answer)
        return self._connection.parse(Simulation, answer)

    async def wait(
        self,
        analysis_id: str,
        timeout_s: float,
        on_change: Callable[[AnalysisView], None] = unheeded,
        on_absence: Callable[[ClientError], None] = unheeded,
    ) -> AnalysisView:
        """Wait until an analysis has succeeded, showing how it stands to `on_change`.

        A service that is away for a while, while it restarts, is shown to `on_absence` and waited for.
        Raises: AnalysisFailed when it ended otherwise, TimeoutError, ClientError.
        """
        return await wait_for(self._connection, analysis_id, timeout_s, on_change, on_absence)

    def _waiting(self, wait_s: int | None) -> dict[str, Any]:
        if wait_s is None:
            return {}
        return {"headers": {"Prefer": f"wait={wait_s}"}, "timeout_s": self._connection.timeout_s + wait_s}


def _said(question: WireModel) -> dict[str, Any]:
    """A question as it is sent: what was said, the rest left to the service."""
    return question.model_dump(mode="json", exclude_unset=True)
