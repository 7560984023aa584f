from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from service.serving.data_lock import DataDirectoryInUse, hold_data_dir
from service.serving.embedded_server import UnsafeSocketDirectory, prepare_server, remove_socket
from service.storage.redis_queue import RedisQueue, open_connection

from .waiting import is_alive, lines, wait_until

ROOT = Path(__file__).parents[2]
STOP_WITHIN_S = 10
BACK_WITHIN_S = 10


class Tree:
    """A running tree, seen from outside."""

    def __init__(self, data_dir: Path, behaviour: str, *api_arguments: str, **settings: str) -> None:
        self.data_dir = data_dir
        self.journal = data_dir.parent / "journal"
        environment = os.environ | {
            "PHASEGATE_PORT": "0",
            "PHASEGATE_WORKERS": "1",
            "PHASEGATE_DATA_DIR": str(data_dir),
            **settings,
        }
        command = [sys.executable, "-m", "tests.integration.tree_stand_in", behaviour, str(self.journal)]
        self.process = subprocess.Popen(
            [*command, *api_arguments],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_ready(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("http://"):
                return line.strip()
        raise AssertionError("the tree ended")

    def get(self) -> dict[str, object]:
        address = (self.data_dir / "address").read_text().strip()
        with urllib.request.urlopen(f"{address}/readyz", timeout=BACK_WITHIN_S) as answer:
            loaded: dict[str, object] = json.load(answer)
        return loaded

    def children(self) -> dict[int, str]:
        """Every living process whose parent is the root, with its command line."""
        listing = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        found = {}
        for pid in listing.split():
            with suppress(FileNotFoundError, ProcessLookupError):  # reaped since it was listed
                found[int(pid)] = Path(f"/proc/{pid}/cmdline").read_text()
        return found

    def child(self, word: str) -> int:
        def found() -> int:
            return next((pid for pid, line in self.children().items() if word in line), 0)

        return wait_until(found, BACK_WITHIN_S)

    def queue(self) -> RedisQueue:
        url = prepare_server(self.data_dir).url
        return RedisQueue(open_connection(url), time_limit_s=60)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


StartTree = Callable[..., Tree]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start_tree(data_dir: Path) -> Iterator[StartTree]:
    trees: list[Tree] = []

    def start(behaviour: str = "return", *api_arguments: str, at: Path = data_dir, **settings: str) -> Tree:
        trees.append(Tree(at, behaviour, *api_arguments, **settings))
        return trees[-1]

    yield start
    for tree in trees:
        tree.end()


def run_one(tree: Tree) -> None:
    """An analysis goes through queue and worker."""
    analysis_id = f"an-{uuid4().hex}"
    tree.queue().enqueue(analysis_id)
    wait_until(lambda: any(line.startswith(analysis_id) for line in lines(tree.journal)), 15)


def test_a_tree_serves_works_and_stops(start_tree: StartTree, data_dir: Path) -> None:
    tree = start_tree()
    url = tree.wait_until_ready()
    assert (data_dir / "address").read_text() == f"{url}\n"
    environment = tree.get()["environment"]
    assert isinstance(environment, dict)
    assert environment["PHASEGATE_REDIS_URL"] == f"unix://{data_dir}/server/valkey.sock"
    assert environment["PHASEGATE_DATA_DIR"] == str(data_dir)
    run_one(tree)
    modes = {path: (data_dir / path).stat().st_mode & 0o777 for path in (".", "server", "server/valkey.sock")}
    assert set(modes.values()) == {0o700}, modes
    pids = [tree.process.pid, *tree.children()]
    assert len(pids) == 4
    began = time.monotonic()
    tree.process.terminate()
    assert tree.process.wait(timeout=STOP_WITHIN_S) == 0
    sys.stderr.write(f"\nidle tree stopped after {time.monotonic() - began:.2f} s\n")
    assert not [pid for pid in pids if is_alive(pid)]
    assert not (data_dir / "address").exists()
    assert not (data_dir / "server" / "valkey.sock").exists()


def test_every_kind_of_child_comes_back(start_tree: StartTree) -> None:
    tree = start_tree()
    tree.wait_until_ready()
    run_one(tree)
    for word in ("api_stand_in", "worker_stand_in", "valkey-server"):
        pid = tree.child(word)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda pid=pid, word=word: tree.child(word) != pid, BACK_WITHIN_S)  # type: ignore[misc]
        if word == "api_stand_in":
            assert tree.get()["pid"] != pid  # on the same port; the connection waits in the backlog
        run_one(tree)
        took_s = time.monotonic() - killed
        sys.stderr.write(f"\n{word}: back at work after {took_s:.2f} s\n")
        assert took_s < BACK_WITHIN_S


def test_an_acknowledged_analysis_survives_the_server(start_tree: StartTree) -> None:
    tree = start_tree(PHASEGATE_WORKERS="1")
    tree.wait_until_ready()
    worker = tree.child("worker_stand_in")
    os.kill(worker, signal.SIGSTOP)
    analysis_id = f"an-{uuid4().hex}"
    tree.queue().enqueue(analysis_id)
    os.kill(tree.child("valkey-server"), signal.SIGKILL)
    wait_until(lambda: tree.queue().find(analysis_id), BACK_WITHIN_S)
    os.kill(worker, signal.SIGCONT)
    wait_until(lambda: any(line.startswith(analysis_id) for line in lines(tree.journal)), 20)


def test_a_child_that_keeps_dying_is_started_ever_more_slowly(start_tree: StartTree) -> None:
    tree = start_tree("return", "fails")
    assert tree.process.stdout is not None
    moments: list[float] = []
    for line in tree.process.stdout:
        if "child_started" in line and "api" in line:
            moments.append(time.monotonic())
        if len(moments) == 5:
            break
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert gaps[-1] > gaps[0] + 0.5
    tree.process.terminate()
    assert tree.process.wait(timeout=STOP_WITHIN_S) == 0


def test_ctrl_c_with_a_running_analysis_stops_everything_in_time(start_tree: StartTree) -> None:
    tree = start_tree("sleep")
    tree.wait_until_ready()
    run_one(tree)
    horse = int(lines(tree.journal)[0].split()[1])
    pids = [tree.process.pid, *tree.children(), horse]
    began = time.monotonic()
    os.killpg(tree.process.pid, signal.SIGINT)  # as a terminal does
    assert tree.process.wait(timeout=STOP_WITHIN_S) == 0
    sys.stderr.write(f"\nbusy tree stopped after {time.monotonic() - began:.2f} s\n")
    assert not [pid for pid in pids if is_alive(pid)]


def test_a_second_signal_stops_at_once(start_tree: StartTree) -> None:
    tree = start_tree("sleep")
    tree.wait_until_ready()
    run_one(tree)
    horse = int(lines(tree.journal)[0].split()[1])
    os.kill(tree.child("worker_stand_in"), signal.SIGSTOP)  # would hold up the stop until SIGKILL
    began = time.monotonic()
    tree.process.send_signal(signal.SIGINT)
    assert tree.process.stdout is not None
    assert any("stopping" in line for line in tree.process.stdout)
    tree.process.send_signal(signal.SIGINT)
    assert tree.process.wait(timeout=3) == 0
    assert time.monotonic() - began < 3
    wait_until(lambda: not is_alive(horse), 1)


def test_a_killed_root_leaves_no_orphan_and_its_directory_free(start_tree: StartTree, data_dir: Path) -> None:
    tree = start_tree("sleep")
    tree.wait_until_ready()
    run_one(tree)
    horse = int(lines(tree.journal)[0].split()[1])
    pids = [*tree.children(), horse]
    tree.process.kill()
    wait_until(lambda: not [pid for pid in pids if is_alive(pid)], 2)
    again = start_tree("return")
    again.wait_until_ready()
    assert again.queue().find(lines(again.journal)[0].split()[0]), "the interrupted analysis is not forgotten"


def test_a_second_tree_on_the_directory_is_refused(start_tree: StartTree, data_dir: Path) -> None:
    first = start_tree()
    first.wait_until_ready()
    second = start_tree()
    _, error = second.process.communicate(timeout=10)
    assert second.process.returncode == 1
    assert str(first.process.pid) in error
    assert str(data_dir) in error
    assert "PHASEGATE_DATA_DIR" in error
    assert first.get()["pid"] == first.child("api_stand_in"), "the first one is not disturbed"


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    with (
        hold_data_dir(tmp_path / "new"),
        pytest.raises(DataDirectoryInUse, match=str(os.getpid())),
        hold_data_dir(tmp_path / "new"),
    ):
        pass
    with hold_data_dir(tmp_path / "new"):
        pass


def test_a_port_in_use_is_refused_by_name(start_tree: StartTree, data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        tree = start_tree(PHASEGATE_PORT=str(port))
        _, error = tree.process.communicate(timeout=10)
    assert tree.process.returncode == 1
    assert f"Port {port}" in error
    assert "--port" in error
    assert "Traceback" not in error
    assert not (data_dir / "address").exists()


def test_a_server_that_does_not_start_ends_the_tree(start_tree: StartTree, data_dir: Path) -> None:
    manifest = data_dir / "server" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("not a manifest\n")
    tree = start_tree()
    _, error = tree.process.communicate(timeout=15)
    assert tree.process.returncode == 1
    assert str(data_dir / "server" / "valkey.log") in error
    assert "Traceback" not in error


def test_a_server_whose_folder_was_removed_while_it_was_dead_comes_back(start_tree: StartTree, data_dir: Path) -> None:
    tree = start_tree()
    tree.wait_until_ready()
    server = tree.child("valkey-server")
    os.kill(tree.process.pid, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)
    shutil.rmtree(data_dir / "server")
    os.kill(tree.process.pid, signal.SIGCONT)
    wait_until(lambda: tree.child("valkey-server") != server, BACK_WITHIN_S)
    run_one(tree)


def test_a_path_too_long_for_a_socket_works(start_tree: StartTree, tmp_path: Path) -> None:
    long = tmp_path / ("long " + "x" * 120) / 'with "quotes"'
    tree = start_tree(at=long)
    tree.wait_until_ready()
    run_one(tree)
    socket_directory = prepare_server(long).socket_path.parent
    assert socket_directory.stat().st_mode & 0o777 == 0o700
    tree.process.terminate()
    assert tree.process.wait(timeout=STOP_WITHIN_S) == 0
    assert not socket_directory.exists()


def test_a_socket_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    long = tmp_path / ("x" * 120)
    private = prepare_server(long).socket_path.parent
    private.chmod(0o755)
    with pytest.raises(UnsafeSocketDirectory):
        prepare_server(long)
    private.rmdir()
    private.symlink_to(tmp_path)
    with pytest.raises(UnsafeSocketDirectory):
        prepare_server(long)


def test_a_temporary_directory_too_long_for_a_socket_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    server = prepare_server(long)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(server.socket_path))  # refuses a path that is too long
    assert server.socket_path.parent.stat().st_mode & 0o777 == 0o700
    remove_socket(server)
    assert not server.socket_path.parent.exists()


# Forked from a process of one thread, which a test's own process need not be.
DEAD_BETWEEN_FORK_AND_PRCTL = """
import os
from service.worker.parent_death import parent_death_guard

guard = parent_death_guard()
pid = os.fork()
if pid == 0:
    os.getppid = lambda: 1
    guard()
    os._exit(0)
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status))
"""


def test_a_child_whose_parent_died_before_the_guard_dies_too() -> None:
    command = [sys.executable, "-c", DEAD_BETWEEN_FORK_AND_PRCTL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == -signal.SIGKILL
