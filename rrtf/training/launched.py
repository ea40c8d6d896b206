"""Training on several devices takes one process a device, started from outside; what this process knows of the others."""

import os

from rrtf.training.settings import Trainer


def started() -> int:
    """How many processes torchrun or srun started together with this one, itself among them."""
    return int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_STEP_NUM_TASKS") or 1)


def shared(trainer: Trainer) -> bool:
    """Whether several processes do one training together; processes that share a sweep each do their own."""
    return trainer.devices * trainer.nodes > 1


def helps(trainer: Trainer) -> bool:
    """Whether this process only trains along, because it is not the first of those that were started for one run."""
    rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
    return shared(trainer) and int(rank) > 0


def job() -> str:
    """A name that processes started together share, and others at the same time do not have."""
    if "TORCHELASTIC_RUN_ID" not in os.environ and (number := os.environ.get("SLURM_JOB_ID")):
        return f"slurm-{number}"
    return "-".join(os.environ.get(name, "") for name in ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT"))


def launch_mistakes(trainer: Trainer) -> list[str]:
    """What is wrong with training so in the processes there are: this one can't know the command that would start more."""
    wanted = trainer.devices * trainer.nodes
    if wanted == started() or (wanted == 1 and "TORCHELASTIC_RUN_ID" not in os.environ):
        return []
    return [
        f"trainer.devices: {trainer.devices} on {trainer.nodes} node(s) take {wanted} processes, and there are {started()}; "
        f"they are started from outside: torchrun --nnodes {trainer.nodes} --nproc-per-node {trainer.devices} -m rrtf ..."
    ]
