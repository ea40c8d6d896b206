"""Small questions about Python source that may be broken or hostile: they answer; only `tree_of` raises."""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator

from rrtf.records import Problem

# lines that go on with what the line above began, though they start at the left edge
_GOES_ON = re.compile(r"[)\]}]|(?:else|elif|except|finally|case)\b")
# lines that begin something in which a triple quote is a string, and not a word about strings
_CODE = re.compile(r"[ru]?[\"'@]|(?:async|def|class|if|for|while|with|try|return)\b|[\w.\[\]]+ *[=(+]")


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None for what Python can't read (which includes nesting its parser gives up on)."""
    try:
        return tree_of(source, "this")
    except ValueError:
        return None


def tree_of(source: str, what: str) -> ast.Module:
    """The syntax tree of code that has to be readable; raises ValueError, which names `what`, for all that is not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in somebody's program is not our user's warning
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError) as error:
        raise ValueError(f"{what} is not valid Python: {error}") from None


def complete(source: str) -> bool:
    """Whether the source can be read and returns nothing outside of a function, which Python's parser lets through."""
    tree = parse(source)
    outside = (ast.Return, ast.Yield, ast.YieldFrom)
    return tree is not None and not any(isinstance(node, outside) for node in own_nodes(tree.body))


def own_nodes(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes and all that is in them, without the insides of functions."""
    left = list(nodes)
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            left.extend(ast.iter_child_nodes(node))


def entry_name(problem: Problem) -> str:
    """The bare name of the function that tests call: `twoSum` for `Solution().twoSum`."""
    return re.split(r"\W+", problem.entry_point)[-1]


def defines(name: str, source: str) -> bool:
    """Whether the text has a `def` (or an assignment at the left edge) of `name`, parseable or not."""
    pattern = rf"^[ \t]*(?:async[ ]+)?def[ ]+{re.escape(name)}\b|^{re.escape(name)}[ ]*="
    return bool(name) and bool(re.search(pattern, source, re.MULTILINE))


def names_bound(source: str) -> set[str]:
    """Names that the top level of `source` binds; nothing if it does not parse."""
    names: set[str] = set()
    tree = parse(source)
    for node in tree.body if tree else []:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def names_used(source: str) -> set[str]:
    """Names that `source` reads anywhere; nothing if it does not parse."""
    tree = parse(source)
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name)) if tree else ()
    return {node.id for node in names if isinstance(node.ctx, ast.Load)}


def chunks(source: str) -> list[str]:
    """`source` cut where a statement begins at the left edge; together the pieces are `source`.

    Decorators stay with what they decorate, and no cut is made inside a triple-quoted string. Source that parses is cut by
    its tree, other source by its lines, so that one broken statement does not hide the rest.
    """
    lines = source.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + lines[-1:]
    tree = parse(source)
    starts = _statement_lines(tree) if tree else _likely_lines(lines)
    borders = [0, *(start for start in starts if start > 0), len(lines)]
    return [part for part in ("".join(lines[a:b]) for a, b in zip(borders, borders[1:], strict=False)) if part]


def _statement_lines(tree: ast.Module) -> list[int]:
    """The first line of each statement (from 0), without those that share a line with the one before."""
    starts: list[int] = []
    end = 0
    for node in tree.body:
        first = min([node.lineno, *(line.lineno for line in getattr(node, "decorator_list", []))])
        if first > end:
            starts.append(first - 1)
        end = node.end_lineno or first
    return starts


def _likely_lines(lines: list[str]) -> list[int]:
    starts: list[int] = []
    quotes = 0
    decorated = code = False
    for number, line in enumerate(lines):
        if quotes % 2 == 0 and line.strip() and not line[0].isspace() and not _GOES_ON.match(line):
            if not decorated:
                starts.append(number)
            decorated, code = line.startswith("@"), bool(_CODE.match(line))
        quotes += line.count('"""') + line.count("'''") if code else 0
    return starts
