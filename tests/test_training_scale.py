"""Two processes give the loss of one, and a paper-size run is planned without allocating it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_models import checkpoint, groups
from transformers import AutoConfig

from rrtf.training.fit import build
from rrtf.training.module import RankingModule, Settings
from rrtf.training.plan import describe, plan, starcoder_15b
from rrtf.training.quiet import quiet
from rrtf.training.settings import Accelerator, Adapter, AdapterKind, Batching, Loss, Optim, Precision, StrategyName, Trainer
from rrtf.training.strategies import deepspeed_config, lightning_trainer

SCRIPT = """
import json, os, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from training_models import groups
from rrtf.training.fit import fit
from rrtf.training.settings import *

folder, name, kind, stop = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
rows = (folder / (name + ".jsonl")).open("a")

def log(step, values):
    if step == stop:
        os._exit(9)
    print(json.dumps({{"step": step, **values}}), file=rows, flush=True)

world = int(os.environ.get("WORLD_SIZE", 1))
strategy = StrategyName(name.split("-")[0])
trainer = Trainer(precision=Precision.fp32, save_every=1, devices=world, strategy=strategy)
batching = Batching(prompts_per_step=3, epochs=1, token_budget=400, max_length=200, logits=5000)
fit(groups(7), folder / "tiny", validation=groups(3, seed=5), loss=Loss(), adapter=Adapter(kind=AdapterKind(kind)),
    optim=Optim(learning_rate=1e-3), trainer=trainer, batching=batching, seed=1, out=folder / name, log=log)
"""


class Seen:
    """Bytes of a module's weights and of its optimizer's moments after a step."""

    def __call__(self, module: RankingModule, step: int, values: dict[str, float]) -> None:
        size = lambda tensors: sum(tensor.numel() * tensor.element_size() for tensor in tensors)  # noqa: E731
        self.weights = size(module.parameters())
        states = module.optimizers().optimizer.state.values()
        self.optimizer = size(state[name] for state in states for name in ("exp_avg", "exp_avg_sq"))


def run(folder: Path, name: str, *, kind: str = "full", stop: int = -1) -> int:
    script = folder / "train.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    command = [sys.executable, str(script), str(folder), name, kind, str(stop)]
    if not name.startswith("single"):
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(command, capture_output=True).returncode


def rows(folder: Path, name: str) -> dict[tuple[int, bool], dict[str, float]]:
    lines = map(json.loads, (folder / f"{name}.jsonl").read_text().splitlines())
    return {(row["step"], "loss" in row): row for row in lines}


def assert_same_run(folder: Path, name: str, other: str) -> None:
    ours, theirs = rows(folder, name), rows(folder, other)
    assert len(ours) == len(theirs) == 5
    for key in theirs:
        for field in ("loss", "loss_rank", "loss_ce", "pairs_ordered", "gradient_norm", "validation_loss", "prompts"):
            if field in theirs[key]:
                assert ours[key][field] == pytest.approx(theirs[key][field], rel=1e-5, abs=1e-6), (key, field)
    (mine,), (yours,) = (list((folder / n / "model").glob("*.safetensors")) for n in (name, other))
    for tensor, value in load_file(yours).items():
        torch.testing.assert_close(load_file(mine)[tensor], value, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("strategy, kind", [("ddp", "full"), ("fsdp", "full"), ("fsdp", "lora")])
def test_two_processes_train_as_one_and_resume(tmp_path: Path, strategy: str, kind: str) -> None:
    checkpoint(tmp_path / "tiny")
    assert run(tmp_path, "single", kind=kind) == 0
    assert run(tmp_path, strategy, kind=kind, stop=3) != 0
    assert run(tmp_path, strategy, kind=kind) == 0
    assert_same_run(tmp_path, strategy, "single")


def test_a_dry_run_of_a_small_model_adds_up() -> None:
    """Weights, gradients and two moments in fp32, four bytes each, and more activations without checkpointing."""
    config = AutoConfig.for_model(
        "llama", vocab_size=3000, hidden_size=64, intermediate_size=96, num_hidden_layers=6, num_attention_heads=4
    )
    batching = Batching(token_budget=2000, prompts_per_step=8)
    parts = {"loss": Loss(), "adapter": Adapter(), "batching": batching, "prompt": 100, "response": 100}
    plain = plan(config, trainer=Trainer(precision=Precision.fp32), **parts)
    assert plain.weights == plain.gradients == plain.optimizer / 2 == pytest.approx(plain.parameters * 4 / 2**30)
    checkpointed = plan(config, trainer=Trainer(precision=Precision.fp32, gradient_checkpointing=True), **parts)
    assert checkpointed.activations < 0.5 * plain.activations
    lora = plan(config, trainer=Trainer(precision=Precision.fp32), **{**parts, "adapter": Adapter(kind=AdapterKind.lora)})
    assert lora.trained < 0.3 * lora.parameters and lora.optimizer < 0.3 * plain.optimizer
    narrow = plan(config, trainer=Trainer(precision=Precision.bf16), **{**parts, "adapter": Adapter(kind=AdapterKind.qlora)})
    linear = plain.parameters - 2 * 3000 * 64 - 13 * 64  # neither embedding nor head nor norms are in 4 bits
    rest = 4 * (narrow.parameters - linear) + 4.127 / 8 * linear
    assert narrow.weights == pytest.approx(rest / 2**30) and narrow.gradients == pytest.approx(4 * narrow.trained / 2**30)


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16, Precision.bf16_weights])
@pytest.mark.parametrize("kind", [AdapterKind.full, AdapterKind.lora])
def test_the_plan_holds_what_training_holds(tmp_path: Path, precision: Precision, kind: AdapterKind) -> None:
    checkpoint(tmp_path)
    batching = Batching(epochs=1, max_length=200)
    parts = {"loss": Loss(), "adapter": Adapter(kind=kind), "trainer": Trainer(precision=precision), "batching": batching}
    seen = Seen()
    with quiet():
        module = build(groups(2), tmp_path, validation=[], settings=Settings(optim=Optim(), seed=0, **parts))
        module.after_step = seen
        lightning_trainer(parts["trainer"], steps=module.total_steps).fit(module)
    found = plan(AutoConfig.from_pretrained(tmp_path), prompt=50, response=50, **parts)
    assert [round(size * 2**30) for size in (found.weights, found.optimizer)] == [seen.weights, seen.optimizer]


def test_activations_of_the_plan_are_what_training_keeps() -> None:
    """Twice the tokens, twice the activations: nothing in a micro-batch grows with tokens x vocabulary."""
    config = AutoConfig.for_model(
        "llama", vocab_size=150_000, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    parts = {"loss": Loss(), "adapter": Adapter(), "trainer": Trainer(precision=Precision.fp32), "prompt": 50, "response": 50}
    small, large = (plan(config, batching=Batching(token_budget=budget), **parts).activations for budget in (1200, 2400))
    assert large == pytest.approx(2 * small, rel=0.1)
    assert large * 2**30 < 2400 * 150_000 * 4 / 50


@pytest.mark.slow
def test_the_papers_model_fits_eight_gpus_by_plan() -> None:
    """StarCoder 15B, 512 prompts a step, FSDP on 8 GPUs of 80 GB; on one GPU it does not fit."""
    fsdp = Trainer(accelerator=Accelerator.gpu, devices=8, strategy=StrategyName.fsdp, gradient_checkpointing=True)
    found = plan(starcoder_15b(), loss=Loss(), adapter=Adapter(), trainer=fsdp, batching=Batching())
    assert found.parameters == pytest.approx(15.5e9, rel=0.01)
    assert found.weights + found.gradients + found.optimizer == pytest.approx(16 * found.parameters / 8 / 2**30)
    assert 30 < found.total < 75
    text = describe(found, trainer=fsdp, batching=Batching())
    assert "512 prompts" in text and f"{found.total:.2f}" in text


def test_deepspeed_gets_the_set_stage_and_clipping() -> None:
    config = deepspeed_config(Trainer(strategy=StrategyName.deepspeed, zero_stage=2, clip=0.5))
    assert config["zero_optimization"]["stage"] == 2 and config["gradient_clipping"] == 0.5
