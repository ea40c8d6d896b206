"""Artifacts are whole or absent; a log survives a kill and many writers; bad rows are named by file and line."""

import gzip
import json
import multiprocessing
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf.errors import DataError, MissingDataError
from rrtf.records import Group, Outcome, Problem, RankedResponse, Role, TestKind, Tests, from_row, to_row
from rrtf.store import Log, digest, dump, own_folder, read_records, read_rows, write_records

text = st.text(st.characters(codec=None))  # lone surrogates and control characters included


@given(text, text, st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(Outcome))
def test_records_survive_a_row(first: str, second: str, reward: float, outcome: Outcome) -> None:
    response = RankedResponse(source=first, role=Role.student, text=second, reward=reward, outcome=outcome, target=True)
    group = Group(task_id=first, prompt=second, responses=(response,))
    line = dump(group)
    assert line.count("\n") == 1 and line.isascii()
    assert from_row(Group, json.loads(line)) == group
    assert digest(group) == digest(from_row(Group, json.loads(line)))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"task_id": "a"}, "missing"),
        ({"task_id": 3, "text": "", "tests": {"kind": "check"}}, "task_id must be str, not 3"),
        ({"task_id": "a", "text": "", "tests": {"kind": "chek"}}, "kind must be one of asserts, check"),
        ({"task_id": "a", "text": "", "tests": [], "x": 1}, "unknown field 'x'"),
        ({"task_id": "a", "text": "", "tests": []}, "tests must be an object"),
        ({"task_id": "a", "text": "", "tests": {"kind": "asserts", "asserts": ["x", 1]}}, r"asserts\[1\] must be str"),
        ({"task_id": "a", "text": "", "tests": {"kind": "asserts", "asserts": "x"}}, "asserts must be a list"),
    ],
)
def test_a_bad_row_names_file_line_and_field(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path = tmp_path / "p.jsonl"
    good = Problem(task_id="a", text="", tests=Tests(kind=TestKind.check, code="x"))
    path.write_text(dump(good) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(DataError, match=rf"p\.jsonl:3: .*{said}"):
        list(read_records(Problem, path))


@pytest.mark.parametrize(("line", "said"), [(b"{'a': 1}", "not JSON"), (b"[1]", "expected an object"), (b"\xff{}", "not JSON")])
def test_a_malformed_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' + line + b"\n"))
    with pytest.raises(DataError, match=rf"rows\.jsonl\.gz:2: {said}"):
        list(read_rows(path))


def test_a_list_is_read_like_lines_whatever_the_file_is_called(tmp_path: Path) -> None:
    rows = [{"n": 1}, {"n": 2}]
    whole, lines = json.dumps(rows, indent=1).encode(), "".join(map(dump, rows)).encode()
    forms = {"a.jsonl": whole, "b.json": lines, "c.json.gz": gzip.compress(whole), "d.json": b"\xef\xbb\xbf" + whole}
    forms |= {"unpacked.jsonl.gz": lines, "packed.jsonl": gzip.compress(lines)}
    for name, content in forms.items():
        (tmp_path / name).write_bytes(content)
        assert list(read_rows(tmp_path / name)) == [(1, rows[0]), (2, rows[1])]
    (tmp_path / "dos.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n\r\n"))
    assert [row for _, row in read_rows(tmp_path / "dos.jsonl")] == rows


def test_an_object_over_several_lines_is_one_row(tmp_path: Path) -> None:
    for content in (b'{\n "n": 1\n}', b'\xef\xbb\xbf{\r\n "n": 1\r\n}\r\n'):
        (tmp_path / "rows.json").write_bytes(content)
        assert list(read_rows(tmp_path / "rows.json")) == [(1, {"n": 1})]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"n": 1},\n3]', ":2: expected an object, found int"),
        (b'[{"n": 1},\n{"n":', ":2: not JSON"),
        (b'{\n "n": 1\n', r":1: not JSON: .*one object a line is expected, or one list"),
        (b'{"n":\n1}', r":1: not JSON: .*one object a line is expected, or one list"),
    ],
)
def test_a_broken_list_is_named_with_the_place(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "rows.json").write_bytes(content)
    with pytest.raises(DataError, match=rf"rows\.json{said}"):
        list(read_rows(tmp_path / "rows.json"))
    with pytest.raises(MissingDataError, match="a folder, not a file"):
        list(read_rows(tmp_path))


def test_a_truncated_gzip_file_and_a_missing_file_are_said(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(dump({"n": n}).encode() for n in range(5000)))
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated or damaged"):
        list(read_rows(tmp_path / "cut.jsonl.gz"))
    with pytest.raises(MissingDataError, match="no such file"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def rows() -> object:
        yield {"n": 1}
        raise RuntimeError("the stage failed")

    with pytest.raises(RuntimeError):
        write_records(tmp_path / "out.jsonl", rows())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def _write_many(path: Path, name: str) -> None:
    log = Log(path)
    for n in range(200):
        log.append(f"{name}/{n}", {"n": n, "pad": "x" * 500})


def test_many_processes_write_one_log(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path / "log.jsonl", str(w))) for w in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(Log(tmp_path / "log.jsonl").rows) == 600


def _write_forever(path: Path) -> None:
    log = Log(path)
    for n in range(10**9):
        log.append(str(n), {"n": n, "pad": "x" * 5000})


def test_a_log_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    writer = multiprocessing.get_context("spawn").Process(target=_write_forever, args=(path,))
    writer.start()
    while not path.exists() or path.stat().st_size < 10**6:
        assert writer.is_alive()
    writer.kill()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    rows = Log(path).rows
    assert len(rows) > 100 and [int(key) for key in rows] == list(range(len(rows)))


def test_a_half_written_last_line_is_cut_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    first = Log(path)
    first.append("a", {"n": 1})
    path.write_bytes(path.read_bytes() + b'{"key":"b","row":{"n"')
    again = Log(path)
    assert list(again.rows) == ["a"]
    again.append("b", {"n": 2})
    first.refresh()
    assert first.rows == {"a": {"n": 1}, "b": {"n": 2}} == Log(path).rows


def test_a_row_is_not_glued_to_the_half_line_of_another_writer_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    living = Log(path)
    living.append("a", {"n": 1})
    path.write_bytes(path.read_bytes() + b'{"key":"b","row":{"n"')
    living.append("c", {"n": 3})
    assert Log(path).rows == {"a": {"n": 1}, "c": {"n": 3}}
    living.refresh()
    assert living.rows == {"a": {"n": 1}, "c": {"n": 3}}


def test_a_row_of_plain_values_is_its_own_row() -> None:
    assert to_row({"a": (1, Outcome.timeout)}) == {"a": [1, "timeout"]}


def test_a_folder_somebody_works_in_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "now_x"
    with own_folder(folder) as first, own_folder(folder) as second, own_folder(folder) as third:
        assert [one.name for one in (first, second, third)] == ["now_x", "now_x_2", "now_x_3"]
    with own_folder(folder) as again:
        assert again == folder
