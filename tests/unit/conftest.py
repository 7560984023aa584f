"""What some unit tests ask for."""

import pytest

from service.estimation.posterior import sampling


@pytest.fixture
def one_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chain even where coordinates are few: for many small estimates whose posterior is not looked at."""
    monkeypatch.setattr(sampling, "MOST_CHAINS", 1)
