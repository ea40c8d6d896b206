"""Decoding takes fewer cores while others hold some, and all of them when they are free again."""

from collections.abc import Iterator

import pytest
import torch

from rrtf.sampling.cores import FIRST_PAUSE, LONGEST_PAUSE, Cores


class Machine:
    """A clock under which a step takes 1 second divided by its threads, and 10 on all cores while another process runs."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.busy = False
        self.cores = Cores(wall=lambda: self.wall, cpu=lambda: self.cpu)

    def steps(self, count: int) -> list[int]:
        """The threads of each of `count` steps."""
        used = []
        for _ in range(count):
            used.append(self.cores.used)
            crowded = self.busy and self.cores.used == self.cores.most
            seconds = 10.0 if crowded else 1.0 / self.cores.used
            with self.cores.step():
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


def test_release_gives_all_threads_back(machine: Machine) -> None:
    machine.busy = True
    machine.steps(5)
    assert torch.get_num_threads() < machine.cores.most
    machine.cores.release()
    assert torch.get_num_threads() == machine.cores.most
