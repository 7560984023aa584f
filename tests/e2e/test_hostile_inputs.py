"""Everything hostile that `make bench-hostile` measures, against the whole service."""

from benchmarks.hostile import api_process, measure
from benchmarks.hostile_inputs import SETTINGS, inputs


def test_hostile_input_is_refused_with_its_own_code_in_bounded_memory_and_leaves_nothing(own, tmp_path):
    running = own(**SETTINGS)
    api = api_process(tmp_path / "data.log")
    measured = [measure(hostile, running.address, api, running.data_dir) for hostile in inputs()]
    faulty = [found for found in measured if found.faults]
    assert faulty == []
    assert len({found.name for found in measured}) == len(measured) > 50
