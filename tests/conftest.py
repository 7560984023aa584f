"""What holds for every test."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Compute with one BLAS thread, as workers do: the small matrices of tests only suffer from more."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield
