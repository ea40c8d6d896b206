"""The sample stage through its front door: any source, kept work, seeds, bad input."""

import dataclasses
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from tiny_models import save

from rrtf.errors import ConfigurationError, DataError, MissingDataError, UserError
from rrtf.profiles import Profile, Style
from rrtf.quantize.convert import quantize
from rrtf.quantize.settings import Method, Quantization
from rrtf.records import Candidate, Problem, Role, TestKind, Tests
from rrtf.sampling import settings as all_settings
from rrtf.sampling.settings import (
    CTranslate2,
    Decoding,
    HuggingFace,
    OpenAICompatible,
    Override,
    Precision,
    Recorded,
    Reference,
    Source,
    Vllm,
)
from rrtf.sampling.stage import identity, sample, student_prompts
from rrtf.store import read_records, write_records

SOURCES = [HuggingFace, Vllm, CTranslate2, OpenAICompatible, Recorded, Reference]


def problem(number, *, words="Add."):
    return Problem(
        task_id=f"p/{number}",
        text=f"{words} {number}",
        entry_point="add",
        signature="def add(a, b):",
        reference="def add(a, b):\n    return a + b\n" if number % 2 else "",
        tests=Tests(kind=TestKind.asserts, asserts=("assert add(1, 2) == 3",)),
    )


PROBLEMS = [problem(number) for number in range(4)]
DECODING = Decoding(n=3, temperatures=[0.0, 0.7], max_new_tokens=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("tiny"))


def draw(folder, problems=PROBLEMS, decoding=DECODING, *, cache=None, progress=lambda *_: None, **settings):
    source = HuggingFace(**({"checkpoint": str(folder), "precision": Precision.float32, "device": "cpu"} | settings))
    found = sample(problems, source, decoding, name="tiny", role=Role.student, cache=cache, progress=progress)
    return list(found)


def test_candidates_come_in_order_with_all_they_are_made_of(folder):
    rows = draw(folder)
    wanted = [(p.task_id, t, n) for p in PROBLEMS for t, count in ((0.0, 1), (0.7, 3)) for n in range(count)]
    assert [(row.task_id, row.temperature, row.sample) for row in rows] == wanted
    assert len({row.key for row in rows}) == len({row.seed for row in rows}) == len(rows)
    prompts = student_prompts(PROBLEMS, HuggingFace(checkpoint=str(folder)))
    for row in rows:
        assert row.prompt == prompts[row.task_id]
        assert row.prompt.endswith("<|assistant|>```python\n")
        assert row.source == "tiny" and row.source_digest and row.profile == "chat-v1"
        assert row.tokens <= 12 and row.finish in ("stop", "length")


def test_more_problems_more_samples_and_other_rows_sample_nothing_again(folder, tmp_path):
    cache = tmp_path / "log"
    first = {row.key: row for row in draw(folder, PROBLEMS[:2], cache=cache)}
    notes = []
    more = draw(
        folder, decoding=dataclasses.replace(DECODING, n=5), cache=cache, rows=2, progress=lambda *note: notes.append(note)
    )
    again = {row.key: row for row in more}
    assert notes[0] == (len(first), 4 * 6, "from the cache")
    assert notes[-1][:2] == (24, 24)
    assert all(again[key] == row for key, row in first.items())
    assert {row.key: row for row in draw(folder, decoding=dataclasses.replace(DECODING, n=5))} == again


def test_other_settings_draw_anew(folder, tmp_path):
    cache = tmp_path / "log"
    draw(folder, cache=cache)
    for changed in ({"top_p": 0.5}, {"seed": 1}, {"max_new_tokens": 13}, {"stop": ["q"]}):
        notes = []
        draw(
            folder,
            decoding=dataclasses.replace(DECODING, **changed),
            cache=cache,
            progress=lambda *note, n=notes: n.append(note),
        )
        assert notes[0][0] == 0, changed


def test_the_name_and_role_of_a_source_are_labels(folder, tmp_path):
    rows = draw(folder, cache=tmp_path / "log")
    source = HuggingFace(checkpoint=str(folder), precision=Precision.float32, device="cpu")
    renamed = list(sample(PROBLEMS, source, DECODING, name="other", role=Role.teacher, cache=tmp_path / "log"))
    assert [dataclasses.replace(row, source="tiny", role=Role.student) for row in renamed] == rows


def test_a_kill_loses_only_what_was_under_way(folder, tmp_path):
    cache = tmp_path / "log"
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_sampling_stage as t\n"
        "def progress(done, total, note):\n"
        "    if done == 5: os.kill(os.getpid(), 9)\n"
        "t.draw(sys.argv[2], cache=t.Path(sys.argv[3]), progress=progress, rows=2)"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parent), str(folder), str(cache)])
    assert run.returncode == -signal.SIGKILL
    with cache.open("ab") as file:
        file.write(b'{"key": "torn')
    notes = []
    rows = draw(folder, cache=cache, progress=lambda *note: notes.append(note))
    assert notes[0][0] == 5
    assert rows == draw(folder)


def test_a_tokenizer_without_chat_template_is_refused_for_chats_only(tmp_path):
    bare = save(tmp_path / "bare", template=None)
    with pytest.raises(ConfigurationError, match="no chat template; choose paper, starcoder"):
        draw(bare)
    rows = draw(bare, profile=Profile(style=Style.paper))
    assert rows[0].prompt == '"""\nAdd. 0\n"""\ndef add(a, b):'
    assert all(row.program.startswith("def add(a, b):") or not row.response.strip() for row in rows)


def test_a_template_that_tells_the_date_gives_the_same_prompt_tomorrow(tmp_path):
    dated = save(tmp_path, template="{{ strftime_now('%d %b %Y') }}: {% for m in messages %}{{ m.content }}{% endfor %}")
    assert student_prompts(PROBLEMS[:1], HuggingFace(checkpoint=str(dated)))["p/0"].startswith("26 Jul 2024: ")


@pytest.mark.parametrize(
    "template",
    [
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}x",
        "{{ messages[0]",
        "{{ no() }}",
    ],
    ids=["no system role", "half a template", "unknown function"],
)
def test_a_template_that_refuses_the_messages_is_a_mistake_in_words(tmp_path, template):
    source = HuggingFace(checkpoint=str(save(tmp_path, template=template)), profile=Profile(system="Be brief."))
    with pytest.raises(ConfigurationError, match="chat template refuses the messages"):
        list(sample(PROBLEMS, source, DECODING, name="tiny", role=Role.student))


def test_a_prompt_beyond_the_context_is_an_answer_and_is_told(folder, caplog):
    with caplog.at_level(logging.WARNING):
        rows = draw(folder, [problem(0, words="many words " * 300), PROBLEMS[1]])
    assert [row.finish for row in rows[:4]] == ["too_long"] * 4
    assert {row.program for row in rows[:4]} == {""}
    assert "4 of 8 prompts are longer than the model's context" in caplog.text


def test_one_source_decodes_in_its_own_way(folder):
    source = HuggingFace(checkpoint=str(folder), decoding=Override(n=1, temperatures=[0.3]))
    rows = list(sample(PROBLEMS, source, DECODING, name="tiny", role=Role.student))
    assert [row.temperature for row in rows] == [0.3] * 4


def test_references_answer_where_there_are_any():
    rows = list(sample(PROBLEMS, Reference(), DECODING, name="reference", role=Role.teacher))
    assert [(row.task_id, row.program) for row in rows] == [(p.task_id, p.reference) for p in PROBLEMS if p.reference]


def test_a_live_run_is_replayed_bit_for_bit(folder, tmp_path):
    rows = draw(folder)
    write_records(tmp_path / "run.jsonl", rows)
    replayed = list(sample(PROBLEMS, Recorded(path=str(tmp_path / "run.jsonl")), DECODING, name="x", role=Role.student))
    assert replayed == rows == list(read_records(Candidate, tmp_path / "run.jsonl"))
    few = list(sample(PROBLEMS, Recorded(path=str(tmp_path / "run.jsonl"), limit=1), DECODING, name="x", role=Role.student))
    assert [row.task_id for row in few] == [p.task_id for p in PROBLEMS]


def test_a_row_that_is_there_twice_is_one_response_and_told(tmp_path):
    path, told = tmp_path / "run.jsonl", []
    path.write_text(f"{RECORDED % 1}\n{RECORDED % 1}\n")
    source = Recorded(path=str(path))
    rows = list(sample(PROBLEMS, source, DECODING, name="x", role=Role.teacher, progress=lambda *note: told.append(note)))
    assert [row.program for row in rows] == ["x = 1"]
    assert "1 rows are there twice" in told[-1][2]


def test_halves_of_characters_in_a_recording_are_no_text(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"task_id": "p/0", "model": "m", "code": "x = \'\\ud800\'"}\n')
    (row,) = sample(PROBLEMS, Recorded(path=str(path)), DECODING, name="x", role=Role.teacher)
    assert row.program == row.response == "x = '\ufffd'"


RECORDED = (
    '{"task_id": "p/0", "source": "m", "role": "teacher", "sample": 0, "temperature": 0.0, "seed": 0, "prompt": "", '
    '"response": "x", "program": "x = %d"}'
)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ('{"task_id": "p/0"', DataError, "run.jsonl:1"),
        ('{"task_id": "p/0"}', DataError, "run.jsonl:1"),
        ("", MissingDataError, "no response to any of the 4"),
        ('{"task_id": "p/0", "model": "m", "code": null}', DataError, "code must be a string, not None"),
        ('{"task_id": "p/0", "model": "m", "code": ["x = 1"]}', DataError, "code must be a string, not .'x = 1'"),
        (
            f"{RECORDED % 1}\n{RECORDED % 2}",
            DataError,
            "run.jsonl:2: another response than in line 1 for sample 0 of m to p/0 at",
        ),
    ],
    ids=["half a line", "fields missing", "nothing for these problems", "no code", "a list", "two for one sample"],
)
def test_bad_recordings_are_named(tmp_path, content, error, words):
    (tmp_path / "run.jsonl").write_text(content)
    with pytest.raises(error, match=words):
        list(sample(PROBLEMS, Recorded(path=str(tmp_path / "run.jsonl")), DECODING, name="x", role=Role.teacher))


def test_ctranslate2_answers_in_int8_like_the_model_it_came_from(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = CTranslate2(checkpoint=str(folder), compute_type="float32", device="cpu")
    greedy = Decoding(n=1, temperatures=[0.0], max_new_tokens=8)
    found = list(sample(PROBLEMS, source, greedy, name="ct2", role=Role.teacher))
    plain = draw(folder, decoding=greedy)
    assert [row.response for row in found] == [row.response for row in plain]
    warm = list(sample(PROBLEMS, source, dataclasses.replace(greedy, n=3, temperatures=[1.0]), name="ct2", role=Role.teacher))
    assert len({row.response for row in warm}) > 3


def test_ctranslate2_ends_an_answer_at_its_stop_text(converted):
    greedy = Decoding(n=1, temperatures=[0.0], max_new_tokens=24)
    whole = draw_converted(converted, decoding=greedy)
    stop = whole[0].response[5:8]
    found = draw_converted(converted, decoding=dataclasses.replace(greedy, stop=[stop]))
    assert [row.response for row in found] == [row.response.partition(stop)[0] for row in whole]
    assert found[0].tokens < whole[0].tokens and found[0].finish == "stop"
    warm = dataclasses.replace(greedy, n=3, temperatures=[1.0])
    stop = max((row.response for row in draw_converted(converted, decoding=warm)), key=len)[2]
    assert not any(stop in row.response for row in draw_converted(converted, decoding=dataclasses.replace(warm, stop=[stop])))


def test_ctranslate2_draws_the_same_whatever_else_is_asked_and_however_often_it_is_stopped(converted, tmp_path):
    whole = draw_converted(converted)
    assert max(row.tokens for row in whole if row.temperature > 0) > 2
    alone = draw_converted(converted, PROBLEMS[2:3])
    assert alone == [row for row in whole if row.task_id == "p/2"]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert draw_converted(converted, rows=2)[0] == whole[0]
        greedy = Decoding(n=1, temperatures=[0.0], max_new_tokens=200)
        source, log = CTranslate2(checkpoint=str(converted), compute_type="default", device="cpu"), tmp_path / "log"
        with pytest.raises(KeyboardInterrupt):
            list(sample(PROBLEMS, source, greedy, name="x", role=Role.teacher, cache=log, progress=interrupt_after(1)))
        assert 1 <= len(log.read_text().splitlines()) < len(PROBLEMS)
        again = list(sample(PROBLEMS, source, greedy, name="ct2", role=Role.teacher, cache=log))
    finally:
        torch.set_num_threads(threads)
    assert again == draw_converted(converted, decoding=greedy)


def interrupt_after(answers):
    """A progress report that acts like the user's Ctrl-C."""

    def progress(done, total, note):
        if done >= answers:
            raise KeyboardInterrupt

    return progress


def draw_converted(converted, problems=PROBLEMS, *, decoding=DECODING, **settings):
    source = CTranslate2(checkpoint=str(converted), compute_type="default", device="cpu", **settings)
    return list(sample(problems, source, decoding, name="ct2", role=Role.teacher))


@pytest.fixture(scope="module")
def converted(folder, tmp_path_factory):
    """The tiny model in CTranslate2's format."""
    return quantize(folder, Quantization(method=Method.ct2_float32), out=tmp_path_factory.mktemp("converted") / "small")


def test_a_students_folder_in_ctranslate2s_format_is_answered_by_ctranslate2(folder, tmp_path, monkeypatch):
    """`student.checkpoint` takes every format, so the command that evaluates a checkpoint is the same for all."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = quantize(folder, Quantization(method=Method.ct2_float32), out=tmp_path / "small")
    greedy = Decoding(n=1, temperatures=[0.0], max_new_tokens=8)
    assert [row.response for row in draw(small, decoding=greedy)] == [row.response for row in draw(folder, decoding=greedy)]
    assert student_prompts(PROBLEMS, HuggingFace(checkpoint=str(small))) == student_prompts(
        PROBLEMS, HuggingFace(checkpoint=str(folder))
    )


def test_vllm_says_how_to_get_it(folder):
    pytest.importorskip("torch")
    try:
        import vllm  # noqa: F401

        pytest.skip("vLLM is installed here")
    except ImportError:
        pass
    with pytest.raises(MissingDataError, match=r"rrtf\[gpu\]"):
        list(sample(PROBLEMS, Vllm(checkpoint=str(folder)), DECODING, name="v", role=Role.teacher))


def test_identities_change_with_what_answers_depend_on(folder, tmp_path):
    base = HuggingFace(checkpoint=str(folder))
    assert identity(base) == identity(dataclasses.replace(base, rows=7, cache_mb=99))
    other = HuggingFace(checkpoint=str(save(tmp_path, seed=5)))
    assert identity(base) != identity(other)
    assert identity(base) != identity(dataclasses.replace(base, profile=Profile(style=Style.paper)))
    assert identity(base) != identity(dataclasses.replace(base, precision=Precision.float16))


@pytest.mark.parametrize("kind", [Decoding, Override, *SOURCES], ids=lambda kind: kind.__name__)
def test_settings_are_structured_configurations(kind):
    assert OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), {})) == kind()


def test_every_mistake_is_named_at_once():
    wrong = Decoding(n=0, temperatures=[-1.0, 9.0], top_p=1.7, top_k=-1, max_new_tokens=0, num_beams=0, stop=[""])
    found = "\n".join(wrong.mistakes())
    for words in (
        "sampling.n: 0",
        "-1 is outside",
        "9 is outside",
        "top_p: 1.7 is outside (0, 1]",
        "top_k",
        "max_new",
        "beams",
        "stop",
    ):
        assert words in found
    assert Decoding(num_beams=4).mistakes() and not Decoding(num_beams=4, n=1, temperatures=[0.0]).mistakes()
    assert "twice" in Decoding(temperatures=[0.5, 0.5]).mistakes()[0]
    for source, words in (
        (HuggingFace(), "student.checkpoint: empty"),
        (HuggingFace(checkpoint="x", rows=0), "student.rows"),
        (Vllm(checkpoint="x", gpu_memory=2.0), "student.gpu_memory"),
        (OpenAICompatible(), "student.model: empty"),
        (OpenAICompatible(model="m", base_url="localhost"), "http://"),
        (OpenAICompatible(model="m", timeout=0.0, concurrency=0, most_failed=2.0), "student.timeout"),
        (Recorded(), "student.path: empty"),
        (HuggingFace(checkpoint="x", decoding=Override(top_p=3.0)), "student.decoding.top_p"),
    ):
        assert any(words in mistake for mistake in source.mistakes("student")), words
    assert not Decoding().mistakes()
    assert issubclass(all_settings.LocalModel, Source)


def test_weights_that_are_missing_are_not_made_up_at_random(tmp_path):
    file = save(tmp_path / "torn") / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"torn: its weights are not .* 1 are missing .* model.layers.1.mlp.up_proj.weight"):
        draw(tmp_path / "torn")
