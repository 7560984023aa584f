"""What holds for every test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits
from xdist.scheduler import LoadFileScheduling

from tests.bucket_server import BucketServer, new_server
from tests.places import BucketPlace, DiskPlace, Place


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Compute with one BLAS thread, as workers do: the small matrices of tests only suffer from more."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """An S3-compatible server for all tests of this process that ask for one; each has a prefix of its own."""
    server = new_server(tmp_path_factory.mktemp("bucket-server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def bucket_place(bucket_server: BucketServer, tmp_path_factory: pytest.TempPathFactory) -> BucketPlace:
    """An empty prefix of the bucket."""
    address = bucket_server.address(f"tests/{secrets.token_hex(8)}")
    return BucketPlace(address, tmp_path_factory.mktemp("hosts"), max_label_bytes=1_000_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", choices=["disk", "bucket"], default="disk", help="what whole services keep things in")


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An empty place for a store of either kind."""
    if request.param == "disk":
        return DiskPlace(tmp_path_factory.mktemp("place") / "data", max_label_bytes=1_000_000)
    return request.getfixturevalue("bucket_place")


class ServicesFirst(LoadFileScheduling):
    """Whole files to every process, as collected; of the tests that start services each folder to one process.

    These mostly wait, and some of them have deadlines, which many services at a time would strain.
    """

    def _split_scope(self, nodeid: str) -> str:
        folders = [folder for folder in ("tests/e2e/", "tests/integration/") if nodeid.startswith(folder)]
        return folders[0] if folders else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ServicesFirst:
    """How `pytest --numprocesses 3` deals out the tests: the long files of services come first, and stay first."""
    config.option.loadscopereorder = False
    return ServicesFirst(config, log)
