"""GPTQ for real, where the extra `gptq` is installed: made, answered by transformers at a plain model's speed, and measured."""

import importlib.util
import json
import resource
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_models import checkpoint

from rrtf.errors import MissingDataError, UserError
from rrtf.generate_command import main
from rrtf.gptq_folders import import_gptqmodel, is_gptq, unpack
from rrtf.loading import load_causal_lm
from rrtf.pipeline import require_files
from rrtf.quantize import sidecar
from rrtf.quantize.convert import quantize
from rrtf.quantize.measure import Format, measure
from rrtf.quantize.settings import Measurement, Method, Quantization
from rrtf.quantize.support import refuse
from rrtf.sampling.settings import HuggingFace
from rrtf.settings import Settings
from rrtf.training.models import load_model
from rrtf.training.settings import Adapter, Batching, Trainer

WIDE = {"hidden_size": 64, "intermediate_size": 128}
TEXTS = ["def add(a, b):\n    return a + b\n" * 4, "for x in range(10):\n    print(x)\n" * 4] * 8
INT8 = Quantization(method=Method.gptq_int8, group_size=32)
with_gptq = pytest.mark.skipif(importlib.util.find_spec("gptqmodel") is None, reason="the extra gptq is not installed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "llama", **WIDE)


@with_gptq
@pytest.mark.slow
def test_layers_are_counted_as_they_are_done_and_a_full_disk_is_said_in_words(source: Path, tmp_path: Path) -> None:
    """Its output came in blocks, at the end, and what was counted was whichever bar stood in it."""
    said: list[tuple[int, int, str]] = []
    quantize(source, INT8, TEXTS, out=tmp_path / "out", report=lambda *done: said.append(done))
    assert sorted(set(said)) == [(1, 2, "layers"), (2, 2, "layers")]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))  # a child's files, too
    try:
        with pytest.raises(UserError, match="no space left while writing full; nothing was kept"):
            quantize(source, INT8, TEXTS, out=tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "full").exists()


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantize(source, INT8, TEXTS, out=tmp_path_factory.mktemp("made") / "gptq_int8")


def kernels(model: torch.nn.Module) -> set[str]:
    return {type(layer).__name__ for layer in model.modules() if "Linear" in type(layer).__name__}


@with_gptq
@pytest.mark.slow
def test_nothing_is_left_where_it_is_started(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quantize(source, INT8, TEXTS, out=Path("made"))
    assert {path.name for path in tmp_path.iterdir()} <= {"made", "made.lock", "cache"}
    assert is_gptq(Path("made"))


@with_gptq
@pytest.mark.slow
@pytest.mark.parametrize("dtype, off", [(torch.bfloat16, 0), (torch.float16, 2e-3), (torch.float32, 1e-5)])
def test_unpacked_once_is_the_same_model(made: Path, dtype: torch.dtype, off: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.tensor([list(b"def add(a, b):")])
    with monkeypatch.context() as patch, torch.inference_mode():
        patch.setattr("rrtf.loading.unpack", lambda model, every: None)
        packed = load_causal_lm(made, dtype=dtype)
        assert "TorchLinear" in kernels(packed)
        wanted = packed(ids).logits
    with torch.inference_mode():
        plain = load_causal_lm(made, dtype=dtype)
        assert kernels(plain) == {"Linear"} and plain.dtype is dtype
        found = plain(ids).logits
    torch.testing.assert_close(found, wanted, rtol=0, atol=off)  # where it is not 0, sums are taken in another order


@with_gptq
@pytest.mark.slow
@pytest.mark.parametrize(
    "changes, off",  # the last has a kernel that rounds its sums to bfloat16
    [({"bits": 2, "act_order": True}, 0), ({"bits": 3}, 0), ({"bits": 4, "group_size": -1}, 0.05)],
)
def test_whatever_has_no_fast_kernel_on_a_processor_is_unpacked(
    changes: dict[str, int], off: float, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Quantization(**{"method": Method.gptq_int8, "group_size": 32, **changes})
    folder = quantize(source, settings, TEXTS, out=tmp_path / "out")
    written = json.loads((folder / "config.json").read_text())["quantization_config"]
    asked = (settings.weight_bits, settings.group_size, settings.act_order)
    assert (written["bits"], written["group_size"], written["desc_act"]) == asked
    ids = torch.tensor([list(b"x = 1\n")])
    with monkeypatch.context() as patch, torch.inference_mode():
        patch.setattr("rrtf.loading.unpack", lambda model, every: None)
        wanted = load_causal_lm(folder, dtype=torch.bfloat16)(ids).logits
    with torch.inference_mode():
        plain = load_causal_lm(folder, dtype=torch.bfloat16)
        assert kernels(plain) == {"Linear"}
        found = plain(ids).logits
    torch.testing.assert_close(found, wanted, rtol=0, atol=off)


@with_gptq
@pytest.mark.slow
def test_four_bits_keep_their_kernel_unless_many_rows_are_wanted(source: Path, tmp_path: Path) -> None:
    folder = quantize(source, Quantization(method=Method.gptq_int4, group_size=32), TEXTS, out=tmp_path / "out")
    ids = torch.tensor([list(b"x = 1\n")])
    with torch.inference_mode():
        fast, plain = (load_causal_lm(folder, dtype=torch.bfloat16, plain=plain) for plain in (False, True))
        assert kernels(fast) == {"Linear", "TorchAtenLinear"} and kernels(plain) == {"Linear"}
        torch.testing.assert_close(plain(ids).logits, fast(ids).logits, rtol=0, atol=0.05)


@with_gptq
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_packed_weights_do_not_stay_in_memory_beside_the_unpacked(made: Path) -> None:
    """The file stayed mapped, because the embedding, which is not packed, lay in the same mapping."""
    model = load_causal_lm(made)
    assert str(made) not in Path("/proc/self/maps").read_text()
    assert kernels(model) == {"Linear"}


@with_gptq
@pytest.mark.slow
def test_only_the_answer_is_printed(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main([str(made), "x =", "--plain", "--max-new-tokens", "4", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert len(printed) < 40 and "GPT" not in printed and "INFO" not in printed


@with_gptq
@pytest.mark.slow
def test_the_folder_is_described_and_a_damaged_one_is_said(source: Path, made: Path, tmp_path: Path) -> None:
    about = sidecar.read(made)
    assert about and about.settings["group_size"] == 32 and about.calibration_texts == len(TEXTS)
    assert {"gptqmodel", "optimum", "torch"} <= about.versions.keys()
    assert quantize(source, INT8, TEXTS, out=made) == made  # finished: not made again
    with pytest.raises(UserError, match="calibration_texts is 16"):
        quantize(source, INT8, TEXTS[:3], out=made)
    broken = shutil.copytree(made, tmp_path / "broken")
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(UserError, match="broken: can't be loaded"):
        load_causal_lm(broken)


def as_autogptq_left_it(folder: Path, *, shards: bool) -> None:
    """Turn a GPTQModel folder into the layout of AutoGPTQ's older releases."""
    config = json.loads((folder / "config.json").read_text())
    told = config.pop("quantization_config")
    (folder / "config.json").write_text(json.dumps(config))
    names = ("bits", "group_size", "desc_act", "sym")
    own = {name: told[name] for name in names} | {"damp_percent": 0.01, "static_groups": False, "true_sequential": True}
    own |= {"model_name_or_path": None, "model_file_base_name": None}
    (folder / "quantize_config.json").write_text(json.dumps(own))
    named = f"gptq_model-{told['bits']}bit-{told['group_size']}g"
    if shards:
        (folder / "model.safetensors").rename(folder / f"{named}-00001-of-00001.safetensors")
        tensors = load_file(folder / f"{named}-00001-of-00001.safetensors")
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, f"{named}-00001-of-00001.safetensors")}
        (folder / f"{named}.safetensors.index.json").write_text(json.dumps(index))
    else:
        (folder / "model.safetensors").rename(folder / f"{named}.safetensors")


@with_gptq
@pytest.mark.slow
@pytest.mark.parametrize("shards", [False, True])
def test_what_autogptq_wrote_answers_as_gptqmodels_folder_does(
    shards: bool, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["def add(a, b):", "--plain", "--max-new-tokens", "8", "--threads", "1", "--quiet"]
    assert main([str(made), *ask]) == 0
    wanted = capsys.readouterr().out
    folder = shutil.copytree(made, tmp_path / "autogptq")
    as_autogptq_left_it(folder, shards=shards)
    assert is_gptq(folder)
    before = sorted(folder.iterdir())
    assert main([str(folder), *ask]) == 0
    assert capsys.readouterr().out == wanted
    assert sorted(folder.iterdir()) == before
    with pytest.raises(UserError, match="already quantized .gptq."):
        refuse(folder, [Quantization(method=Method.ct2_int8)])
    for weights in folder.glob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match="autogptq: can't be loaded"):
        load_causal_lm(folder)


@with_gptq
@pytest.mark.slow
def test_weights_that_are_missing_are_never_made_up(made: Path, tmp_path: Path) -> None:
    lacking = shutil.copytree(made, tmp_path / "lacking")
    tensors = load_file(lacking / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if "layers.1.mlp.up_proj" not in name}, lacking / "model.safetensors")
    with pytest.raises(UserError, match="missing or of another shape, such as model.layers.1.mlp.up_proj"):
        load_causal_lm(lacking)


@with_gptq
@pytest.mark.slow
def test_the_kernel_that_ran_is_said(source: Path, made: Path) -> None:
    settings = Measurement(rounds=1, prompt_tokens=8, new_tokens=2, threads=1)
    rows = measure([Format("original", source), Format("int8", made)], ["def add(a, b):\n"], settings)
    assert all(row.loaded_mb < 12 for row in rows), "the weights are 0.5 MiB, and libraries are not counted"
    assert [row.kernel for row in rows] == ["Linear float32", "Linear bfloat16"]


def named_gptq(folder: Path) -> Path:
    """A checkpoint that only says of itself that GPTQ made it."""
    checkpoint(folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = named_gptq(tmp_path / "quantized")
    assert is_gptq(folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDataError, match=r"quantized: a GPTQ checkpoint; .*pip install 'rrtf\[gptq\]'"):
        load_causal_lm(folder)
    assert main([str(folder), "x ="]) == 2
    assert "pip install 'rrtf[gptq]'" in capsys.readouterr().err


def test_a_run_that_would_end_in_either_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Settings(student=HuggingFace(checkpoint=str(named_gptq(tmp_path / "quantized"))), run_dir=str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"student: .*pip install 'rrtf\[gptq\]'"):
        require_files(chosen)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "there")
    with pytest.raises(UserError, match="student: .*can neither be trained"):
        require_files(chosen)
    chosen.rounds = 0
    chosen.quantize = {"ct2_int8": Quantization()}
    require_files(chosen)


def test_a_small_model_is_not_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"quantized: quantized \(gptq\), so it can neither be trained"):
        load_model(named_gptq(tmp_path / "quantized"), adapter=Adapter(), trainer=Trainer(), batching=Batching())


def test_nothing_to_unpack_changes_nothing(source: Path) -> None:
    if importlib.util.find_spec("gptqmodel"):
        import_gptqmodel()
        model = load_causal_lm(source)
        unpack(model)
        assert kernels(model) == {"Linear"}
