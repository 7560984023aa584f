"""Whatever dies, an accepted analysis has exactly one end: the faults of `make bench-faults`, once."""

import os
import shutil

import pytest

from benchmarks.faults import FAULTS, endure, service_for

BY_NAME = {fault.name: fault for fault in FAULTS}
TOGETHER = (
    ("truncated array", "SIGKILL of an attempt's process", "SIGKILL of the API during an upload"),
    ("altered array", "SIGKILL of all workers", "SIGKILL of the embedded server"),
    ("SIGKILL of the API before it queues", "embedded server without its data"),
    ("clock set forwards by an hour",),
    ("clock set back by an hour",),
)


def endured_by(service, names, first_seed=0):
    faults = [BY_NAME[name] for name in names]
    endured = endure(service, faults, n_analyses=4, times=1, first_seed=first_seed)
    assert endured.accepted >= 4
    assert endured.holds, endured
    assert endured.longest_s < 30, endured
    assert endured.failed == {fault.ends_failed: 1 for fault in faults if fault.ends_failed}, endured
    return endured


@pytest.mark.skipif(shutil.which("cc") is None, reason="a clock that can be set needs a C compiler")
def test_every_accepted_analysis_has_exactly_one_end_whatever_dies_and_whoever_sets_the_clock(tmp_path):
    with service_for(BY_NAME["clock set forwards by an hour"], tmp_path) as service:
        for place, names in enumerate(TOGETHER):
            endured_by(service, names, first_seed=100 * place)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be mounted by root alone")
def test_every_accepted_analysis_has_exactly_one_end_when_the_disk_was_full(tmp_path):
    with service_for(BY_NAME["full disk"], tmp_path) as service:
        endured_by(service, ["full disk"])
