"""A loop takes fewer cores while others hold some, and all of them when they are free again."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rrtf.cores import WINDOW, Cores, Look, look
from rrtf.training.batches import Tokens
from rrtf.training.packing import NAME, packed
from rrtf.training.scorer import Scorer


class Machine:
    """A machine of so many cores, of which other processes hold some for a part of the time."""

    def __init__(self, cores: int, *, device: str = "cpu", others: float = 0.0) -> None:
        self.count, self.others = cores, others
        self.wall = self.busy = self.own = 0.0
        self.looks = 0
        self.cores = Cores(
            torch.device(device), look=self.look, clock=lambda: self.wall, wait=lambda seconds: self.work(seconds, own=0.0)
        )

    def look(self) -> Look:
        self.looks += 1
        return Look(self.count, self.busy, self.own)

    def work(self, seconds: float, *, own: float) -> None:
        self.wall += seconds
        self.own += seconds * own
        self.busy += seconds * (own + self.others)

    def steps(self, count: int, *, seconds: float = WINDOW) -> list[int]:
        """The threads of each of `count` steps."""
        used = []
        for _ in range(count):
            used.append(self.cores.used)
            with self.cores.step():
                self.work(seconds, own=self.cores.used * 0.95)
        return used


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("threads", "cores", "others", "used"),
    [
        (2, 2, 0.0, 2),
        (2, 2, 0.25, 2),  # what a machine at rest does
        (2, 2, 0.5, 1),
        (2, 2, 2.0, 1),
        (8, 8, 1.0, 7),
        (8, 8, 5.6, 2),
        (8, 8, 9.0, 1),
        (4, 16, 11.0, 4),  # enough cores are free for the threads there are
        (4, 16, 14.0, 2),
    ],
    indirect=["threads"],
)
def test_as_many_threads_as_others_leave_cores_free(threads: int, cores: int, others: float, used: int) -> None:
    machine = Machine(cores)
    assert set(machine.steps(5)) == {threads}
    machine.others = others
    assert set(machine.steps(5)[1:]) == {used} and torch.get_num_threads() == used
    machine.others = 0.0
    assert set(machine.steps(5)[1:]) == {threads} and torch.get_num_threads() == threads


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_the_first_step_knows_of_the_others(threads: int) -> None:
    """Reading a prompt beside a busy process would take as long as all that follows."""
    assert Machine(2, others=1.0).steps(1) == [1]


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_short_steps_are_looked_at_together(threads: int) -> None:
    machine = Machine(2)
    machine.others = 1.0
    used = machine.steps(100, seconds=WINDOW / 10)
    assert used.index(1) == pytest.approx(10, abs=1) and set(used[11:]) == {1}
    assert machine.looks <= 12  # a look at a hundred cores takes milliseconds, as a step does


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_a_loop_on_another_device_keeps_its_threads(threads: int) -> None:
    machine = Machine(2, device="cuda")
    machine.others = 2.0
    assert set(machine.steps(20)) == {2}


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_what_runs_on_all_cores_leaves_the_steps_as_they_were(threads: int) -> None:
    machine = Machine(2)
    machine.others = 1.0
    machine.steps(2)
    with machine.cores.whole():
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == machine.cores.used == 1
    machine.cores.release()
    assert torch.get_num_threads() == 2


def test_a_container_that_numbers_its_cores_anew_is_looked_at_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {40, 41})
    assert look().cores == len(psutil.cpu_times(percpu=True))


def test_a_process_that_holds_a_core_is_seen() -> None:
    """On the real machine: beside one busy process for each core none is left free."""
    before = torch.get_num_threads()
    torch.set_num_threads(count := len(os.sched_getaffinity(0)) + 1)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count - 1)]
    try:
        time.sleep(WINDOW)  # they are starting
        assert Cores(torch.device("cpu")).used == 1
    finally:
        for process in busy:
            process.kill()
            process.wait()
        torch.set_num_threads(before)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_the_number_of_threads_changes_no_bit_in_bfloat16(weights: torch.dtype) -> None:
    """Else a run beside other work, or resumed after it, would not be the run it repeats."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", hidden_size=256, intermediate_size=512, num_attention_heads=4, num_hidden_layers=2, vocab_size=5000
    )
    model = AutoModelForCausalLM.from_config(config, dtype=weights)
    model.set_attn_implementation(NAME)
    batch = packed(
        [Tokens(0, list(range(90)), [list(range(k, 60)) for k in range(3)], [2.0, 1.0, 0.0], [True] * 3, [True] * 3)]
    )
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logp = Scorer(model, logits=2**20)(batch)
        logp.sum().backward()
        found.append([logp.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))
