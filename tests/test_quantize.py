"""Small formats are made whole or not at all, never over another, and only where the architecture allows it."""

import contextlib
import json
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training_models import checkpoint, tokenizer

from rrtf.errors import ConfigurationError, MissingDataError, UserError
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet
from rrtf.quantize import sidecar
from rrtf.quantize.calibration import calibration_texts
from rrtf.quantize.convert import quantize
from rrtf.quantize.engines import Draw, Engine
from rrtf.quantize.engines import load as load_engine
from rrtf.quantize.settings import Measurement, Method, Quantization
from rrtf.quantize.support import refuse, support
from rrtf.records import Group, Outcome, Problem, RankedResponse, Role

INT8 = Quantization(method=Method.ct2_int8)
FLOAT32 = Quantization(method=Method.ct2_float32)
PROMPTS = [list(b"def add(a, b):"), list(b"x = 1\n"), list(b"import os")]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantize(source, FLOAT32, out=tmp_path_factory.mktemp("made") / "ct2_float32")


def test_settings_say_every_mistake_at_once() -> None:
    assert all(Quantization(method=method).mistakes() == [] for method in Method)
    wrong = Quantization(method=Method.gptq_int4, bits=5, group_size=7, calibration_problems=0, calibration_tokens=1)
    assert [mistake.split(":")[0] for mistake in wrong.mistakes()] == [
        "bits",
        "group_size",
        "calibration_problems",
        "calibration_tokens",
    ]
    assert "only GPTQ" in Quantization(method=Method.ct2_int8, bits=4).mistakes()[0]
    assert len(Measurement(rounds=0, threads=-1).mistakes()) == 2
    with pytest.raises(ConfigurationError):
        quantize(Path("nowhere"), wrong, out=Path("nowhere"))


def test_bits_follow_the_method_unless_set() -> None:
    bits = {method.value: Quantization(method=method).weight_bits for method in Method}
    assert bits == {"ct2_int8": 8, "ct2_int8_float16": 8, "ct2_float32": 32, "gptq_int8": 8, "gptq_int4": 4}
    assert Quantization(method=Method.gptq_int4, bits=3).label == "GPTQ int3"


def test_starcoder2_is_refused_before_the_work_with_the_reason(tmp_path: Path) -> None:
    checkpoint(tmp_path / "model", "starcoder2")
    (found,) = support(tmp_path / "model", [INT8])
    assert not found.works and found.reason == "CTranslate2 has no loader for starcoder2"
    with pytest.raises(UserError, match="ct2_int8 of Starcoder2ForCausalLM: CTranslate2 has no loader"):
        quantize(tmp_path / "model", INT8, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt_bigcode"])
def test_families_with_a_loader_are_supported(family: str, tmp_path: Path) -> None:
    checkpoint(tmp_path, family)
    assert support(tmp_path, [INT8])[0].works


def test_a_loader_that_would_fail_is_found_without_weights(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    yarn = {"rope_type": "yarn", "factor": 2.0, "rope_theta": 10000.0, "original_max_position_embeddings": 128}
    (tmp_path / "config.json").write_text(json.dumps(config | {"rope_parameters": yarn}))
    (found,) = support(tmp_path, [INT8])
    assert "CTranslate2's loader for llama fails" in found.reason and "yarn" in found.reason.lower()


def test_an_embedding_wider_than_the_vocabulary_is_refused_before_the_work(
    tmp_path: Path,
) -> None:
    """The converter would fail after it; for Llama and its like it fills the vocabulary up itself."""
    checkpoint(tmp_path / "gpt2", "gpt2")
    (found,) = support(tmp_path / "gpt2", [INT8])
    assert found.reason == "its embedding has 300 rows and its tokenizer 257 texts, which CTranslate2 wants alike"
    checkpoint(tmp_path / "exact", "gpt2", vocab_size=257)
    assert support(tmp_path / "exact", [INT8])[0].works


def test_what_is_quantized_already_is_refused(source: Path, tmp_path: Path) -> None:
    config = json.loads((source / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "awq"}}))
    with pytest.raises(UserError, match="already quantized .awq.; name the original"):
        refuse(tmp_path, [INT8])


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_configuration_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json"):
        support(tmp_path, [INT8])
    with pytest.raises(MissingDataError):
        support(tmp_path / "none", [INT8])


def _answers(engine: Engine) -> list[list[int]]:
    return [engine.generate([prompt], new_tokens=12, forced=False)[0] for prompt in PROMPTS]


def test_nothing_rounded_means_nothing_changed(source: Path, made: Path) -> None:
    original, converted = load_engine(source, threads=1), load_engine(made, threads=1)
    assert _answers(original) == _answers(converted)
    for prompt in PROMPTS:
        first, rest = prompt[:1], prompt[1:]
        assert len(whole := original.score(first, rest)) == len(rest)
        assert whole == pytest.approx(converted.score(first, rest), abs=1e-3)
        for engine in (original, converted):  # what is scored does not change with what is called the prompt
            assert engine.score(prompt[:4], prompt[4:]) == pytest.approx(whole[3:], abs=1e-3)
    together = converted.generate(PROMPTS, new_tokens=5, forced=True)
    assert [len(row) for row in together] == [5, 5, 5]


@pytest.mark.parametrize("family, rows", [("qwen2", 300), ("gemma", 300), ("gpt2", 257), ("gpt_bigcode", 300)])
def test_every_family_answers_from_its_converted_folder_as_from_its_own(family: str, rows: int, tmp_path: Path) -> None:
    """StarCoder's (gpt_bigcode) could be converted and then not be loaded."""
    source = checkpoint(tmp_path / "model", family, vocab_size=rows)
    small = quantize(source, FLOAT32, out=tmp_path / "small")
    assert _answers(load_engine(source, threads=1)) == _answers(load_engine(small, threads=1))


@pytest.mark.parametrize("kind", ["original", "converted"])
def test_a_stream_is_the_greedy_answer_and_a_seed_repeats_a_drawn_one(kind: str, source: Path, made: Path) -> None:
    folder = source if kind == "original" else made
    engine = load_engine(folder, threads=1)
    greedy = engine.generate(PROMPTS[:1], new_tokens=12, forced=False)[0]
    ended = greedy[: greedy.index(256)] if 256 in greedy else greedy
    assert list(engine.stream(PROMPTS[0], Draw(12))) == ended
    # loaded anew each time, as rrtf-generate does: CTranslate2 reads the seed when its threads start
    drawn = [list(load_engine(folder, threads=1).stream(PROMPTS[0], Draw(12, temperature=2.0, seed=n))) for n in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_finished_folder_is_described_and_never_made_again(source: Path, made: Path) -> None:
    about = sidecar.read(made)
    assert about and about.method == "ct2_float32" and about.calibration_texts == 0
    assert about.versions["ctranslate2"] and about.weights_bytes == (made / "model.bin").stat().st_size
    before = {file.name: file.stat().st_mtime_ns for file in made.iterdir()}
    assert quantize(source, FLOAT32, ["texts do not matter to CTranslate2"], out=made) == made
    assert {file.name: file.stat().st_mtime_ns for file in made.iterdir()} == before


def test_another_conversion_is_never_overwritten(source: Path, made: Path) -> None:
    with pytest.raises(UserError, match="already holds another conversion"):
        quantize(source, INT8, out=made)
    assert sidecar.read(made) is not None


def test_a_folder_of_unknown_making_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.bin").write_bytes(b"mine")
    with pytest.raises(UserError, match="nobody can say what it was made from"):
        quantize(source, INT8, out=tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == b"mine"


def test_a_source_that_changed_is_noticed(source: Path, made: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    checkpoint(changed, seed=1)
    with pytest.raises(UserError, match="The source changed"):
        quantize(changed, FLOAT32, out=made)


def test_what_a_killed_run_left_is_swept_up(source: Path, tmp_path: Path) -> None:
    left = tmp_path / "out.partial"
    left.mkdir()
    (left / "model.bin").write_bytes(b"half")
    assert quantize(source, INT8, out=tmp_path / "out") == tmp_path / "out"
    assert not left.exists() and (tmp_path / "out" / sidecar.NAME).is_file()


def test_a_full_disk_is_noticed_before_and_during(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
        with pytest.raises(UserError, match="MB free"):
            quantize(source, INT8, out=tmp_path / "out")

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("rrtf.quantize.convert.convert_ctranslate2", full)
    with pytest.raises(UserError, match="no space left"):
        quantize(source, INT8, out=tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The system's own limit on a file's size, as good as a full disk: what is written beyond it fails, in a child too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("lost", ["model.bin", "tokenizer.json"])
def test_whichever_file_finds_the_disk_full_nothing_is_kept(lost: str, tmp_path: Path) -> None:
    """The tokenizer's library says it in an exception of its own."""
    source, own = checkpoint(tmp_path / "model"), tokenizer()
    own.add_tokens(["x" * 8_000 + str(number) for number in range(30)])
    own.save_pretrained(source)
    sizes = {file.name: file.stat().st_size for file in quantize(source, FLOAT32, out=tmp_path / "whole").iterdir()}
    assert sizes["model.bin"] < sizes["tokenizer.json"]
    with files_end_at(sizes[lost] - 1), pytest.raises(UserError, match="no space left while writing out; nothing was kept"):
        quantize(source, FLOAT32, out=tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_a_folder_that_lost_weights_since_is_not_taken_for_finished(source: Path, made: Path, tmp_path: Path) -> None:
    half = shutil.copytree(made, tmp_path / "half")
    whole = (half / "model.bin").read_bytes()
    (half / "model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"half: was made with {len(whole)} bytes of weights and holds {len(whole) // 2}"):
        quantize(source, FLOAT32, out=half)
    (half / "model.bin").unlink()
    with pytest.raises(UserError, match="holds 0: a part of it is lost"):
        quantize(source, FLOAT32, out=half)


@pytest.mark.parametrize("text", ["{", '{"source": "x"}', "[]"])
def test_a_damaged_sidecar_is_said(text: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / sidecar.NAME).write_text(text)
    with pytest.raises(UserError, match="not a sidecar"):
        quantize(source, INT8, out=tmp_path / "out")


def test_gptq_says_what_it_needs(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Quantization(method=Method.gptq_int4, group_size=16)
    with pytest.raises(UserError, match="needs calibration texts"):
        quantize(source, settings, out=tmp_path / "out")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rrtf\[gptq\]'. Instead: ct2_int8"):
        quantize(source, settings, ["text"], out=tmp_path / "out")


def _group(problem: Problem) -> Group:
    best = RankedResponse(
        source="reference", role=Role.teacher, text=problem.reference, reward=1.0, outcome=Outcome.all_tests_passed, target=True
    )
    return Group(task_id=problem.task_id, prompt=f"# {problem.text}\n", responses=(best,))


def test_calibration_is_drawn_by_seed_and_never_from_a_benchmark() -> None:
    known = list(load(ProblemSet(split="train", limit=12)))
    problems = {problem.task_id: problem for problem in known}
    groups = [_group(problem) for problem in known]
    settings = Quantization(method=Method.gptq_int4, calibration_problems=4)
    drawn = calibration_texts(groups, problems, [], settings)
    assert len(set(drawn)) == 4 and drawn == calibration_texts(reversed(groups), problems, [], settings)
    assert drawn != calibration_texts(
        groups, problems, [], Quantization(method=Method.gptq_int4, calibration_problems=4, seed=1)
    )
    everything = Quantization(method=Method.gptq_int4, calibration_problems=100)
    assert len(calibration_texts(groups, problems, [], everything)) == 12
    benchmark = [Problem(task_id="Bench/1", text=known[3].text, tests=known[3].tests, reference=known[3].reference)]
    with pytest.raises(UserError, match=f"(?s)1 calibration problem.*{known[3].task_id} and Bench/1"):
        calibration_texts(groups, problems, benchmark, everything)
    with pytest.raises(UserError, match="no training problem has an answer"):
        calibration_texts([Group(task_id="a", prompt="", responses=())], problems, [], settings)
