"""EvalPlus's input form: argument lists whose expected values come from the reference, and its comparison rules.

The rules (which tasks compare as sets, which inputs are tuples that JSON turned into lists) are facts of EvalPlus 0.3.1,
written here as trusted tester code. One thing differs: EvalPlus keeps the float tolerance it took for one input for all
later inputs of the task; here each input decides for itself.
"""

from collections.abc import Mapping
from typing import Any

from rrtf.problems.format_humaneval import take_apart
from rrtf.problems.rows import text, top_level
from rrtf.records import Problem, TestKind, Tests
from rrtf.syntax import tree_of

# how an argument list is rebuilt -> the numbers of the MBPP+ tasks it holds for
_PREPARE = {
    "[tuple(a) for a in args]": (
        2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809,
    ),
    "[[tuple(x) for x in a] for a in args]": (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
    "[[tuple(x) for x in args[0]], args[1]]": (75, 413, 444, 753),
    "[args[0], tuple(args[1])]": (106, 750),
    "[[set(x) if isinstance(x, list) and x else {} for x in args[0]]]": (115,),
    "[float(args[0]), complex(args[1])]": (124,),
    "[tuple(args[0]), args[1]]": (250, 405, 446, 617, 720, 763, 808),
    "[tuple(tuple(x) for x in a) for a in args]": (259, 401, 445),
    "[tuple(tuple(x) if isinstance(x, list) else x for x in args[0])]": (278,),
    "[tuple(args[0]), args[1], args[2]]": (307,),
    "[{key: tuple(value) for key, value in args[0].items()}, *args[1:]]": (722,),
    "[complex(args[0])]": (252,),
    "[deep_tuple(a) for a in args]": (580, 615, 791),
}  # fmt: skip

_DEEP_TUPLE = """
def deep_tuple(value):
    return tuple(deep_tuple(item) for item in value) if isinstance(value, list) else value
"""

# what else than `output == expected` is right, by entry point
_SETS = "set(output) == set(expected)"
_NOT_NONE = "(output if isinstance(output, bool) else output is not None) == (expected is not None)"
_ACCEPT = {
    "are_equivalent": "True",
    "sum_div": "output == expected or output == 0",
    "surface_Area": "output == expected or abs(output - perpendicular_surface(*args)) <= ATOL",
    "digit_distance_nums": "output == expected or output == padded_distance(*args)",
    "find_zero": "abs(sum(c * output**i for i, c in enumerate(args[0]))) <= ATOL",
    "check_str": _NOT_NONE,
    "text_match_three": _NOT_NONE,
    "text_starta_endb": _NOT_NONE,
    "similar_elements": _SETS,
    "find_char_long": _SETS,
    "common_in_nested_lists": _SETS,
    "extract_singly": _SETS,
    "larg_nnum": _SETS,
    "intersection_array": _SETS,
    "find_dissimilar": _SETS,
    "Diff": _SETS,
}

_HELPERS = {
    # Mbpp/581 may also mean the height above the base
    "surface_Area": """
def perpendicular_surface(base, height):
    return round(base**2 + 2 * base * ((base / 2) ** 2 + height**2) ** 0.5)
""",
    # Mbpp/558 may also mean numbers padded to one length
    "digit_distance_nums": """
def padded_distance(first, second):
    width = max(len(str(first)), len(str(second)))
    return sum(abs(int(a) - int(b)) for a, b in zip(str(first).zfill(width), str(second).zfill(width)))
""",
}

_CHECK = """
def is_floats(value):
    return isinstance(value, float) or (
        isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, float) for item in value)
    )

def check(args, output, expected):
    if ACCEPT:
        return True
    atol = 1e-6 if ATOL == 0 and is_floats(expected) else ATOL
    if FINAL or atol == 0 or type(output) is not type(expected):
        return False
    if isinstance(expected, (list, tuple)) and len(output) != len(expected):
        return False
    import numpy
    return bool(numpy.allclose(output, expected, rtol=1e-07, atol=atol))
"""


def evalplus(row: Mapping[str, Any]) -> Problem:
    """`task_id, prompt, entry_point, canonical_solution, base_input, plus_input, atol` (HumanEval+ and MBPP+)."""
    task_id, entry_point, prompt = text(row, "task_id"), text(row, "entry_point"), text(row, "prompt")
    solution = text(row, "canonical_solution")
    parts = take_apart(prompt, entry_point)
    stands_alone = not parts.signature  # MBPP+'s prompt is only a docstring
    reference = solution if stands_alone else prompt + solution
    if top_level(tree_of(reference, "canonical_solution"), entry_point) is None:
        raise ValueError(f"canonical_solution does not define {entry_point!r}")
    atol = row.get("atol", 0)
    if type(atol) not in (int, float):
        raise ValueError(f"atol must be a number, not {atol!r:.80}")
    return Problem(
        task_id=task_id,
        text=_wording(prompt) if stands_alone else parts.docstring,
        entry_point=entry_point,
        signature=parts.signature,
        prompt=prompt,
        reference=reference,
        tests=Tests(
            kind=TestKind.inputs,
            inputs=_inputs(row),
            oracle=reference,
            atol=float(atol),
            checker=checker(task_id, entry_point, float(atol)),
        ),
    )


def checker(task_id: str, entry_point: str, atol: float) -> str:
    """Tester code for one task: `check(args, output, expected)` and, where JSON lost types, `prepare(args)`."""
    accept = _ACCEPT.get(entry_point, "output == expected")
    code = _HELPERS.get(entry_point, "") + _CHECK.replace("ACCEPT", accept)
    code = code.replace("FINAL", str(entry_point == "find_zero")).replace("ATOL", repr(atol))
    name, _, number = task_id.partition("/")
    for rebuilt, numbers in _PREPARE.items():
        if name == "Mbpp" and number.isdigit() and int(number) in numbers:
            helper = _DEEP_TUPLE if "deep_tuple" in rebuilt else ""
            code += f"{helper}\ndef prepare(args):\n    return {rebuilt}\n"
    return code


def _inputs(row: Mapping[str, Any]) -> tuple[Any, ...]:
    inputs = []
    for key in ("base_input", "plus_input"):
        items = row.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, list) for item in items):
            raise ValueError(f"{key} must be a list of argument lists, not {items!r:.80}")
        inputs += items
    if not inputs:
        raise ValueError("base_input and plus_input are empty: the problem has no tests")
    return tuple(inputs)


def _wording(prompt: str) -> str:
    """MBPP+'s prompt without its quotes and its example assert."""
    lines = prompt.strip().strip('"').strip().split("\n")
    return "\n".join(line for line in lines if not line.startswith("assert "))
