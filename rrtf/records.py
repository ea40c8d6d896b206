"""The records that flow between stages: frozen, plain, one JSON object a row.

    Problem -> Candidate -> Verdict -> Group -> (checkpoint) -> Score

Every stage reads some of these and writes others; nothing else crosses a stage border.
"""

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


class Outcome(str, Enum):
    """What happened to a candidate program, worst first.

    The paper (section 3.2) names four: compiled error, runtime error, pass partial tests, all pass. The others are ours:
    `no_test_passed` fills the gap the four leave open, the limits are kept apart from crashes, and `judge_error` is the
    judge's own failure, which is never a score and never trained on.
    """

    judge_error = "judge_error"
    no_code = "no_code"
    compile_error = "compile_error"
    runtime_error = "runtime_error"
    timeout = "timeout"
    memory_limit = "memory_limit"
    output_limit = "output_limit"
    no_test_passed = "no_test_passed"
    some_tests_passed = "some_tests_passed"
    all_tests_passed = "all_tests_passed"


class Role(str, Enum):
    """Who wrote a candidate: the model being trained, or somebody it learns from (paper, section 3.2)."""

    student = "student"
    teacher = "teacher"


class Trust(Enum):
    """Where the tests ran: in a process the candidate can't reach, or beside it."""

    split = "split"
    in_process = "in_process"


class TestKind(str, Enum):
    """How a problem's tests are written; `Tests` says which fields each kind uses."""

    __test__ = False  # not a pytest class

    asserts = "asserts"
    check = "check"
    inputs = "inputs"
    stdio = "stdio"
    pytest = "pytest"
    program = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class StdioPair:
    """One run of a whole program: what it reads and what it must print."""

    input: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tests:
    """The tests of one problem. They are trusted code; the candidate never sees them.

    kind      fields used
    asserts   `setup`, then each of `asserts` (MBPP's test_list, the builtin set); `edge` indexes the edge cases among them
    check     `setup`, then `code`, which defines `check(candidate)` (HumanEval, LeetCodeDataset)
    inputs    `inputs`: argument lists; expected values come from running `oracle`; floats compare within `atol` (EvalPlus)
    stdio     `pairs`; `checker` may define `check(input, output, expected) -> bool` (APPS, with a checker hook)
    pytest    `setup`, then `code`, which holds `test_*` functions that import or name the entry point
    program   `code`: a whole program in which the function `entry_point` is replaced by the candidate's; exit 0 passes
              (CoderEval). It runs beside the candidate, so its verdicts say `trust: in_process`.
    `confidence` (one number per assert, 0 to 1) is how far independent programs agreed on it; empty means given by people.
    """

    __test__ = False  # not a pytest class

    kind: TestKind
    setup: str = ""
    asserts: tuple[str, ...] = ()
    edge: tuple[int, ...] = ()
    code: str = ""
    inputs: tuple[Any, ...] = ()
    oracle: str = ""
    atol: float = 0.0
    pairs: tuple[StdioPair, ...] = ()
    checker: str = ""
    confidence: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One task. `text` is its wording, `prompt` the code a completion continues ("" where a set has none).

    `reference` is a program that stands alone and passes. `origin` names the data set, `parent` the task it evolved from.
    """

    task_id: str
    text: str
    entry_point: str = ""
    signature: str = ""
    prompt: str = ""
    reference: str = ""
    tests: Tests
    topic: str = ""
    difficulty: str = ""
    split: str = ""
    origin: str = ""
    licence: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One response to one problem, and the program taken from it.

    `source` names the student or teacher, `source_digest` its weights (or file, or endpoint and model name); (`task_id`,
    `source`, `temperature`, `sample`) is unique in a run. `program` stands alone; "" means that no code was found.
    `removed` keeps what extraction cut. `finish` is "stop", "length" (cut at the token limit) or "recorded".
    """

    task_id: str
    source: str
    role: Role
    sample: int
    temperature: float
    seed: int
    prompt: str
    response: str
    program: str
    removed: str = ""
    tokens: int = 0
    finish: str = "stop"
    profile: str = ""
    source_digest: str = ""

    @property
    def key(self) -> tuple[str, str, float, int]:
        """What makes this candidate different from every other of the run."""
        return (self.task_id, self.source, self.temperature, self.sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge saw of one program. Seconds are the candidate's own, `peak_mb` its peak resident memory in MiB."""

    task_id: str
    outcome: Outcome
    passed: int
    total: int
    detail: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_mb: float = 0.0
    isolation: str = ""
    trust: Trust = Trust.split
    judge_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate with its verdict: the judge stage's row."""

    candidate: Candidate
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedResponse:
    """A response as the trainer sees it: the text to score, its reward, and whether cross-entropy trains on it."""

    source: str
    role: Role
    text: str
    reward: float
    outcome: Outcome
    target: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All ranked responses to one problem, best first. `dropped` says why a group is not trained on ("" if it is)."""

    task_id: str
    prompt: str
    responses: tuple[RankedResponse, ...]
    dropped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One pass@k of one model on one benchmark, 0 to 1, with its 95 % interval and how that interval was made."""

    benchmark: str
    model: str
    protocol: str
    k: int
    value: float
    low: float
    high: float
    interval: str
    problems: int
    samples: int
    solved: int


def to_row(record: Any) -> Any:
    """A record as plain JSON values (enums by value, tuples as lists)."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: to_row(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, Enum):
        return record.value
    if isinstance(record, (list, tuple)):
        return [to_row(item) for item in record]
    if isinstance(record, Mapping):
        return {key: to_row(value) for key, value in record.items()}
    return record


def from_row(kind: type[Record], row: Mapping[str, Any]) -> Record:
    """Build a record of `kind` from a JSON object; fields the row leaves out take their defaults.

    Raises ValueError naming the field for an unknown field, a missing one or a value of the wrong type.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(row) - set(hints))
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r} (known: {', '.join(hints)})")
    values = {name: _convert(hints[name], value, name) for name, value in row.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(str(error).replace("__init__() ", "")) from None


def _convert(hint: Any, value: Any, name: str) -> Any:  # noqa: C901 - one arm per kind of type
    """`value` as the type `hint`; `name` is the dotted field name for messages."""
    if hint is Any:
        return value
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        (inner,) = (arm for arm in get_args(hint) if arm is not type(None))
        return _convert(inner, value, name)
    if (several := get_origin(hint)) in (tuple, list):
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list, not {value!r:.80}")
        return several(_convert(get_args(hint)[0], item, f"{name}[{i}]") for i, item in enumerate(value))
    if get_origin(hint) is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object, not {value!r:.80}")
        return {key: _convert(get_args(hint)[1], item, f"{name}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object, not {value!r:.80}")
        return from_row(hint, value)  # type: ignore[arg-type]
    if issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise ValueError(f"{name} must be one of {', '.join(m.value for m in hint)}, not {value!r:.80}") from None
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{name} must be {hint.__name__}, not {value!r:.80}")
    return value
