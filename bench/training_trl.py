"""TRL's DPOTrainer on the same pairs: K = 2, P = R = 128, one training step of its own, reference computed beforehand."""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from training import GROUPS, LAYERS, RESPONSE, groups_of, model_of, show, step_of, timed
from transformers import PreTrainedTokenizerFast


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, so that texts have exact lengths."""
    vocabulary = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary["<|end|>"] = len(vocabulary)
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>")


def trl_step(model: Any, prompt: int) -> Callable[[], None]:
    """DPOTrainer.training_step on a batch of GROUPS pairs; reference log-probabilities are computed beforehand."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    row = {"prompt": "p" * prompt, "chosen": "c" * (RESPONSE - 1), "rejected": "r" * (RESPONSE - 1)}
    settings = DPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=GROUPS, use_cpu=True, bf16=False, report_to=[],
        precompute_ref_log_probs=True, gradient_checkpointing=False, max_length=None, disable_tqdm=True,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=model, args=settings, train_dataset=Dataset.from_list([row] * GROUPS), processing_class=bytes_tokenizer()
    )
    trainer.current_gradient_accumulation_steps = 1  # what trainer.train() would set
    inputs = next(iter(trainer.get_train_dataloader()))

    def step() -> None:
        model.set_attn_implementation("sdpa")
        trainer.training_step(model, dict(inputs))
        model.zero_grad()

    return step


def beside_trl(options: argparse.Namespace, console: Console, clock: Callable[[], float]) -> None:
    try:
        import trl
    except ImportError:
        console.print("TRL is not installed (pip install trl): no comparison with its DPOTrainer")
        return
    model = model_of(options.shape, layers=options.layers or LAYERS[options.shape])
    model.train()
    groups = groups_of(2, RESPONSE)
    steps = {f"trl {trl.__version__} DPOTrainer": trl_step(model, RESPONSE)}
    steps |= {form: step_of(form, model, groups, "cpu") for form in ("naive", "lean", "packed")}
    seconds = timed(steps, repeats=options.repeats, clock=clock)
    table = Table(title=f"K = 2, P = R = {RESPONSE}, bf16, {options.threads} threads, {options.clock} time")
    for name in ("form", "candidate tokens/s", "times TRL"):
        table.add_column(name, justify="right")
    slowest = statistics.median(next(iter(seconds.values())))
    for form, values in seconds.items():
        table.add_row(form, show(values, GROUPS * 2 * RESPONSE), f"{slowest / statistics.median(values):.2f}")
    console.print(table)
