"""The expressions of a mapping: a small language over the columns of a table, read with `ast` and checked whole.

    concat(lower(EMAIL), '-', slice(ID, 0, 4))        status != 'TEST' and amount > 0

Bare names are columns, `column("odd name")` the others; there are texts, numbers, true and false, `+ - * /`,
comparisons, `in`, `and`, `or`, `not`, and the functions of `FUNCTIONS`. Nothing else can be said: no attribute, no
index, no other call. Evaluation is in `ingestion.expression_values`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["text", "number", "bool", "any"]

MAX_LENGTH, MAX_NODES, MAX_TEXT, MAX_NUMBER = 1_000, 200, 200, 2**53

OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


@dataclass(frozen=True)
class Function:
    """What a function takes and gives. `more`: the last argument may come again; `constant`: places of constants."""

    takes: tuple[Kind, ...]
    gives: Kind
    more: bool = False
    constant: tuple[int, ...] = ()


FUNCTIONS = {
    "concat": Function(("any",), "text", more=True),
    "lower": Function(("any",), "text"),
    "upper": Function(("any",), "text"),
    "strip": Function(("any",), "text"),
    "replace": Function(("any", "text", "text"), "text", constant=(1, 2)),
    "slice": Function(("any", "number", "number"), "text", constant=(1, 2)),
    "coalesce": Function(("any",), "any", more=True),
    "hash": Function(("any",), "text", more=True),
    "row_number": Function((), "number"),
    "file_name": Function((), "text"),
    "abs": Function(("number",), "number"),
    "round": Function(("number", "number"), "number", constant=(1,)),
    "if_else": Function(("bool", "any", "any"), "any"),
    "is_empty": Function(("any",), "bool"),
}


@dataclass(frozen=True)
class Expression:
    """A checked expression: its tree, the columns that it reads (in order), and the kind of its values."""

    text: str
    tree: ast.expr
    columns: tuple[str, ...]
    kind: Kind


@lru_cache(maxsize=512)
def parse_expression(text: str) -> Expression:
    """Read and check an expression. Raises `ValueError` saying what is not allowed and what is.

    >>> parse_expression("concat(lower(EMAIL), '-', ID)").columns
    ('EMAIL', 'ID')
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an expression of {len(text)} characters: at most {MAX_LENGTH} may be")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"{_short(text)} is no expression: {getattr(error, 'msg', error)}") from error
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise ValueError(f"{_short(text)} has over {MAX_NODES} parts: say it in fewer")
    kind = _check(tree)
    return Expression(text, tree, tuple(dict.fromkeys(_columns(tree))), kind)


def checked_expression(text: str) -> str:
    """The text when it is an expression; for pydantic."""
    parse_expression(text)
    return text


def checked_condition(text: str) -> str:
    """The text when it is an expression that is true or false; for pydantic."""
    if parse_expression(text).kind != "bool":
        raise ValueError(f"{_short(text)} is neither true nor false: compare something, as in status != 'TEST'")
    return text


def hashed_away(text: str, column: str) -> bool:
    """Whether every use of a column stands inside `hash(…)`, so that its value does not show."""

    def shown(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and _function(node) == "hash":
            return False
        if _column_of(node) == column:
            return True
        return any(shown(child) for child in ast.iter_child_nodes(node))

    return not shown(parse_expression(text).tree)


def _check(node: ast.expr) -> Kind:
    """The kind of a part. Raises `ValueError` for anything that is not of the language."""
    match node:
        case ast.Constant():
            return _constant(node)
        case ast.Name():
            return _name(node)
        case ast.UnaryOp(op=ast.USub()):
            return _wanted(node.operand, "number")
        case ast.UnaryOp(op=ast.Not()):
            return _wanted(node.operand, "bool")
        case ast.BinOp() if type(node.op) in OPERATORS:
            _wanted(node.left, "number")
            return _wanted(node.right, "number")
        case ast.BoolOp():
            for value in node.values:
                _wanted(value, "bool")
            return "bool"
        case ast.Compare():
            return _comparison(node)
        case ast.Call():
            return _call(node)
    raise ValueError(
        f"{_short(ast.unparse(node))} is not allowed: use columns, constants, + - * /, comparisons, in, and, or, not,"
        f" and {', '.join(sorted(FUNCTIONS))}"
    )


def _constant(node: ast.Constant) -> Kind:
    value = node.value
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueError(f"a text of {len(value)} characters: at most {MAX_TEXT} may be")
        return "text"
    if isinstance(value, int | float) and abs(value) < MAX_NUMBER:
        return "number"
    raise ValueError(f"the constant {_short(ast.unparse(node))} is not allowed: use a text, or a number below 2**53")


def _name(node: ast.Name) -> Kind:
    if node.id in ("true", "false"):
        return "bool"
    if node.id.startswith("__"):
        raise ValueError(f'{node.id} is not allowed as a bare name: write column("{node.id}") if it is a column')
    return "any"


def _wanted(node: ast.expr, wanted: Kind) -> Kind:
    kind = _check(node)
    if ("any" not in (kind, wanted) and kind != wanted) or (wanted == "bool" and kind == "any"):
        plain = {"bool": "a condition", "number": "a number", "text": "a text", "any": "a column"}
        raise ValueError(f"{_short(ast.unparse(node))} is {plain[kind]}, where {plain[wanted]} is wanted")
    return wanted


def _comparison(node: ast.Compare) -> Kind:
    if len(node.ops) != 1:
        raise ValueError(f"{_short(ast.unparse(node))} compares twice: join two comparisons by `and`")
    (operator,), (right,) = node.ops, node.comparators
    left = _check(node.left)
    if isinstance(operator, ast.In | ast.NotIn):
        if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
            raise ValueError("after `in` comes a list of constants, as in kind in ('A', 'B')")
        kinds = {_constant(item) if isinstance(item, ast.Constant) else "any" for item in right.elts}
        if len(kinds) != 1 or kinds & {"any", "bool"}:
            raise ValueError("after `in` come constants that are all texts, or all numbers")
        kind = kinds.pop()
    elif type(operator) in COMPARISONS:
        kind = _check(right)
    else:
        raise ValueError(f"{_short(ast.unparse(node))}: compare by {', '.join(COMPARISONS.values())} or in")
    if ("any" not in (left, kind) and left != kind) or "bool" in (left, kind):
        raise ValueError(f"{_short(ast.unparse(node))} compares two things of different kinds, or conditions")
    return "bool"


def _call(node: ast.Call) -> Kind:
    name = _function(node)
    if name is None or node.keywords or any(isinstance(item, ast.Starred) for item in node.args):
        raise ValueError(f"{_short(ast.unparse(node))} is not allowed: functions are {', '.join(sorted(FUNCTIONS))}")
    if name == "column":
        if _column_of(node) is None:
            raise ValueError('column(…) takes the name of one column in quotation marks, as in column("odd name")')
        return "any"
    if (function := FUNCTIONS.get(name)) is None:
        raise ValueError(f"there is no function {_short(name)}: there are {', '.join(sorted(FUNCTIONS))}")
    takes, given = function.takes, node.args
    if len(given) < len(takes) or (len(given) > len(takes) and not function.more):
        raise ValueError(f"{name} takes {len(takes)}{' or more' if function.more else ''} values, not {len(given)}")
    kinds = [_wanted(item, takes[min(index, len(takes) - 1)]) for index, item in enumerate(given)]
    actual = [_check(item) for item in given]
    for index in function.constant:
        if constant_of(given[index]) is None:
            raise ValueError(f"{name}: value {index + 1} must be a constant")
    if name in ("slice", "round"):
        whole = [constant_of(given[index]) for index in function.constant]
        top = 6 if name == "round" else 1_000
        if any(not isinstance(value, int) or not 0 <= value <= top for value in whole):
            raise ValueError(f"{name} takes whole numbers from 0 to {top}")
    if function.gives != "any":
        return function.gives
    values = actual[1:] if name == "if_else" else actual
    if len(set(values)) > 1 and not set(values) <= {"any", "text"} and not set(values) <= {"any", "number"}:
        raise ValueError(f"{_short(ast.unparse(node))} mixes texts, numbers or conditions")
    assert kinds, "such a function takes something"
    return next((kind for kind in values if kind != "any"), "any")


def constant_of(node: ast.expr) -> str | int | float | None:
    """The value of a constant part, None when it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return node.value
    return None


def _function(node: ast.Call) -> str | None:
    return node.func.id if isinstance(node.func, ast.Name) else None


def _column_of(node: ast.AST) -> str | None:
    """The column that this part names, if it names one."""
    if isinstance(node, ast.Name) and node.id not in ("true", "false"):
        return node.id
    if isinstance(node, ast.Call) and _function(node) == "column" and len(node.args) == 1 and not node.keywords:
        name = constant_of(node.args[0])
        return name if isinstance(name, str) else None
    return None


def column_of(node: ast.AST) -> str | None:
    """The column that a part of a checked expression names, None when it is no column."""
    return _column_of(node)


def _columns(node: ast.AST) -> Iterator[str]:
    name = _column_of(node)
    if name is not None:
        yield name
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Call) and child is node.func):
            yield from _columns(child)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
