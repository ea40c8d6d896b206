"""Measuring through real worker processes: the numbers are there, fair in what they compare, and errors come through."""

from pathlib import Path

import pytest
from training_models import checkpoint

from rrtf.errors import InfrastructureError, UserError
from rrtf.quantize.agreement import score_answers
from rrtf.quantize.convert import quantize
from rrtf.quantize.measure import Format, Measured, flat, measure
from rrtf.quantize.settings import Measurement, Method, Quantization
from rrtf.quantize.worker import Worker
from rrtf.records import Candidate, Role, from_row, to_row

SHORT = Measurement(rounds=2, prompt_tokens=16, new_tokens=3, threads=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("measure")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        checkpoint(root / "model", hidden_size=256, num_hidden_layers=8, intermediate_size=1024)
        return root / "model", quantize(root / "model", Quantization(method=Method.ct2_int8), out=root / "small")


@pytest.mark.slow
def test_all_formats_are_measured_in_one_run(folders: tuple[Path, Path]) -> None:
    said: list[tuple[int, int]] = []
    formats = [Format("original", folders[0]), Format("int8", folders[1])]
    rows = measure(formats, ["def add(a, b):\n"], SHORT, report=lambda done, total, note: said.append((done, total)))
    assert [(row.name, row.method, row.threads) for row in rows] == [("original", "original", 1), ("int8", "ct2_int8", 1)]
    for row in rows:
        for spread in (row.ms_per_token, row.prompt_tokens_per_second, row.tokens_per_second_8, row.tokens_per_second_32):
            assert spread.low <= spread.median <= spread.high
        assert row.tokens_per_second_32.low > 0 and row.memory_32_mb >= row.loaded_mb - 1
        assert from_row(Measured, to_row(row)) == row
        assert all(isinstance(value, float) for value in flat(row).values())
    assert rows[1].weights_mb < 0.3 * rows[0].weights_mb  # the source is float32
    assert said[-1] == (12, 12)  # 2 rounds, 2 formats, 3 batch sizes


@pytest.mark.slow
def test_answers_are_scored_token_by_token(folders: tuple[Path, Path]) -> None:
    answers = [
        Candidate(task_id=str(i), source="s", role=Role.student, sample=0, temperature=0.0, seed=0, prompt="def f(",
                  response="x" * i, program="")
        for i in range(3)
    ]  # fmt: skip
    one, two = (score_answers(folder, answers, threads=2) for folder in folders)
    assert {task: len(scores) for task, scores in one.items()} == {"1": 1, "2": 2}  # an empty answer has none
    assert one["2"][0] == pytest.approx(one["1"][0], abs=1e-4)  # what follows a token does not change it
    assert one["2"] == pytest.approx(two["2"], abs=0.3) and one["2"] != two["2"]


@pytest.mark.slow
def test_mistakes_and_deaths_of_a_worker_are_told_apart(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises((UserError, InfrastructureError), match=tmp_path.name):
        Worker(tmp_path, threads=1)
    with Worker(folders[1], threads=1) as worker:
        with pytest.raises(InfrastructureError, match="score: ValueError"):
            worker.ask("score", pairs=[[[1], ["no id"]]])
        assert worker.ask("encode", text="ab") == [66, 67] or len(worker.ask("encode", text="ab")) == 2
        worker.process.kill()
        with pytest.raises(InfrastructureError, match="its process ended"):
            worker.ask("memory")


@pytest.mark.slow
def test_memory_is_that_of_weights_and_work_not_of_libraries_and_tokenizer(tmp_path: Path) -> None:
    """The original paid some 60 MiB for the model's code and its tokenizer, CTranslate2 14 for the tokenizer."""
    source = checkpoint(tmp_path / "model")
    for folder in (source, quantize(source, Quantization(method=Method.ct2_int8), out=tmp_path / "small")):
        with Worker(folder, threads=1) as worker:
            assert -4 < worker.memory["loaded_mb"] < 8, "its weights are 0.2 MiB"


def test_measuring_needs_a_prompt() -> None:
    with pytest.raises(UserError, match="at least one prompt"):
        measure([], [], SHORT)
