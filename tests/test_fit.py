"""`fit` through the front door: what it writes, and that a run that was killed is the run that was not."""

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from training_models import checkpoint, groups
from transformers import AutoModelForCausalLM, AutoTokenizer

from rrtf.errors import ConfigurationError, InfrastructureError
from rrtf.training.fit import fit
from rrtf.training.quiet import quiet
from rrtf.training.settings import (
    Adapter,
    AdapterKind,
    Batching,
    Best,
    Family,
    Loss,
    Optim,
    Precision,
    Trainer,
)

BATCHING = Batching(prompts_per_step=3, epochs=2, token_budget=400, max_length=200, logits=5000)
TRAINER = Trainer(precision=Precision.fp32, save_every=1, generation_tokens=5)


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2, because it drops out: its random state matters."""
    return checkpoint(tmp_path_factory.mktemp("gpt2"), "gpt2")


def train(folder: Path, out: Path, *, kill_at: int = -1, rows: list[Any] | None = None, **changes: Any) -> Path:
    def log(step: int, values: dict[str, float]) -> None:
        if rows is not None:
            rows.append((step, values))
        if step == kill_at:
            raise Killed

    parts = {
        "loss": Loss(), "adapter": Adapter(), "optim": Optim(learning_rate=1e-3), "trainer": TRAINER, "batching": BATCHING,
        "validation": groups(2, seed=9),
    }  # fmt: skip
    return fit(groups(7), folder, seed=3, out=out, log=log, **{**parts, **changes})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", [AdapterKind.full, AdapterKind.lora])
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(tiny_checkpoint: Path, tmp_path: Path, kind: AdapterKind) -> None:
    loss = Loss(family=Family.bradley_terry, length_normalized=False, beta=0.1, reference=True)
    options = {"adapter": Adapter(kind=kind, dropout=0.1), "loss": loss}
    rows: list[Any] = []
    whole = train(tiny_checkpoint, tmp_path / "whole", rows=rows, **options)
    again: list[Any] = []
    for stop in (2, 5):
        with pytest.raises(Killed):
            train(tiny_checkpoint, tmp_path / "again", kill_at=stop, rows=again, **options)
    assert same(train(tiny_checkpoint, tmp_path / "again", rows=again, **options), whole)
    losses = lambda rows: {(step, "loss" in v): v.get("loss", v.get("validation_loss")) for step, v in rows}  # noqa: E731
    assert losses(rows) == losses(again)
    assert [step for step, values in rows if "loss" in values] == [1, 2, 3, 4, 5, 6]
    assert [step for step, values in rows if "validation_loss" in values] == [0, 3, 6], "0 is before training"
    assert not (tmp_path / "again" / "resume").exists()
    size = sum(file.stat().st_size for file in whole.glob("*.safetensors"))
    assert (size < 80_000) == (kind is AdapterKind.lora)


def test_a_finished_run_is_not_run_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    first = train(tiny_checkpoint, tmp_path)
    (tmp_path / "resume").mkdir()  # as a run leaves it that is killed between its last two acts
    rows: list[Any] = []
    assert train(tiny_checkpoint, tmp_path, rows=rows) == first
    assert rows == [] and not (tmp_path / "resume").exists()


def test_it_writes_a_plain_folder_that_transformers_loads(tiny_checkpoint: Path, tmp_path: Path) -> None:
    texts: dict[int, dict[str, str]] = {}
    trainer = replace(TRAINER, precision=Precision.bf16, snapshot_every=2)
    out = train(tiny_checkpoint, tmp_path, trainer=trainer, log_text=lambda step, answers: texts.update({step: answers}))
    model = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    assert model.dtype == torch.bfloat16 and model.config.use_cache and model.config._attn_implementation == "sdpa"
    assert AutoTokenizer.from_pretrained(out).eos_token == "<|end|>"
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == ["step-000002", "step-000004", "step-000006"]
    assert same(tmp_path / "snapshots" / "step-000006", out)
    assert sorted(texts) == [3, 6] and len(texts[3]) == 2


def test_validation_answers_end_where_the_models_positions_do(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """GPT-2 has 256: a long prompt leaves room for few tokens, or none, and training goes on."""
    long = [replace(group, prompt="a" * length) for group, length in zip(groups(2, seed=9), (190, 300), strict=True)]
    texts: dict[int, dict[str, str]] = {}
    trainer = replace(TRAINER, generation_tokens=128)
    options = {"trainer": trainer, "validation": long, "batching": replace(BATCHING, epochs=1, max_length=256)}
    train(tiny_checkpoint, tmp_path, log_text=lambda step, answers: texts.update({step: answers}), **options)
    assert list(texts[3]) == ["a" * 190] and 0 < len(texts[3]["a" * 190]) <= 66


def test_tied_weights_are_saved_once(tmp_path: Path) -> None:
    """Twice, they made a student's folder a fifth larger and its memory with it."""
    base = checkpoint(tmp_path / "llama", tie_word_embeddings=True)
    out = train(base, tmp_path / "out")
    assert "model.embed_tokens.weight" in weights(out) and "lm_head.weight" not in weights(out)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_an_adapter_folder_goes_onto_its_base(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = train(tiny_checkpoint, tmp_path, adapter=Adapter(kind=AdapterKind.lora))
    base = AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    with quiet():
        tuned = PeftModel.from_pretrained(base, out)
    assert any(parameter.abs().max() > 0 for name, parameter in tuned.named_parameters() if "lora_B" in name)


def test_the_best_weights_on_validation_are_kept(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """With a rate that ruins the model after the first validations, the last weights are not the best."""
    rows: list[Any] = []
    trainer = replace(TRAINER, best=Best.validation_loss, validate_every=1, snapshot_every=1, clip=0.0)
    out = train(tiny_checkpoint, tmp_path, trainer=trainer, optim=Optim(learning_rate=0.5, warmup_ratio=0.9), rows=rows)
    values = {step: v["validation_loss"] for step, v in rows if step and "validation_loss" in v}
    best = min(values, key=lambda step: values[step])
    assert best < 6
    assert same(out, tmp_path / "snapshots" / f"step-{best:06d}")


def test_all_mistakes_are_reported_together_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        train(tmp_path / "nowhere", tmp_path, loss=Loss(beta=-1.0), batching=Batching(epochs=0), optim=Optim(learning_rate=0.0))
    assert len(error.value.mistakes) == 3


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_full_disk_is_said_in_words_and_what_was_finished_is_kept(tiny_checkpoint: Path, tmp_path: Path, epochs: int) -> None:
    """The model finds no room (one epoch), or the resume point before it."""
    options = {"trainer": replace(TRAINER, save_every=0), "batching": replace(BATCHING, epochs=epochs)}
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(InfrastructureError, match="no space left .* the same command goes on"):
            train(tiny_checkpoint, tmp_path / "out", **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()], "nothing half-written stays"
    assert same(train(tiny_checkpoint, tmp_path / "out", **options), train(tiny_checkpoint, tmp_path / "whole", **options))


@pytest.mark.slow
def test_kill_9_costs_nothing_but_time(tiny_checkpoint: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        f"import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\nfrom test_fit import train\nfrom rrtf.training import fit\n"
        "class Rows(list):\n    def append(self, row):\n"
        f"        if row[0] == int(sys.argv[2]): os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        f"train(Path({str(tiny_checkpoint)!r}), Path(sys.argv[1]), rows=Rows())\n"
    )
    run = lambda out, step: subprocess.run([sys.executable, script, out, str(step)], env=dict(os.environ)).returncode  # noqa: E731
    assert run(tmp_path / "whole", -1) == 0
    assert [run(tmp_path / "killed", step) for step in (3, 5, -1)] == [-9, -9, 0]
    assert same(tmp_path / "whole" / "model", tmp_path / "killed" / "model")
