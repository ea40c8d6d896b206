"""MBPP rows (full and sanitized) and MBPP+ (OriginFmt)."""

import ast
import builtins
import re
from collections.abc import Mapping
from typing import Any

from rrtf.problems.format_humaneval import strict
from rrtf.problems.rows import header, names_called, source_of, text, text_or_empty, texts, top_level
from rrtf.records import Problem, TestKind, Tests
from rrtf.syntax import tree_of


def mbpp(row: Mapping[str, Any], *, challenge_tests: bool) -> Problem:
    """`text` (sanitized: `prompt`), `code, task_id, test_list, test_setup_code` or `test_imports`, `challenge_test_list`."""
    challenges = texts(row, "challenge_test_list") if challenge_tests else ()
    asserts = texts(row, "test_list") + challenges
    if not asserts:
        raise ValueError("test_list is empty: the problem has no tests")
    number, code = _number(row), text(row, "code")
    entry_point = _entry_point(asserts, code)
    setup = "\n".join((*texts(row, "test_imports"), text_or_empty(row, "test_setup_code"))).strip("\n")
    return Problem(
        task_id=f"MBPP/{number}",
        text=text_or_empty(row, "text", "prompt"),
        entry_point=entry_point,
        signature=_signature(code, entry_point),
        reference=code,
        tests=Tests(kind=TestKind.asserts, setup=_classes(code, setup, asserts) + setup, asserts=asserts),
        split=_split(number),
    )


def mbpp_plus(row: Mapping[str, Any]) -> Problem:
    """EvalPlus's OriginFmt: as MBPP, but `test` is a script that ends in a loop of assertions."""
    code, script = text(row, "code"), strict(text(row, "test"))
    asserts = texts(row, "test_list")
    entry_point = _entry_point(asserts, code)
    # found in the text, because parsing megabytes of literals takes seconds
    before, _, rest = script.rpartition("\nfor ")
    loop = tree_of(f"for {rest}", "test").body if before else []
    if len(loop) != 1 or not isinstance(loop[0], ast.For):
        raise ValueError("test does not end in a loop of assertions: the problem has no tests")
    # through `candidate`: MBPP/56's own function is called check
    renamed = (re.sub(rf"\b{entry_point}\(", "candidate(", line) for line in f"for {rest}".split("\n"))
    check = "".join(f"    {line}\n" for line in renamed)
    setup = "\n".join(texts(row, "test_imports"))
    return Problem(
        task_id=f"Mbpp/{_number(row)}",
        text=text(row, "prompt"),
        entry_point=entry_point,
        signature=_signature(code, entry_point),
        reference=f"{setup}\n{code}" if setup else code,
        tests=Tests(
            kind=TestKind.check,
            setup=_classes(code, setup, asserts) + setup,
            code=f"{before}\n\ndef check(candidate):\n{check}",
        ),
        split=_split(_number(row)),
    )


def _number(row: Mapping[str, Any]) -> int:
    if type(row.get("task_id")) is not int:
        raise ValueError(f"task_id must be a number, not {row.get('task_id')!r:.80}")
    return int(row["task_id"])


def _split(number: int) -> str:
    """MBPP's own parts (its paper, section 2.1): 1-10 few-shot prompts, 11-510 test, 511-600 validation, the rest training."""
    return "prompt" if number <= 10 else "test" if number <= 510 else "validation" if number <= 600 else "train"


def _entry_point(asserts: tuple[str, ...], code: str) -> str:
    """The function the asserts call: one that the reference defines (MBPP/126 calls its own `sum`), else no builtin."""
    called = names_called(*asserts)
    module = tree_of(code, "code")
    defined = [name for name in called if isinstance(top_level(module, name), ast.FunctionDef)]
    others = [name for name in called if not hasattr(builtins, name)]
    if not (defined or others):
        raise ValueError("the tests call no function, so the entry point can't be told")
    return (defined or others)[0]


def _signature(code: str, entry_point: str) -> str:
    node = top_level(tree_of(code, "code"), entry_point)
    return header(code, node) if node else ""


def _classes(code: str, setup: str, asserts: tuple[str, ...]) -> str:
    """Source of the reference's classes that set-up or tests build values of (MBPP/927's `Node`, MBPP/601's `Pair`)."""
    module = tree_of(code, "code")
    nodes = (top_level(module, name) for name in names_called(setup, *asserts))
    return "".join(source_of(code, node) + "\n" for node in nodes if isinstance(node, ast.ClassDef))
