"""The typed client: every call, against the whole service."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from secrets import token_hex

import numpy as np
import pytest

from service.analyses.analysis import State
from service.analyses.dataset import DatasetState
from service.client import NotReachable, Phasegate, ProblemReceived
from service.estimation.labels import LabelType
from service.estimation.options import Options
from service.estimation.simulation import simulate
from service.estimation.spiked_model import model_separation
from service.estimation.terms import Method
from service.schemas.model import ModelParameters, PhaseDiagramRequest, SimulationRequest
from service.schemas.options import EstimationOptions, SubmittedOptions
from tests.driving import KINDS, opened
from tests.e2e.conftest import stop
from tests.e2e.samples import Sample
from tests.e2e.test_service import the_process

PUBLISHED = SubmittedOptions(method=Method.REFERENCE)
MODEL = {
    "kappa": [1.5, 1.2],
    "gamma_x": 1.0,
    "gamma_y": 0.05,
    "gamma_tilde_x": 1.0,
    "gamma_tilde_y": 5.0,
    "nu": 0.6,
    "dx": 7,
    "dy": 5,
}


@pytest.fixture(params=KINDS)
def client(request, running):
    with opened(request.param, running.address) as client:
        yield client


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("upload")
    sample = Sample(seed=21)
    for name in ("x", "y", "rows"):
        np.save(folder / f"{name}.npy", getattr(sample, name))
    (folder / "labels.csv").write_bytes(sample.labels_csv())
    (folder / "score.npy").touch()
    np.save(folder / "score.npy", np.arange(120) % 5)
    np.save(folder / "groups.npy", np.arange(120) // 3)
    (folder / "covariates.csv").write_text("batch\n" + "".join(f"{row % 2}\n" for row in range(120)))
    return {path.stem: path for path in folder.iterdir()}


def test_datasets_label_sets_and_analyses_of_them(client, files):
    seen = []
    dataset = client.create_dataset(
        files["x"],
        files["y"],
        groups=files["groups"],
        covariates=files["covariates"],
        covariate_types={"batch": LabelType.CATEGORICAL},
        on_progress=lambda sent, total: seen.append((sent, total)),
    )
    assert dataset.covariate_types == {"batch": LabelType.CATEGORICAL}
    sizes = [files[part].stat().st_size for part in ("x", "y", "groups", "covariates")]
    assert seen == sorted(seen)
    assert seen[-1] == (sum(sizes), sum(sizes))
    some = client.add_label_set(dataset.id, files["labels"], files["rows"])
    every = client.add_label_set(dataset.id, files["score"], label_types=LabelType.CATEGORICAL)
    assert (some.n_labeled, every.label_types) == (60, {"label_0": LabelType.CATEGORICAL})
    assert [found.id for found in client.label_sets(dataset.id, page_size=1)] == [every.id, some.id]
    assert client.label_set(some.id) == some
    assert client.dataset(dataset.id) == dataset

    options = EstimationOptions(method=Method.REFERENCE)
    analysis = client.submit_stored(dataset.id, some.id, options, {"asked": "by id"}, wait_s=30)
    assert (analysis.state, analysis.metadata) == (State.SUCCEEDED, {"asked": "by id"})
    assert client.report(analysis.id).method is Method.REFERENCE
    assert client.report_json(analysis.id)["method"] == "reference"

    client.delete_label_set(every.id)
    client.delete_dataset(dataset.id)
    client.delete_analysis(analysis.id)
    for look, gone in (
        (client.label_set, every.id),
        (client.label_set, some.id),
        (client.dataset, dataset.id),
        (client.analysis, analysis.id),
    ):
        with pytest.raises(ProblemReceived, match="_not_found"):
            look(gone)


def test_a_dataset_may_come_in_parts(client, files):
    dataset = client.open_dataset()
    assert (dataset.state, dataset.missing_parts) == (DatasetState.OPEN, ["x", "y"])
    seen = []
    client.put_part(dataset.id, "x", files["x"], lambda sent, total: seen.append((sent, total)))
    assert seen[-1] == (files["x"].stat().st_size,) * 2
    ready = client.put_part(dataset.id, "y", files["y"])
    assert (ready.state, ready.n_pairs) == (DatasetState.READY, 120)
    assert ready.id in {found.id for found in client.datasets(page_size=2)}


def test_a_part_that_changes_while_it_is_sent_is_refused_and_not_kept(client, tmp_path):
    x = tmp_path / "x.npy"
    np.save(x, np.zeros((1000, 400)))
    dataset = client.open_dataset()

    def change_the_end(sent, total):
        with x.open("r+b") as file:
            file.seek(total - 8)
            file.write(b"otherwise"[:8])

    with pytest.raises(ProblemReceived) as received:
        client.put_part(dataset.id, "x", x, change_the_end)
    assert (received.value.problem.status, received.value.problem.code) == (400, "digest_mismatch")
    assert client.dataset(dataset.id).missing_parts == ["x", "y"]
    client.delete_dataset(dataset.id)


def test_lists_of_analyses_are_filtered_and_go_over_all_pages(client, files):
    upload = (files["x"], files["y"], files["labels"], files["rows"], PUBLISHED)
    series = token_hex(4)
    ids = [client.submit(*upload, metadata={"series": series, "run": str(run)}, wait_s=30).id for run in range(3)]
    assert [found.id for found in client.analyses(metadata={"series": series}, page_size=1)] == ids[::-1]
    assert [found.id for found in client.analyses(State.SUCCEEDED, {"series": series, "run": "1"})] == [ids[1]]
    assert list(client.analyses([State.FAILED, State.CANCELLED], {"series": series})) == []
    assert client.cancel(ids[0]).state is State.SUCCEEDED


def test_limits(client):
    limits = client.limits()
    assert limits.data.min_pairs == 20
    assert (limits.model.max_features, limits.model.max_pairs, limits.model.max_diagram_points) == (512, 100_000, 201)
    assert (limits.model.inline_values, limits.model.inline_features) == (2_000_000, 128)


def test_an_id_is_one_step_of_a_path_whatever_is_in_it(client):
    for nonsense in ("../limits", "a?b=c", "ä/ö"):
        with pytest.raises(ProblemReceived) as received:
            client.analysis(nonsense)
        assert received.value.problem.status == 404


def test_questions_about_the_model(client):
    parameters = ModelParameters(**MODEL)
    assert client.model_separation(parameters) == model_separation(parameters.spiked_model())
    diagram = client.phase_diagram(
        PhaseDiagramRequest(gamma_x=1.0, gamma_y=0.05, gamma_tilde_x=1.0, gamma_tilde_y=5.0, nu={"count": 3})
    )
    assert len(diagram.nu) == 3
    small = SimulationRequest(**MODEL, n_pairs=400, seed=3)
    assert client.simulate(small) == simulate(small.spiked_model(), 400, 3)
    options = Options(method=Method.REFERENCE)
    asked = SimulationRequest(
        **MODEL, n_pairs=400, seed=3, n_labeled=100, options=EstimationOptions(method=Method.REFERENCE)
    )
    analysis = client.simulate(asked)
    client.wait(analysis.id, 60)
    assert client.simulation(analysis.id) == simulate(small.spiked_model(), 400, 3, n_labeled=100, options=options)


def test_a_waiting_client_outlives_a_restart_of_the_service(own, files):
    first = own("--workers", "1")
    port = first.address.rpartition(":")[2]
    away = threading.Event()
    with Phasegate(first.address) as client, ThreadPoolExecutor(1) as pool:
        submitted = client.submit(files["x"], files["y"], files["labels"], files["rows"], PUBLISHED)
        assert stop(first) == 0
        with pytest.raises(NotReachable, match="connection refused"):
            client.analysis(submitted.id)
        waiting = pool.submit(client.wait, submitted.id, 60, on_absence=lambda error: away.set())
        assert away.wait(30)
        own("--workers", "1", "--port", port)
        assert waiting.result(60).state is State.SUCCEEDED


def test_an_api_that_is_killed_in_the_middle_of_calls_makes_nothing_twice(own, tmp_path):
    """Calls are lost at any moment, also between what they make and its answer; the client repeats them."""
    service = own("--workers", "1")
    uploads = []
    for seed in range(8):
        sample = Sample(seed=seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        np.save(folder / "x.npy", sample.x)
        np.save(folder / "y.npy", sample.y)
        np.save(folder / "rows.npy", sample.rows)
        (folder / "labels.csv").write_bytes(sample.labels_csv())
        uploads.append([folder / name for name in ("x.npy", "y.npy", "labels.csv", "rows.npy")])
    with Phasegate(service.address) as client, ThreadPoolExecutor(4) as pool:
        submitted = [pool.submit(client.submit, *upload, PUBLISHED, reuse=False) for upload in uploads]
        ids = []
        for answered in as_completed(submitted, timeout=100):
            ids.append(answered.result().id)
            if len(ids) == 2:  # others are on their way
                os.kill(the_process(service, "service.cli api"), signal.SIGKILL)
        assert sorted(ids) == sorted(found.id for found in client.analyses())
        assert len(list(client.datasets())) == len(set(ids)) == 8
        assert {client.wait(analysis_id, 60).state for analysis_id in ids} == {State.SUCCEEDED}
