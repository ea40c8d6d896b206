"""What every tier tells a worker about its walls."""

from collections.abc import Callable
from typing import NamedTuple

from rrtf.judge import linux


class Walls(NamedTuple):
    """The tier's name, where candidates may write, the user they become (None: no other), and how to empty their folder.

    `close_in` is what a process inside still has to do to shut itself in; it is told whether it is a candidate. `power` keeps
    the one capability they have as another user, where Python can't be read without. `crowd` counts what the limit of processes
    must leave room for: tasks of that user beside the candidate's. `leave` removes what the tier made, when its work is over.
    """

    tier: str
    scratch: str
    uid: int | None
    wipe: Callable[[], None]
    close_in: Callable[[bool], None] = lambda candidate: None
    power: linux.Keeping | None = None
    crowd: Callable[[], int] = lambda: 0
    leave: Callable[[], None] = lambda: None

    @property
    def words(self) -> str:
        """The isolation that verdicts name."""
        return self.tier if self.power is None else f"{self.tier}, reading as root"
