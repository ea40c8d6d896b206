"""A loop takes fewer cores while others hold some, and all of them when they are free again."""

from collections.abc import Iterator
from itertools import cycle

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rrtf.cores import FIRST_PAUSE, LONGEST_PAUSE, Cores
from rrtf.training.batches import Tokens
from rrtf.training.packing import NAME, packed
from rrtf.training.scorer import Scorer


class Machine:
    """A clock under which a unit of work takes a second divided by its threads, and 10 on all cores beside another process."""

    def __init__(self, device: str = "cpu") -> None:
        self.wall = self.cpu = 0.0
        self.busy = False
        self.work = cycle([1.0, 3.0, 0.5])
        self.cores = Cores(torch.device(device), wall=lambda: self.wall, cpu=lambda: self.cpu)

    def steps(self, count: int) -> list[int]:
        """The threads of each of `count` steps."""
        used = []
        for _ in range(count):
            used.append(self.cores.used)
            crowded = self.busy and self.cores.used == self.cores.most
            work = next(self.work)
            seconds = work * (10.0 if crowded else 1.0 / self.cores.used)
            with self.cores.step(work):
                self.wall += seconds
                self.cpu += seconds * (self.cores.used - 0.5 * crowded)
        return used


@pytest.fixture(params=[2, 8])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield Machine()
    torch.set_num_threads(before)


def test_free_cores_are_all_used(machine: Machine) -> None:
    assert set(machine.steps(1000)) == {machine.cores.most}


def test_busy_cores_are_left_and_tried_again_ever_more_rarely(machine: Machine) -> None:
    machine.busy = True
    used = machine.steps(2000)
    tries = [place for place, threads in enumerate(used) if threads == machine.cores.most]
    assert tries[0] == 0 and FIRST_PAUSE <= tries[1] <= FIRST_PAUSE + 2 and len(tries) < 14
    assert max(later - earlier for earlier, later in zip(tries, tries[1:], strict=False)) <= LONGEST_PAUSE + 2
    assert torch.get_num_threads() == machine.cores.used == machine.cores.most // 2


def test_a_step_on_another_device_says_nothing_about_cores(machine: Machine) -> None:
    """There a core that drives it waits most of the time, which would look like one that another process holds."""
    other = Machine("cuda")
    other.busy = True
    assert set(other.steps(100)) == {other.cores.most}


def test_all_cores_are_used_soon_after_they_are_free_again(machine: Machine) -> None:
    machine.busy = True
    machine.steps(40)
    machine.busy = False
    used = machine.steps(200)
    assert set(used[LONGEST_PAUSE // 4 :]) == {machine.cores.most}


def test_fewer_cores_are_not_kept_where_they_are_slower(machine: Machine) -> None:
    """Time that goes missing for another reason, such as a core that sleeps between products."""
    used = []
    for _ in range(400):
        used.append(machine.cores.used)
        with machine.cores.step():
            machine.wall += 1.0 / machine.cores.used
            machine.cpu += 0.5
    assert used.count(machine.cores.most) > 380


def test_what_runs_on_all_cores_leaves_the_steps_as_they_were(machine: Machine) -> None:
    machine.busy = True
    machine.steps(5)
    with machine.cores.whole():
        assert torch.get_num_threads() == machine.cores.most
    assert torch.get_num_threads() == machine.cores.used < machine.cores.most


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


def test_release_gives_all_threads_back(machine: Machine) -> None:
    machine.busy = True
    machine.steps(5)
    assert torch.get_num_threads() < machine.cores.most
    machine.cores.release()
    assert torch.get_num_threads() == machine.cores.most
