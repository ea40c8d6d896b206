"""What a run would do, with nothing done: its steps, the formats it can make, and what training would hold on each device."""

from typing import Any

from rich.console import Console

from rrtf.checkpoints import at_hand
from rrtf.errors import MissingDataError
from rrtf.loading import load_config
from rrtf.pipeline import plan
from rrtf.plan import show
from rrtf.settings import Settings
from rrtf.training.settings import Accelerator

# tokens of a prompt where no problem has been read yet; ours: most of HumanEval's and the builtin set's are shorter
PROMPT = 256


def preview(settings: Settings, console: Console) -> None:
    """Print the plan, which formats can be made, and the memory plan of training that is to be done on a GPU.

    Nothing is downloaded or allocated for it.

    Where a file of the run is not here yet, the plan's place says which, and the memory plan is printed all the same.
    """
    try:
        planned = plan(settings)
    except MissingDataError as error:
        console.print("[bold]plan[/bold]\nits steps can be named once all it reads is here:", highlight=False)
        console.print(f"{error}\n", markup=False, highlight=False, soft_wrap=True)
        trains = settings.rounds > 0
    else:
        show(planned.steps, console, stages=[])
        trains = not all(turn.trained.done for turn in planned.rounds)
    if settings.quantize and (folder := at_hand(settings.student.checkpoint)):
        from rrtf.quantize.support import support, support_table  # torch loads here

        console.print(support_table(support(folder, list(settings.quantize.values()))))
    if trains and settings.trainer.accelerator is not Accelerator.cpu:
        console.print(memory(settings), markup=False, highlight=False, soft_wrap=True)


def memory(settings: Settings) -> str:
    """The memory plan of a training step, from a dry run on meta tensors; or why there is none."""
    from rrtf.training.plan import KNOWN, describe, plan  # torch and transformers load here

    name = settings.student.checkpoint
    folder = at_hand(name)
    if folder is None and name not in KNOWN:
        return f"memory plan of training: {name} is not on this disk, so its shape is not known"
    config = load_config(folder) if folder else KNOWN[name]()
    trainer, batching, rows = settings.trainer, settings.batching, settings.ranking.responses_per_problem
    response = min(settings.sampling.max_new_tokens, batching.max_length - 1)
    prompt = min(PROMPT, batching.max_length - response)
    parts: dict[str, Any] = {"loss": settings.loss, "adapter": settings.adapter, "trainer": trainer, "batching": batching}
    found = plan(config, **parts, rows=rows, prompt=prompt, response=response)
    groups = f"groups of {rows} responses of {response} tokens to a prompt of {prompt}"
    return f"memory plan of training {name}\n{groups}\n{describe(found, trainer=trainer, batching=batching)}"
