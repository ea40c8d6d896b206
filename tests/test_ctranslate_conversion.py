"""Sampling and quantization convert with the same call: the same weights, and the same words for what can't be converted."""

from pathlib import Path

import pytest
import tiny_models
from transformers import AutoConfig, AutoModelForCausalLM

from rrtf.errors import UserError
from rrtf.quantize.ctranslate import convert_ctranslate2
from rrtf.quantize.settings import Method, Quantization
from rrtf.sampling.ctranslate import converted

FLOAT = Quantization(method=Method.ct2_float32)


def quantize(source: Path, target: Path) -> Path:
    convert_ctranslate2(source, FLOAT, target, report=lambda done, total, note: None)
    return target


def test_both_write_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tiny_models.save(tmp_path / "llama")
    first, second = converted(source, "float32"), quantize(source, tmp_path / "small")
    assert (first / "model.bin").read_bytes() == (second / "model.bin").read_bytes()
    assert converted(source, "float32") == first  # made once
    assert (second / "tokenizer.json").is_file()


def test_an_architecture_without_a_loader_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 320, "state_size": 4}
    AutoModelForCausalLM.from_config(AutoConfig.for_model("mamba", **sizes)).save_pretrained(tmp_path / "mamba")
    tiny_models.tokenizer().save_pretrained(tmp_path / "mamba")
    for attempt in (lambda: converted(tmp_path / "mamba", "float32"), lambda: quantize(tmp_path / "mamba", tmp_path / "x")):
        with pytest.raises(UserError, match="mamba: CTranslate2 can't convert it: .*A huggingface source"):
            attempt()
