"""Runs that train on several devices: one process a device, started together by torchrun or Slurm.

The first process leads: it does the whole run. The others wait for a training to begin and train along; they write nothing.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rrtf.plan import Step
from rrtf.store import Store
from rrtf.sweep.alive import Claim, lives
from rrtf.training.launched import job, shared
from rrtf.training.settings import Trainer

LOOK_SECONDS = 0.2
# a leader that shows no sign of life after so long never came so far
START_SECONDS = 120.0


@contextlib.contextmanager
def leading(store: Store, trainer: Trainer) -> Iterator[None]:
    """While this is held, those who were started to train along know that this process works on the run."""
    if not shared(trainer):
        yield
        return
    sign = _sign(store)
    sign.parent.mkdir(parents=True, exist_ok=True)
    _begun(store).unlink(missing_ok=True)
    claim = Claim(sign)
    try:
        yield
    finally:
        claim.release()


def announce(store: Store, key: str, trainer: Trainer) -> None:
    """Tell those who wait that the training of this key begins."""
    if shared(trainer):
        with _begun(store).open("a") as file:
            file.write(f"{key}\n")


def train_along(trainings: Sequence[Step]) -> None:
    """Take part in each training that the leader begins, until all of them are made or the leader is gone."""
    for step in trainings:
        if not _begins(step):
            return
        if not step.path.exists():
            step.make(step.path, lambda done, total, note: None)


def _begins(step: Step) -> bool:
    """Wait until a training begins or is made; False if the leader ends without it."""
    sign, begun = _sign(step.store), _begun(step.store)
    patience = time.monotonic() + START_SECONDS
    while not step.path.exists():
        if begun.exists() and step.key in begun.read_text().split():
            return True
        if lives(sign, same_host=False):
            patience = time.monotonic()
        elif time.monotonic() > patience:
            return step.path.exists()
        time.sleep(LOOK_SECONDS)
    return True


def _sign(store: Store) -> Path:
    return store.root / "locks" / f"leader-{job()}.lock"


def _begun(store: Store) -> Path:
    return store.root / "locks" / f"leader-{job()}.begun"
