"""The settings of training: what is minimised, what is trained, how fast, on what, and in which batches."""

from dataclasses import dataclass, field
from enum import Enum


class Family(str, Enum):
    """The losses of `rrtf.training.losses`."""

    rrtf = "rrtf"
    rrhf = "rrhf"
    rrhf_released = "rrhf_released"
    sft = "sft"
    margin = "margin"
    bradley_terry = "bradley_terry"
    listwise = "listwise"


class CeReduction(str, Enum):
    """How the cross-entropy of one response becomes a number: over its tokens, or (RRHF's code) over its padded row."""

    sum = "sum"
    mean = "mean"
    padded_mean = "padded_mean"


class Pairing(str, Enum):
    """Which two rows of a group are compared: every pair, or the target against each of the student's rows."""

    all = "all"
    teacher_student = "teacher_student"


def _outside(
    name: str, value: float | int, *, low: float | int, high: float | int = float("inf"), open_low: bool = False
) -> list[str]:
    """A sentence in a list if `value` is not in its range, else nothing; NaN is never in range."""
    if (low < value if open_low else low <= value) and value <= high:
        return []
    return [f"{name}: {value} is outside {'(' if open_low else '['}{low:g}, {high:g}]"]


@dataclass(kw_only=True)
class Loss:
    """L = rank_weight * L_rank + ce_weight * L_ft, the mean over the prompts of a step (paper, section 3.4)."""

    # the paper's own
    family: Family = Family.rrtf
    # section 3.4: a plain sum of the two terms; RRHF's paper tried 10 and 100 and found them worse
    rank_weight: float = 1.0
    ce_weight: float = 1.0
    # not in the paper, which prints a sum over tokens beside a per-token mean in L_rank; chosen because with a sum L_ft
    # outweighs L_rank by about the length of a response, and a mean is what recipes with a learning rate of 2e-5 use
    ce_reduction: CeReduction = CeReduction.mean
    # section 3.4: p_i divides by ||y_i||; DPO does not (conf/loss/bradley_terry.yaml turns it off)
    length_normalized: bool = True
    # section 3.2 trains on one teacher/student pair a prompt; with two rows in a group both settings are that pair.
    # all: RRHF's sum over pairs, chosen because it uses every sample that was paid for
    pairing: Pairing = Pairing.all
    # of family margin only: how far apart two scores should be, in units of beta * score (SimPO's gamma = 0.5 beta)
    margin: float = 1.0
    # of margin, bradley_terry and listwise: the slope of the sigmoid (SimPO 2.0 to 2.5 per token; DPO 0.1 on whole responses)
    beta: float = 2.0
    # of bradley_terry only: compare with the log-probabilities of the starting checkpoint, as DPO does
    reference: bool = False

    def mistakes(self) -> list[str]:
        """Every setting that can't be meant, in words."""
        found = _outside("loss.rank_weight", self.rank_weight, low=0) + _outside("loss.ce_weight", self.ce_weight, low=0)
        found += _outside("loss.beta", self.beta, low=0, open_low=True) + _outside("loss.margin", self.margin, low=0)
        if self.rank_weight == 0 and self.ce_weight == 0:
            found.append("loss.rank_weight and loss.ce_weight: both are 0, so nothing would be trained")
        if self.family is Family.sft and self.ce_weight == 0:
            found.append("loss.ce_weight: 0 leaves nothing to train, because family sft has no rank term")
        if self.reference and self.family is not Family.bradley_terry:
            found.append(f"loss.reference: only bradley_terry has a reference model, not {self.family.value}")
        return found


class AdapterKind(str, Enum):
    """What is trained: every weight, low-rank additions, or low-rank additions to a 4-bit base."""

    full = "full"
    lora = "lora"
    qlora = "qlora"


@dataclass(kw_only=True)
class Adapter:
    """Full fine-tuning (the paper trains the whole model), or LoRA / QLoRA through peft."""

    kind: AdapterKind = AdapterKind.full
    # not in the paper; rank 16, alpha 2 * rank: the LoRA authors' later advice and peft's examples
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    # module names to adapt; "all-linear" is every linear layer but the head (QLoRA, section 4)
    modules: list[str] = field(default_factory=lambda: ["all-linear"])

    def mistakes(self) -> list[str]:
        """Every setting that can't be meant, in words."""
        found = _outside("adapter.rank", self.rank, low=1) + _outside("adapter.alpha", self.alpha, low=0, open_low=True)
        found += _outside("adapter.dropout", self.dropout, low=0, high=0.99)
        if not self.modules:
            found.append("adapter.modules: names no module; use [all-linear]")
        return found


class Schedule(str, Enum):
    """The learning rate after the warm-up: down along a cosine, down a straight line, or level."""

    cosine = "cosine"
    linear = "linear"
    constant = "constant"


@dataclass(kw_only=True)
class Optim:
    """AdamW. The paper names no optimiser: every value here comes from the nearest public recipes (RRHF, WizardCoder)."""

    # not in the paper; RRHF's train.sh and WizardCoder both use 2e-5
    learning_rate: float = 2e-5
    # not in the paper; RRHF's train.sh and WizardCoder: cosine
    schedule: Schedule = Schedule.cosine
    # not in the paper; RRHF's train.sh: 3 % of the steps
    warmup_ratio: float = 0.03
    # not in the paper; RRHF's train.sh: 0
    weight_decay: float = 0.0
    # not in the paper; the defaults of AdamW, which both recipes keep
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def mistakes(self) -> list[str]:
        """Every setting that can't be meant, in words."""
        found = _outside("optim.learning_rate", self.learning_rate, low=0, high=1, open_low=True)
        found += _outside("optim.warmup_ratio", self.warmup_ratio, low=0, high=1)
        found += _outside("optim.weight_decay", self.weight_decay, low=0, high=1)
        found += _outside("optim.beta1", self.beta1, low=0, high=0.99999)
        found += _outside("optim.beta2", self.beta2, low=0, high=0.99999)
        return found + _outside("optim.epsilon", self.epsilon, low=0, open_low=True)


class Accelerator(str, Enum):
    """The kind of device."""

    cpu = "cpu"
    gpu = "gpu"


class StrategyName(str, Enum):
    """How several devices share the work: one alone, copies, shards (PyTorch's FSDP2), or DeepSpeed ZeRO."""

    single = "single"
    ddp = "ddp"
    fsdp = "fsdp"
    deepspeed = "deepspeed"


class Precision(str, Enum):
    """Number format: fp32; bf16/fp16 arithmetic over fp32 weights; bf16_weights keeps the weights themselves in bf16."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    bf16_weights = "bf16_weights"


class Attention(str, Enum):
    """The attention kernel."""

    sdpa = "sdpa"
    flash_attention_2 = "flash_attention_2"
    flash_attention_3 = "flash_attention_3"
    flex = "flex"
    eager = "eager"


class Best(str, Enum):
    """Which weights `fit` returns: the last, or those with the best value on the validation groups."""

    last = "last"
    validation_loss = "validation_loss"
    validation_ordering = "validation_ordering"


@dataclass(kw_only=True)
class Trainer:
    """Where and how training runs, what is kept, and when it gives up."""

    accelerator: Accelerator = Accelerator.cpu
    devices: int = 1
    nodes: int = 1
    strategy: StrategyName = StrategyName.single
    # ZeRO stage of strategy deepspeed: 2 shards optimizer and gradients, 3 the weights too
    zero_stage: int = 3
    # not in the paper; bf16 arithmetic over fp32 weights, because bf16 weights lose updates as small as 2e-5
    precision: Precision = Precision.bf16
    # section 3.5 trains with FlashAttention; sdpa is PyTorch's own and runs everywhere
    attention: Attention = Attention.sdpa
    # half the activation memory or less for a third more arithmetic
    gradient_checkpointing: bool = False
    # not in the paper; 1.0 is every public recipe's value; 0 turns clipping off
    clip: float = 1.0
    # stop when rank_weight * L_rank is above this many times ce_weight * L_ft for `diverging_steps` steps; 0 turns it off
    max_diverging_ratio: float = 100.0
    diverging_steps: int = 5
    # section 4.2.2: the best checkpoint comes after about three epochs; which one was reported is not said
    best: Best = Best.last
    # steps between two validations; 0: after each epoch
    validate_every: int = 0
    # validation prompts answered greedily (and logged) at each validation, and the most tokens of an answer
    generations: int = 2
    generation_tokens: int = 128
    # steps between two saves to resume from; 0: after each epoch
    save_every: int = 50
    # steps between two models kept beside the result; 0: none; -1: one after each epoch, which the pipeline scores (Figure 4)
    snapshot_every: int = 0

    def mistakes(self) -> list[str]:
        """Every setting that can't be meant, in words."""
        found = _outside("trainer.devices", self.devices, low=1) + _outside("trainer.nodes", self.nodes, low=1)
        found += _outside("trainer.clip", self.clip, low=0) + _outside("trainer.zero_stage", self.zero_stage, low=1, high=3)
        found += _outside("trainer.max_diverging_ratio", self.max_diverging_ratio, low=0)
        found += _outside("trainer.diverging_steps", self.diverging_steps, low=1)
        for name in ("validate_every", "generations", "save_every"):
            found += _outside(f"trainer.{name}", getattr(self, name), low=0)
        found += _outside("trainer.generation_tokens", self.generation_tokens, low=1)
        found += _outside("trainer.snapshot_every", self.snapshot_every, low=-1)
        if self.devices * self.nodes > 1 and self.strategy is StrategyName.single:
            found.append(
                f"trainer.strategy: single uses one device, not {self.devices * self.nodes}; use ddp, fsdp or deepspeed"
            )
        if self.attention.value.startswith("flash") and self.precision is Precision.fp32:
            found.append(f"trainer.attention: {self.attention.value} computes in bf16 or fp16 only, not fp32")
        if self.accelerator is Accelerator.cpu:
            found += self._cpu_mistakes()
        return found

    def _cpu_mistakes(self) -> list[str]:
        """What a CPU can't do."""
        found = []
        if self.precision is Precision.fp16:
            found.append("trainer.precision: fp16 needs a GPU; use bf16 or fp32 on the CPU")
        if self.attention in (Attention.flash_attention_2, Attention.flash_attention_3, Attention.flex):
            found.append(f"trainer.attention: {self.attention.value} needs a GPU; use sdpa on the CPU")
        if self.strategy is StrategyName.deepspeed:
            found.append("trainer.strategy: deepspeed needs a GPU; use ddp or fsdp on the CPU")
        return found


@dataclass(kw_only=True)
class Batching:
    """How groups become steps and micro-batches. One step is `prompts_per_step` prompts on any number of devices."""

    # section 4.1.2: batch 512; 68k prompts in 132 steps an epoch make one element a prompt (a group, here)
    prompts_per_step: int = 512
    # section 4.1.2
    epochs: int = 6
    # tokens of one forward pass, padding included: what bounds memory; a group larger than this goes alone
    token_budget: int = 8192
    # longest prompt plus response; the response is cut to fit (RRHF's rule). Not in the paper; WizardCoder trains with 2048
    max_length: int = 2048
    # each prompt once, its responses behind it: the same loss and gradients for fewer tokens
    packed: bool = True
    # logits that exist at one time, 4 bytes each: this many fit a CPU's cache; a GPU likes 2**26
    logits: int = 2**22
    # the end-of-text token after each response is scored, as in RRHF
    append_eos: bool = True

    def mistakes(self) -> list[str]:
        """Every setting that can't be meant, in words."""
        names = ("prompts_per_step", "epochs", "token_budget", "logits")
        found = [mistake for name in names for mistake in _outside(f"batching.{name}", getattr(self, name), low=1)]
        return found + _outside("batching.max_length", self.max_length, low=2)
