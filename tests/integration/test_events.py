"""Following an analysis: a stream of events that outlives every bound on silence, and waits that end when it does."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from redis import Redis

from service.access.administration import create_key
from service.analyses.analysis import RECORD_VERSION, Failure, Outcome, Progress
from service.api import events, waiting
from service.api.server import new_server
from service.settings import Settings
from service.storage import queue_scripts
from service.storage.redis_queue import open_connection, publish_progress, timestamp
from service.wiring import build_api, open_keys
from tests.e2e.samples import Sample

from .conftest import Valkey
from .test_redis_queue import pop
from .waiting import wait_until

QUICK = {"options": '{"method": "reference"}', "reuse": "false"}
SILENCE_S = 0.4
FAILURE = Failure("internal_error", "The service failed. Tell the operator.", None)


@dataclass(frozen=True)
class Event:
    name: str
    data: dict[str, Any]
    id: str


@dataclass
class Served:
    address: str
    server: uvicorn.Server
    settings: Settings
    redis: Redis
    submitted: list[str] = field(default_factory=list)

    @property
    def state(self) -> Any:
        return self.server.config.app._app.app._app.state

    def submit(self, seed: int = 0) -> str:
        answer = httpx2.post(f"{self.address}/v1/analyses", files=Sample(seed=seed).files(), data=QUICK)
        assert answer.status_code == 202, answer.text
        self.submitted.append(answer.json()["id"])
        return self.submitted[-1]

    def start(self, analysis_id: str, execution: str = "e") -> None:
        """As a worker does that takes the next analysis."""
        assert pop(self.redis) == analysis_id
        assert queue_scripts.start(self.redis, analysis_id, execution, timestamp(datetime.now(UTC)), "w")

    def progress(self, analysis_id: str, stage: str, fraction: float) -> None:
        publish_progress(self.redis, analysis_id, Progress(stage, fraction))

    def settle(self, analysis_id: str, *, announced: bool = True) -> None:
        services = build_api(self.settings)
        outcome = Outcome(RECORD_VERSION, datetime.now(UTC), datetime.now(UTC), FAILURE)
        assert services.stores.of("default").analyses.settle(analysis_id, outcome, None)
        if announced:
            services.queue.announce(analysis_id)

    @contextmanager
    def followed(self, analysis_id: str) -> Iterator[None]:
        """An open stream whose first event has come."""
        with self.stream(analysis_id) as answer:
            lines = answer.iter_lines()  # the line is cut when nobody reads on
            while not next(lines).startswith("data"):
                pass
            yield

    @contextmanager
    def stream(self, analysis_id: str, last_id: str | None = None, **headers: str) -> Iterator[httpx2.Response]:
        headers |= {} if last_id is None else {"Last-Event-ID": last_id}
        address = f"{self.address}/v1/analyses/{analysis_id}/events"
        with httpx2.Client(timeout=20) as client, client.stream("GET", address, headers=headers) as answer:
            yield answer


def told(answer: httpx2.Response) -> Iterator[Event]:
    """The events of a stream as they come."""
    assert answer.status_code == 200
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Event(fields["event"], json.loads(fields["data"]), fields["id"])
            fields = {}


@contextmanager
def serving(data_dir: Path, redis_url: str, **changed: Any) -> Iterator[Served]:
    """The API on a port, impatient with those who are silent."""
    spooled_in, connection = tempfile.tempdir, open_connection(redis_url)
    with pytest.MonkeyPatch.context() as patched, socket.create_server(("127.0.0.1", 0)) as listening:
        patched.setattr(waiting, "LOOK_INTERVAL_S", 0.05)
        patched.setattr(waiting, "STORE_INTERVAL_S", 0.1)
        settings = Settings(
            data_dir=data_dir, redis_url=redis_url, body_silence_s=SILENCE_S, rate_per_minute=0, **changed
        )
        server = new_server(settings)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        wait_until(lambda: server.started, 10)
        yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", server, settings, connection)
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()
        tempfile.tempdir = spooled_in
        connection.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey) -> Iterator[Served]:
    """One API for all tests of this file that leave it as it is."""
    with serving(tmp_path_factory.mktemp("api") / "data", shared_valkey.url) as found:
        yield found


@pytest.fixture
def served(shared: Served) -> Iterator[Served]:
    """The same, with nothing that waits or runs."""
    yield shared
    for state in ("queued", "running"):
        for analysis in httpx2.get(f"{shared.address}/v1/analyses", params={"state": state}).json()["items"]:
            httpx2.post(f"{shared.address}/v1/analyses/{analysis['id']}/cancel")
    for analysis_id in shared.submitted:
        queue_scripts.forget(shared.redis, analysis_id)
    shared.submitted.clear()


@pytest.fixture
def own(request: pytest.FixtureRequest, tmp_path: Path, valkey: Valkey) -> Iterator[Served]:
    """An API and a queue of the test's own."""
    with serving(tmp_path / "data", valkey.url, **getattr(request, "param", {})) as found:
        yield found


def test_progress_is_told_as_it_happens_and_the_end_ends_the_stream(served: Served) -> None:
    analysis_id = served.submit()
    with served.stream(analysis_id) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
        stream = told(answer)
        assert next(stream).data == {"state": "queued", "stage": "queued", "fraction": 0.0, "queue_position": 0}
        served.start(analysis_id)
        assert next(stream).data == {"state": "running", "stage": "start", "fraction": 0.0, "queue_position": None}
        served.progress(analysis_id, "moments", 0.25)
        event = next(stream)
        assert event.name == "progress"
        assert event.data == {"state": "running", "stage": "moments", "fraction": 0.25, "queue_position": None}
        served.settle(analysis_id)
        (last,) = stream
    assert last.name == "failed"
    assert last.data == httpx2.get(f"{served.address}/v1/analyses/{analysis_id}").json()
    assert last.data["error"]["code"] == "internal_error"


def test_a_stream_outlives_every_bound_on_silence(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", SILENCE_S / 2)
    analysis_id = served.submit()
    with served.stream(analysis_id) as answer:
        lines = answer.iter_lines()
        heartbeats = 0
        while heartbeats < 6:  # three times as long as a client may be silent
            heartbeats += next(lines) == ":"
        served.settle(analysis_id)
        assert "event: failed" in list(lines)


def test_a_client_that_comes_back_is_told_only_what_is_new(served: Served) -> None:
    analysis_id = served.submit()
    served.start(analysis_id)
    served.progress(analysis_id, "moments", 0.25)
    with served.stream(analysis_id) as answer:
        first = next(told(answer))
    with served.stream(analysis_id, first.id) as answer:
        served.progress(analysis_id, "posterior", 0.5)
        second = next(told(answer))
    assert (second.data["stage"], second.data["fraction"]) == ("posterior", 0.5)
    served.settle(analysis_id)
    with served.stream(analysis_id, second.id) as answer:
        (last,) = told(answer)
    assert last.name == "failed"
    with served.stream(analysis_id, last.id) as answer:
        assert answer.status_code == 204, "upon which a browser asks no more"
    for other in ("", "no such id", first.id, "0" * 10_000):
        with served.stream(analysis_id, other) as answer:
            assert list(told(answer)) == [last]


def test_an_id_of_an_earlier_attempt_is_answered_with_how_things_stand(served: Served) -> None:
    analysis_id = served.submit()
    served.start(analysis_id)
    served.progress(analysis_id, "moments", 0.25)
    with served.stream(analysis_id) as answer:
        first = next(told(answer))
        queue_scripts.end(served.redis, analysis_id, "e", queue_scripts.Ending.HAND_BACK)
        served.start(analysis_id, "f")
        served.progress(analysis_id, "moments", 0.25)
    with served.stream(analysis_id, first.id) as answer:
        again = next(told(answer))
    assert again.data == first.data
    assert again.id != first.id


def test_an_end_that_nobody_announces_is_told_all_the_same(served: Served) -> None:
    analysis_id = served.submit()
    with served.stream(analysis_id) as answer:
        stream = told(answer)
        next(stream)
        served.settle(analysis_id, announced=False)
        assert [event.name for event in stream] == ["failed"]


def test_a_stream_lives_without_the_queue_and_tells_what_the_store_knows(own: Served, valkey: Valkey) -> None:
    analysis_id = own.submit()
    own.start(analysis_id)
    with own.stream(analysis_id) as answer:
        stream = told(answer)
        assert next(stream).data["state"] == "running"
        valkey.process.kill()
        valkey.process.wait()
        services = build_api(own.settings)
        outcome = Outcome(RECORD_VERSION, None, datetime.now(UTC), FAILURE)
        assert services.stores.of("default").analyses.settle(analysis_id, outcome, None)
        assert [event.name for event in stream] == ["failed"], "it did not fall back to queued meanwhile"


def test_what_is_removed_is_followed_no_longer(served: Served) -> None:
    analysis_id = served.submit()
    with served.stream(analysis_id) as answer:
        stream = told(answer)
        next(stream)
        build_api(served.settings).stores.of("default").analyses.remove(analysis_id)
        queue_scripts.forget(served.redis, analysis_id)
        assert {event.name for event in stream} <= {"progress"}


def test_whoever_hangs_up_holds_nothing(served: Served) -> None:
    analysis_id = served.submit()
    with served.followed(analysis_id), served.followed(analysis_id):
        assert served.state.taken.streams.total() == 2
        (watch,) = served.state.watches._watches.values()
        assert watch.n_waiting == 2
    wait_until(lambda: not served.state.watches._watches, 5)
    assert not served.state.taken.streams
    assert len(served.server.server_state.tasks) == 0


def test_a_server_that_drains_ends_its_streams_without_a_last_event(own: Served) -> None:
    analysis_id = own.submit()
    with own.stream(analysis_id) as answer:
        stream = told(answer)
        assert next(stream).name == "progress"
        own.state.draining.set()
        assert list(stream) == []


@pytest.mark.parametrize("own", [{"max_streams": 2}, {"max_connections": 5}], indirect=True)
def test_more_streams_than_there_is_room_for_are_refused_until_one_ends(own: Served) -> None:
    analysis_id = own.submit()
    with own.followed(analysis_id):
        with own.followed(analysis_id):
            with own.stream(analysis_id) as third:
                third.read()
            assert (third.status_code, third.json()["code"]) == (429, "too_many_streams")
            assert int(third.headers["retry-after"]) > 0
        wait_until(lambda: own.state.taken.streams.total() == 1, 5)
        with own.followed(analysis_id):
            pass


@pytest.mark.parametrize("own", [{"max_streams": 1}], indirect=True)
def test_a_wait_counts_as_a_stream_and_a_submission_is_answered_at_once_when_there_is_no_room(own: Served) -> None:
    analysis_id = own.submit()
    waiting = {"Prefer": "wait=30"}
    with own.followed(analysis_id):
        for path in (f"/v1/analyses/{analysis_id}", f"/v1/analyses/{analysis_id}/report"):
            refused = httpx2.get(f"{own.address}{path}", headers=waiting)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        made = httpx2.post(f"{own.address}/v1/analyses", files=Sample(seed=1).files(), data=QUICK, headers=waiting)
        assert made.status_code == 202
        assert "preference-applied" not in made.headers
    wait_until(lambda: not own.state.taken.streams, 5)
    waited = httpx2.get(f"{own.address}/v1/analyses/{analysis_id}", headers={"Prefer": "wait=0"})
    assert (waited.status_code, waited.headers["preference-applied"]) == (200, "wait=0")


@pytest.mark.parametrize("own", [{"require_keys": True}], indirect=True)
def test_an_analysis_is_followed_by_those_who_may_read_it_and_by_no_others(own: Served) -> None:
    keys = open_keys(own.settings)
    mine = {"Authorization": f"Bearer {create_key(keys, 'me', 'default', ['submit', 'read'], None)}"}
    writes = {"Authorization": f"Bearer {create_key(keys, 'w', 'default', ['submit'], None)}"}
    other = {"Authorization": f"Bearer {create_key(keys, 'you', 'other', ['submit', 'read'], None)}"}
    sent = httpx2.post(f"{own.address}/v1/analyses", files=Sample().files(), data=QUICK, headers=mine)
    analysis_id = sent.json()["id"]
    for headers, status in (({}, 401), (writes, 403), (other, 404), (mine, 200)):
        with own.stream(analysis_id, **headers) as answer:
            assert answer.status_code == status


def test_a_stream_ends_in_time_so_that_its_client_shows_its_key_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LONGEST_S", 0.0)
    analysis_id = served.submit()
    with served.stream(analysis_id) as answer:
        (first,) = told(answer)
    assert first.name == "progress"
    served.settle(analysis_id)
    with served.stream(analysis_id, first.id) as answer:
        assert [event.name for event in told(answer)] == ["failed"]


def test_an_unknown_analysis_cannot_be_followed(served: Served) -> None:
    with served.stream(f"an-{'0' * 32}") as answer:
        answer.read()
        assert (answer.status_code, answer.json()["code"]) == (404, "analysis_not_found")


@pytest.mark.parametrize(("what", "status"), [("", 200), ("/report", 409)])
def test_a_wait_ends_when_the_analysis_does(served: Served, what: str, status: int) -> None:
    analysis_id = served.submit()
    address = f"{served.address}/v1/analyses/{analysis_id}{what}"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx2.get, address, headers={"Prefer": "wait=50"}, timeout=60)
        wait_until(lambda: served.state.watches._watches, 10)
        served.settle(analysis_id)
        answer = asked.result(20)
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["state"] == "failed"
        assert answer.headers["preference-applied"] == "wait=50"
        assert "retry-after" not in answer.headers
    else:
        assert answer.json()["code"] == "no_report"


def test_a_wait_that_is_over_before_the_analysis_says_how_it_stands(served: Served) -> None:
    analysis_id = served.submit()
    address = f"{served.address}/v1/analyses/{analysis_id}"
    answer = httpx2.get(address, headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert answer.headers["preference-applied"] == "wait=0"
    assert "retry-after" in answer.headers
    report = httpx2.get(f"{address}/report", headers={"Prefer": "wait=0"})
    assert (report.status_code, report.json()["code"]) == (409, "report_not_ready")
