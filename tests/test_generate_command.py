"""rrtf-generate from the outside: what it prints, and what it says of mistakes."""

import functools
import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from training_models import checkpoint, tokenizer

from rrtf.generate_command import main, pieces, until
from rrtf.plan import Stage
from rrtf.quantize.convert import quantize
from rrtf.quantize.engines import Draw, load
from rrtf.quantize.settings import Method, Quantization
from rrtf.report.settings import Logger, WandbMode
from rrtf.run import execute_run
from rrtf.sampling.settings import CTranslate2, HuggingFace
from rrtf.settings import Settings

PLAIN = ["--plain", "--max-new-tokens", "10", "--threads", "1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny random model, and the same in CTranslate2's format."""
    root = tmp_path_factory.mktemp("generate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        checkpoint(root / "model", max_position_embeddings=1 << 20)  # none of the endless answers below ends of itself
        return root / "model", quantize(root / "model", Quantization(method=Method.ct2_float32), out=root / "small")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_every_format_writes_the_same(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for folder in folders:
        assert main([str(folder), "def add(a, b):", *PLAIN]) == 0
        out = capsys.readouterr()
        texts.append(out.out)
        assert "14 prompt tokens" in out.err and "loaded in" in out.err
    assert texts[0] == texts[1] and texts[0].strip()
    assert main([str(folders[1]), "def add(a, b):", *PLAIN, "--quiet", "--stop", texts[0][2]]) == 0
    out = capsys.readouterr()
    assert out.out == texts[0][: texts[0].index(texts[0][2])] + "\n" and out.err == ""


def test_a_small_model_whose_source_has_changed_says_so_and_answers_all_the_same(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, small = tmp_path / "model", tmp_path / "small"
    shutil.copytree(folders[0], model)
    monkeypatch.chdir(tmp_path)
    quantize(Path("model"), Quantization(method=Method.ct2_float32), out=small)
    monkeypatch.chdir("/")
    ask = [str(small), "def add(a, b):", *PLAIN, "--quiet"]
    assert main(ask) == 0
    before = capsys.readouterr()
    assert before.err == ""
    checkpoint(model, seed=1)
    assert main(ask) == 0
    after = capsys.readouterr()
    assert after.out == before.out and f"{model} has changed since this ct2_float32 was made" in after.err
    places = {"store": str(tmp_path / "store"), "run_dir": str(tmp_path / "run"), "logger": Logger(mode=WandbMode.disabled)}
    models = {"student": HuggingFace(checkpoint=str(model)), "teachers": {"small": CTranslate2(checkpoint=str(small))}}
    chosen = Settings(rounds=0, stages=[Stage.problems], **models, **places)
    console = Console(file=io.StringIO())
    execute_run(chosen, console, overrides=[])
    assert f"{model} has changed since" in console.file.getvalue()  # type: ignore[attr-defined]
    shutil.rmtree(model)
    assert main(ask) == 0 and capsys.readouterr().err == "", "a small model needs its source no more"


def test_the_prompt_may_be_piped_in(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([str(folders[1]), "def add(a, b):", *PLAIN]) == 0
    said = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("def add(a, b):\n"))
    assert main([str(folders[1]), *PLAIN]) == 0
    assert capsys.readouterr().out == said
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert main([str(folders[1]), *PLAIN]) == 2
    assert "the standard input is empty" in capsys.readouterr().err


def test_all_mistakes_are_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--max-new-tokens", "0", "--temperature", "9", "--top-p", "0", "--threads", "-1", "--stop", ""]
    assert main(["nowhere/at-all", "x", *wrong]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in ("--max-new-tokens", "--temperature", "--top-p", "--threads", "--stop"))


def test_a_checkpoint_that_is_not_there_is_status_two(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([str(tmp_path / "none"), "x"]) == 2
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), "x"]) == 2
    assert "no config.json" in capsys.readouterr().err


@pytest.mark.parametrize("file, wanted", [("tokenizer_config.json", "AutoTokenizer"), ("config.json", "AutoModelForCausalLM")])
def test_code_that_a_folder_brings_is_never_run_and_nobody_is_asked(
    file: str,
    wanted: str,
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """transformers itself would ask, and a "y" on the standard input, which may be a prompt, would be the answer."""
    folder = tmp_path / "model"
    shutil.copytree(folders[0], folder)
    settings = json.loads((folder / file).read_text())
    own = ["own.Own", None] if wanted == "AutoTokenizer" else "own.Own"
    settings |= {"auto_map": {wanted: own, "AutoConfig": "own.Own"}, "tokenizer_class": "Own", "model_type": "own"}
    (folder / file).write_text(json.dumps(settings))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    monkeypatch.setattr("builtins.input", lambda *asked: pytest.fail("asked"))
    assert main([str(folder), "x", *PLAIN]) == 2
    assert "custom code" in capfd.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_a_template_that_refuses_is_a_mistake_in_words(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders[0], folder)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    assert main([str(folder), "x", "--system", "Be brief."]) == 2
    assert "refuses the messages: no system role" in capsys.readouterr().err


def test_a_system_message_needs_a_template(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folders[0]), "x", "--system", "Be brief."]) == 2
    assert "chat template" in capsys.readouterr().err


def both(folder: Path, family: str = "llama", **changes: Any) -> tuple[Path, Path]:
    """A tiny random model in a folder of its own, and the same in CTranslate2's format."""
    checkpoint(folder / "model", family, **changes)
    return folder / "model", quantize(folder / "model", Quantization(method=Method.ct2_float32), out=folder / "small")


def test_every_format_ends_at_every_end_token_of_the_generation_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = checkpoint(tmp_path / "model")
    written = load(model, threads=1).generate([list(b"def f():")], new_tokens=10, forced=False)[0]
    settings = json.loads((model / "generation_config.json").read_text()) | {"eos_token_id": [256, written[4]]}
    (model / "generation_config.json").write_text(json.dumps(settings))
    small = quantize(model, Quantization(method=Method.ct2_float32), out=tmp_path / "small")
    wanted = written[: written.index(written[4])]
    for folder in (model, small):
        engine = load(folder, threads=1)
        assert list(engine.stream(list(b"def f():"), Draw(10))) == wanted
        assert engine.generate([list(b"def f():")], new_tokens=10, forced=False)[0] in (wanted, [*wanted, written[4]])
        assert len(engine.generate([list(b"def f():")], new_tokens=10, forced=True)[0]) == 10


@pytest.mark.parametrize("kind", [0, 1])
def test_no_token_is_asked_beyond_what_the_model_knows(kind: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model with learned positions has no number for the next one."""
    folder = both(tmp_path, "gpt2", vocab_size=257)[kind]
    assert main([str(folder), "x" * 256, *PLAIN]) == 2
    assert "the prompt has 256 tokens, and" in capsys.readouterr().err
    assert main([str(folder), "x" * 250, *PLAIN]) == 0
    assert "250 prompt tokens" in capsys.readouterr().err


def started(*arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "rrtf.generate_command", *arguments, "--plain", "--threads", "1"]
    # a shell's background jobs, and so their tests, ignore ctrl-C
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heard)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 1])
def test_the_process_ends_cleanly_when_done_interrupted_or_unread(folders: tuple[Path, Path], kind: int) -> None:
    """With a thread of the libraries still at work, the interpreter's end aborted it: status 134 after a good answer."""
    done = started(str(folders[kind]), "def f():", "--max-new-tokens", "3")
    done.communicate()
    stopped = started(str(folders[kind]), "def f():", "--max-new-tokens", "100000")
    assert stopped.stdout and stopped.stdout.read(1)
    stopped.send_signal(signal.SIGINT)
    said = stopped.communicate()[1]
    unread = started(str(folders[kind]), "def f():", "--max-new-tokens", "100000")
    assert unread.stdout and unread.stderr and unread.stdout.read(1)
    unread.stdout.close()
    said += unread.stderr.read()
    unread.stderr.close()
    assert b"Traceback" not in said
    assert (done.returncode, stopped.returncode, unread.wait()) == (0, 130, 1)


def broken(folder: Path, kind: str) -> None:
    """Spoil a good folder."""
    config, weights = folder / "config.json", folder / "model.safetensors"
    if kind == "tokenizer":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    elif kind == "damaged tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    elif kind == "half":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif kind == "shape":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"intermediate_size": 96}))
    elif kind == "missing":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 3}))
    else:
        config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "nonesuch"}))


@pytest.mark.parametrize(
    "kind, words",
    [
        ("tokenizer", "has no tokenizer"),
        ("damaged tokenizer", "can't be loaded"),
        ("half", "can't be loaded: SafetensorError"),
        ("shape", "6 are missing or of another shape"),
        ("missing", "9 are missing or of another shape, such as model.layers.2"),
        ("architecture", "nonesuch"),
    ],
)
def test_a_damaged_folder_is_named_with_what_is_wrong(
    kind: str, words: str, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing weights are not made up at random."""
    folder = tmp_path / "model"
    shutil.copytree(folders[0], folder)
    broken(folder, kind)
    assert main([str(folder), "x", *PLAIN]) == 2
    said = capsys.readouterr().err
    assert str(folder) in said and words in said


@pytest.mark.parametrize("text", ["{", "{}", '{"base_model_name_or_path": "BASE"}'])
def test_a_damaged_adapter_is_named(
    text: str, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(text.replace("BASE", str(folders[0])))
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    assert main([str(tmp_path / "adapter"), "x", *PLAIN]) == 2
    assert str(tmp_path / "adapter") in capsys.readouterr().err


def test_a_damaged_gguf_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUFjunk")
    assert main([str(tmp_path / "model.gguf"), "x", *PLAIN]) == 2
    assert str(tmp_path / "model.gguf") in capsys.readouterr().err


@given(st.text(min_size=0, max_size=30))
def test_text_grows_by_whole_characters(text: str) -> None:
    core = tokenizer()
    ids = core(text, add_special_tokens=False)["input_ids"]
    parts = list(pieces(core, iter(ids)))
    assert "".join(parts) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in part for part in parts)


@given(st.lists(st.text("abc", max_size=4), max_size=8), st.lists(st.text("abc", min_size=1, max_size=3), max_size=3))
def test_text_ends_before_the_first_stop(texts: list[str], stops: list[str]) -> None:
    whole = "".join(texts)
    ends = [whole.index(stop) for stop in stops if stop in whole]
    said = "".join(until(iter(texts), stops))
    # what a stop text that ends earlier cuts off can hide an overlapping one that began before it
    assert whole.startswith(said) and not any(stop in said for stop in stops)
    assert said == whole if not ends else len(said) >= min(ends)
