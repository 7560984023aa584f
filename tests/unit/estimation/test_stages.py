import pytest

from service.estimation.stages import Stages


def test_announces_and_times_every_stage():
    heard = []
    stages = Stages(lambda stage, fraction: heard.append((stage, fraction)))
    stages.begin("read", 0.0)
    stages.begin("count", 0.4)
    timings = stages.finish()
    assert heard == [("read", 0.0), ("count", 0.4), ("done", 1.0)]
    assert list(timings.stages_s) == ["read", "count"]
    assert min(timings.stages_s.values()) >= 0
    assert timings.total_s == pytest.approx(sum(timings.stages_s.values()))


def test_what_the_listener_raises_stops_the_work():
    def cancel(stage, fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Stages(cancel).begin("read", 0.0)
