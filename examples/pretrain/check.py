"""Runs both hooks before real training loops, alone and on two ranks, and sends tensors of every kind."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import with_lightning
import with_trainer
from phasegate_gate import RunStopped
from two_towers import Pairs, TwoTowers

from phasegate import Phasegate

HERE = Path(__file__).parent
SAMPLES = Path(os.environ["PHASEGATE_SAMPLES"])
NOWHERE = "http://127.0.0.1:9"


def main() -> None:
    for fit in (with_lightning.fit, with_trainer.fit):
        one_process(fit)
    with Phasegate() as client:
        for program in ("with_lightning.py", "with_trainer.py"):
            two_ranks(client, program, "aligned", 0, "rank {rank}: 2 steps.")
            two_ranks(client, program, "hidden", 1, "rank {rank}: 0 steps. The gate says fail.")
            away = "rank {rank}: 0 steps. The gate says unreachable."
            two_ranks(client, program, "aligned", 1, away, PHASEGATE_URL=NOWHERE)
        tensors(client)


def one_process(fit: Callable[..., None]) -> None:
    """A run that may start, runs that may not, and one whose service is away."""
    starts(fit, "aligned")
    stops(fit, "hidden", "fail")
    stops(fit, "open", "abstain")
    starts(fit, "open", starts_on=frozenset({"pass", "abstain"}))
    stops(fit, "aligned", "error", policy="no-such-policy")
    stops(fit, "aligned", "unreachable", url=NOWHERE)
    starts(fit, "aligned", url=NOWHERE, starts_on=frozenset({"pass", "unreachable"}))


def starts(fit: Callable[..., None], sample: str, **gate: object) -> None:
    model, pairs = made(sample)
    before = model.project_x.weight.detach().clone()
    fit(model, pairs, **gate)
    assert model.steps == 2
    assert not torch.equal(before, model.project_x.weight)
    print(f"{fit.__module__}, {sample} {gate}: {model.steps} steps")


def stops(fit: Callable[..., None], sample: str, answer: str, **gate: object) -> None:
    model, pairs = made(sample)
    stopped = None
    try:
        fit(model, pairs, **gate)
    except RunStopped as error:
        stopped = error
    assert stopped is not None, f"{fit.__module__} trained on {sample}"
    assert stopped.verdict.answer == answer, stopped
    assert (stopped.verdict.decision_id is None) == (answer in ("unreachable", "error")), stopped
    assert model.steps == 0
    print(f"{fit.__module__}, {sample} {gate}: {stopped}")


def made(sample: str) -> tuple[TwoTowers, Pairs]:
    torch.manual_seed(0)
    pairs = Pairs(SAMPLES / sample)
    return TwoTowers(pairs.x.shape[1], pairs.y.shape[1]), pairs


def two_ranks(client: Phasegate, program: str, sample: str, code: int, said: str, **environment: str) -> None:
    """Both ranks start or stop, and only one of them has asked."""
    run = uuid.uuid4().hex
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*command, HERE / program, SAMPLES / sample, run],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert ended.returncode == code, ended.stderr
    for rank in (0, 1):
        assert said.format(rank=rank) in ended.stdout, ended.stdout + ended.stderr
    asked = list(client.analyses(metadata={"run": run}))
    assert len(asked) == (0 if environment else 1), asked
    print(f"two ranks, {program}, {sample} {environment}: exit code {ended.returncode}, {len(asked)} analyses")


def tensors(client: Phasegate) -> None:
    """bfloat16, which numpy does not have, a tensor in a graph, a view: the report is that of the values."""
    pairs = Pairs(SAMPLES / "aligned")
    coarse, grown = pairs.x.to(torch.bfloat16), pairs.y.clone().requires_grad_()
    wide = torch.stack([pairs.x.new_zeros(pairs.y.shape), grown * 1.0], dim=2)
    sent = client.triage(coarse, wide[:, :, 1], pairs.labels, pairs.rows, reuse=False)
    plain = client.triage(
        coarse.float().numpy(), pairs.y.numpy(), pairs.labels.numpy(), pairs.rows.numpy(), reuse=False
    )
    assert replace(sent.report, timings=plain.report.timings) == plain.report
    print("Tensors: bfloat16, with gradient, a view: the same report as their values as arrays.")


if __name__ == "__main__":
    main()
