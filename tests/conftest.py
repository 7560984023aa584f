"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits
from xdist.scheduler import LoadFileScheduling


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Compute with one BLAS thread, as workers do: the small matrices of tests only suffer from more."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


class ServicesInOneProcess(LoadFileScheduling):
    """Whole files to every process, as collected; all tests that start services to one process, one after the other.

    These mostly wait, which leaves the processor to the tests that compute, and some of them have deadlines, which
    two services at a time would strain.
    """

    def _split_scope(self, nodeid: str) -> str:
        services = nodeid.startswith(("tests/e2e/", "tests/integration/"))
        return "services" if services else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ServicesInOneProcess:
    """How `pytest --numprocesses 2` deals out the tests: the long files of services come first, and stay first."""
    config.option.loadscopereorder = False
    return ServicesInOneProcess(config, log)
