"""A dry run: the model on meta tensors, one micro-batch through it, and what each device would have to hold.

Nothing is allocated, so a 15-billion-weight run is planned on a laptop in seconds. Activations are counted, not estimated: each
tensor that autograd keeps for the backward pass is measured. Not counted: the allocator's fragmentation, CUDA's own context
(about 0.5 GiB) and communication buffers.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from rrtf.training.batches import Batch, Tokens
from rrtf.training.loader import collate
from rrtf.training.losses import terms
from rrtf.training.models import COMPUTE, kernel, prepare, weights_dtype
from rrtf.training.quiet import quiet
from rrtf.training.scorer import Scorer
from rrtf.training.settings import Adapter, AdapterKind, Attention, Batching, Loss, Precision, StrategyName, Trainer
from rrtf.training.strategies import decoder_layers
from rrtf.training.throughput import arithmetic

GIB = 2**30
# NF4 with double quantization: 4.127 bits (QLoRA, arXiv 2305.14314, section 3)
QLORA_BYTES = 4.127 / 8


class Plan(NamedTuple):
    """Sizes in GiB on one device; `operations` is floating-point operations of one micro-batch.

    `working`: copies of weights in the format that computes, and what FSDP or ZeRO 3 gathers of them at a time.
    """

    parameters: int
    trained: int
    weights: float
    gradients: float
    optimizer: float
    working: float
    activations: float
    logits: float
    tokens: int
    micro_batches: int
    operations: float

    @property
    def total(self) -> float:
        """Everything at the fullest moment."""
        return self.weights + self.gradients + self.optimizer + self.working + self.activations + self.logits


def starcoder_15b() -> PreTrainedConfig:
    """The paper's base model (Table 1): 40 layers, hidden size 6144, 48 heads that share one key head, 8192 positions."""
    sizes = {"n_embd": 6144, "n_layer": 40, "n_head": 48, "n_inner": 24576, "n_positions": 8192, "vocab_size": 49152}
    sizes |= {"bos_token_id": 0, "eos_token_id": 0}
    return AutoConfig.for_model("gpt_bigcode", multi_query=True, activation_function="gelu_pytorch_tanh", **sizes)


# shapes that are planned without any file: the paper's base model, which only the hub has
KNOWN = {"bigcode/starcoder": starcoder_15b, "bigcode/starcoderbase": starcoder_15b}


def plan(
    config: PreTrainedConfig,
    *,
    loss: Loss,
    adapter: Adapter,
    trainer: Trainer,
    batching: Batching,
    rows: int = 2,
    prompt: int = 256,
    response: int = 256,
) -> Plan:
    """Dry run of one full micro-batch: groups of `rows` responses; `prompt` and `response` are lengths in tokens."""
    with quiet():
        return _plan(config, loss=loss, adapter=adapter, trainer=trainer, batching=batching, shape=(rows, prompt, response))


def _plan(
    config: PreTrainedConfig, *, loss: Loss, adapter: Adapter, trainer: Trainer, batching: Batching, shape: tuple[int, int, int]
) -> Plan:
    groups = _groups(batching, shape=shape)
    batch = collate(groups, batching=batching, pad=0)
    scorer = _scorer(config, adapter=adapter, trainer=trainer, batching=batching)
    activations = _saved(scorer, _to_meta(batch), loss=loss, trainer=trainer)
    devices = trainer.devices * trainer.nodes
    sizes = _sizes(scorer, adapter=adapter, trainer=trainer)
    counts = [(p.numel(), size, p.requires_grad) for p, size in zip(scorer.parameters(), sizes, strict=True)]
    trained = sum(count for count, _, trains in counts if trains)
    weights = sum(count * size for count, size, _ in counts)
    gradients = sum(count * size for count, size, trains in counts if trains)
    split = {name: devices if name in _split(trainer) else 1 for name in ("weights", "gradients", "optimizer")}
    per_prompt = sum(group.cost(packed=batching.packed) for group in groups) / len(groups)
    fitting = max(1, int(batching.token_budget // per_prompt))
    return Plan(
        parameters=sum(count for count, _, _ in counts),
        trained=trained,
        weights=weights / split["weights"] / GIB,
        gradients=gradients / split["gradients"] / GIB,
        optimizer=2 * gradients / split["optimizer"] / GIB,
        working=_working(scorer, trainer, gathered=split["weights"] > 1) / GIB,
        activations=activations / GIB,
        logits=3 * 4 * batching.logits / GIB,
        tokens=int(batch.attention_mask.numel()),
        micro_batches=-(-batching.prompts_per_step // (fitting * devices)),
        operations=arithmetic(scorer.model, batch),
    )


def _groups(batching: Batching, *, shape: tuple[int, int, int]) -> list[Tokens]:
    """As many equal groups as the token budget holds, at least one."""
    rows, prompt, response = shape
    first = [True] + [False] * (rows - 1)
    rewards = [float(rows - k) for k in range(rows)]
    one = Tokens(0, [0] * prompt, [[0] * response] * rows, rewards, first, first)
    return [one] * max(1, batching.token_budget // one.cost(packed=batching.packed))


def _sizes(scorer: Scorer, *, adapter: Adapter, trainer: Trainer) -> list[float]:
    """Bytes a weight of each parameter as it lies there; brings the model from the format that computes into this one.

    peft holds adapters in fp32 on a base of 16 bits, and beside a base of 4 bits all that is not a linear layer, and the head.
    """
    scorer.to(weights_dtype(trainer, adapter))
    held = torch.bfloat16 if trainer.precision is Precision.bf16_weights else torch.float32
    four = adapter.kind is AdapterKind.qlora
    head = scorer.model.get_output_embeddings()
    small = {module.weight for module in scorer.modules() if isinstance(module, (nn.Linear, Conv1D)) and module is not head}
    found = []
    for parameter in scorer.parameters():
        if parameter.requires_grad or (four and parameter not in small):
            parameter.data = parameter.data.to(held)
        packed = four and parameter in small and not parameter.requires_grad
        found.append(QLORA_BYTES if packed else float(parameter.element_size()))
    return found


def _to_meta(batch: Batch) -> Batch:
    """The batch's shapes without its numbers."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to("meta")
        return type(value)(*map(move, value)) if isinstance(value, tuple) else value

    return Batch(*map(move, batch))


def _scorer(config: PreTrainedConfig, *, adapter: Adapter, trainer: Trainer, batching: Batching) -> Scorer:
    """The model on the meta device, in the format that computes; GPU kernels stand in as sdpa, which keeps the same tensors."""
    stand_in = Trainer(**{**vars(trainer), "attention": Attention.sdpa})
    name = kernel(stand_in, batching)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=weights_dtype(trainer, adapter), attn_implementation=name)
        plain = Adapter(**{**vars(adapter), "kind": AdapterKind.lora}) if adapter.kind is AdapterKind.qlora else adapter
        return Scorer(prepare(model, adapter=plain, trainer=trainer), logits=batching.logits).to(COMPUTE[trainer.precision])


def _saved(scorer: Scorer, batch: Batch, *, loss: Loss, trainer: Trainer) -> int:
    """Bytes that autograd keeps between forward and backward, weights and batch not counted.

    With checkpointing, one layer at a time is filled in again; what that takes is the un-checkpointed total over the layers.
    """
    kept = _kept(scorer, batch, loss=loss)
    if not trainer.gradient_checkpointing:
        return kept
    scorer.model.activation_checkpointing_disable()
    whole = _kept(scorer, batch, loss=loss)
    scorer.model.activation_checkpointing_enable({"use_reentrant": False})
    return kept + whole // len(decoder_layers(scorer.model))


def _kept(scorer: Scorer, batch: Batch, *, loss: Loss) -> int:
    weights = {parameter.untyped_storage()._cdata for parameter in scorer.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = terms(batch.facts._replace(logp=scorer(batch)), loss=loss)
        (found.rank + found.ce).backward()
    scorer.zero_grad()
    return sum(sizes.values())


def _split(trainer: Trainer) -> tuple[str, ...]:
    """What the strategy spreads over the devices."""
    if trainer.strategy is StrategyName.fsdp:
        return ("weights", "gradients", "optimizer")
    if trainer.strategy is StrategyName.deepspeed:
        return {1: ("optimizer",), 2: ("gradients", "optimizer")}.get(trainer.zero_stage, ("weights", "gradients", "optimizer"))
    return ()


def _working(scorer: Scorer, trainer: Trainer, *, gathered: bool) -> int:
    """Bytes of weights in the computing format: under shards two layers (one at work, one on its way) and what lies outside.

    Gathered weights have gradients of the same size beside them until these are spread again.
    """
    if not gathered:
        mixed = trainer.precision in (Precision.bf16, Precision.fp16)
        return sum(2 * p.numel() for p in scorer.parameters() if mixed and p.element_size() == 4)
    layers = decoder_layers(scorer.model)
    layer = max(sum(p.numel() for p in module.parameters()) for module in layers)
    outside = sum(p.numel() for p in scorer.parameters()) - sum(p.numel() for module in layers for p in module.parameters())
    width = 4 if trainer.precision is Precision.fp32 else 2
    return 2 * width * (2 * layer + outside)


def describe(found: Plan, *, trainer: Trainer, batching: Batching) -> str:
    """The plan as lines a person reads before renting machines."""
    devices = trainer.devices * trainer.nodes
    lines = [
        f"{found.parameters / 1e9:.2f} B weights, {found.trained / 1e9:.2f} B trained, on {devices} x {trainer.strategy.value}",
        f"step: {batching.prompts_per_step} prompts, {found.micro_batches} micro-batches of {found.tokens} tokens a device",
        f"one micro-batch: {found.operations / 1e12:.1f} TFLOP of useful arithmetic",
        "GiB on each device:",
    ]
    for name in ("weights", "gradients", "optimizer", "working", "activations", "logits", "total"):
        lines.append(f"  {name:<12}{getattr(found, name):8.2f}")
    return "\n".join(lines)
