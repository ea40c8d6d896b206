"""A trial before the first step: does the scorer find the probabilities that the model itself gives?

Some families do more to their logits than a matrix product, and some read a packed row otherwise than whole rows (ALiBi counts
tokens where they lie, a recurrence reads all of them). Nothing would fail then; only the numbers would be wrong.
"""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from rrtf.errors import ConfigurationError
from rrtf.training.batches import Tokens
from rrtf.training.loader import collate

if TYPE_CHECKING:
    from rrtf.training.module import RankingModule

# tokens of the prompt and of each response, and how many responses: enough that places in a packed row are far from their own
LENGTH, ROWS = 8, 8
# the largest error, as a share of how far scores are from those of a uniform guess: bf16's own is at most 0.02
TOLERANCE = 0.1


@torch.no_grad()
def check_scores(module: "RankingModule") -> None:
    """Raise ConfigurationError where a few short responses don't score as in the model's own forward pass."""
    model, batching = module.scorer.model, module.settings.batching
    group = _group(model)
    module.eval()
    with module.trainer.precision_plugin.forward_context():
        try:
            batch = collate([group], batching=batching, pad=module.pad)
            ours = module.scorer(module.trainer.strategy.batch_to_device(batch, module.device))
            reason = "" if _near(ours, _own(model, group, module.device), group, model) else "other probabilities than its own"
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
    module.train()
    if reason:
        raise ConfigurationError([_refusal(model.config.model_type, reason, packed=batching.packed)])


def _refusal(family: str, reason: str, *, packed: bool) -> str:
    if packed:
        return f"batching.packed: {family} can't be scored in packed rows ({reason}); use batching.packed=false"
    return f"student: {family} makes its logits in a way that training does not know ({reason})"


def _group(model: PreTrainedModel) -> Tokens:
    """A prompt and responses of random tokens."""
    draw = torch.Generator().manual_seed(0)
    embeddings: Any = model.get_input_embeddings()
    words = embeddings.weight.shape[0]
    prompt, *responses = torch.randint(words, (1 + ROWS, LENGTH), generator=draw).tolist()
    return Tokens(0, prompt, responses, [0.0] * ROWS, [False] * ROWS, [False] * ROWS)


def _own(model: PreTrainedModel, group: Tokens, device: torch.device) -> Float[Tensor, " rows"]:
    """The responses' log-probabilities from whole rows and the model's own logits."""
    rows = torch.tensor([group.prompt + response for response in group.responses], device=device)
    logits = model(input_ids=rows, use_cache=False).logits[:, LENGTH - 1 : -1].float()
    return logits.log_softmax(dim=-1).gather(2, rows[:, LENGTH:, None]).sum(dim=(1, 2))


def _near(ours: Tensor, own: Tensor, group: Tokens, model: PreTrainedModel) -> bool:
    uniform = -LENGTH * torch.log(torch.tensor(float(model.get_output_embeddings().weight.shape[0])))
    scale = (own - uniform.to(own)).abs().max()
    return bool((ours - own).abs().max() <= TOLERANCE * scale)
