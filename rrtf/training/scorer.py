"""A causal language model that scores responses: batch in, one log-probability a row out."""

from typing import Any

import torch
from jaxtyping import Float
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from rrtf.errors import ConfigurationError
from rrtf.training.batches import Batch
from rrtf.training.logprobs import token_logprobs
from rrtf.training.packing import NAME, block_mask, dense_mask


def logit_scale(config: Any) -> float:
    """What a family multiplies its logits by: Cohere's `logit_scale`, Falcon-H1's `lm_head_multiplier`, 1 / Granite's
    `logits_scaling`; 1 for most. Heads of these families have no bias, so that scaling what goes in is the same.
    """
    times = getattr(config, "logit_scale", None) or getattr(config, "lm_head_multiplier", None) or 1.0
    return float(times / (getattr(config, "logits_scaling", None) or 1.0))


class Scorer(nn.Module):
    """Wraps the model as one module whose forward pass needs neither [tokens, vocabulary] logits nor a cache.

    `tuned` is what is saved, perhaps an adapter's wrapper; `logits` is how many logits may exist at one time.
    """

    def __init__(self, tuned: PreTrainedModel | PeftModel, *, logits: int) -> None:
        super().__init__()
        self.tuned = tuned
        self.logits = logits

    @property
    def model(self) -> PreTrainedModel:
        """transformers' own model, inside an adapter or not; LoRA's layers are part of it."""
        if not isinstance(self.tuned, PeftModel):
            return self.tuned
        inner: Any = self.tuned.base_model
        return inner.model

    def forward(self, batch: Batch) -> Float[Tensor, " rows"]:
        """The summed log-probability of each row's response tokens."""
        hidden = self.model.base_model(
            input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, **self._mask(batch)
        ).last_hidden_state
        predicting = hidden.flatten(0, 1)[batch.source]
        scale = logit_scale(self.model.config)
        logprobs = token_logprobs(
            predicting if scale == 1 else predicting * scale,
            batch.label,
            head=self.model.get_output_embeddings(),
            softcap=getattr(self.model.config, "final_logit_softcapping", None),
            logits=self.logits,
        )
        return logprobs.new_zeros(len(batch.facts.group)).index_add(0, batch.row, logprobs)

    def _mask(self, batch: Batch) -> dict[str, Any]:
        """The attention mask in the form the model's attention kernel takes."""
        if batch.layout is None:
            return {"attention_mask": batch.attention_mask.long()}
        kernel = self.model.config._attn_implementation
        if kernel == NAME:
            return {"attention_mask": batch.layout.mask[:1], "packing": batch.layout}
        if kernel == "flex_attention":
            return {"attention_mask": block_mask(batch.layout)}
        if kernel == "eager":
            allowed = dense_mask(batch.layout)
            lowest = torch.finfo(self.model.dtype).min
            return {"attention_mask": torch.zeros_like(allowed, dtype=self.model.dtype).masked_fill(~allowed, lowest)}
        raise ConfigurationError([f"batching.packed: {kernel} has no packed form; use sdpa, flex or eager, or packed: false"])
