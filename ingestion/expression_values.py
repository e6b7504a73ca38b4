"""The values of a checked expression, for whole Arrow tables at once.

An empty value is null, and the constant '' says empty. Any other comparison with an empty value is false, `!=` and
`not in` true. Columns of text become
numbers where a number is wanted, in the decimals and thousands of the mapping; what is none counts as empty. Whole
numbers stay whole in `+ - *` (beyond 64 bits: null); `/`, and whatever has a fraction, is a float64.
"""

from __future__ import annotations

import ast
import hashlib
import hmac
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.errors import MappingError
from ingestion.expressions import COMPARISONS, OPERATORS, column_of, constant_of, parse_expression
from ingestion.numbers import PLAIN, NumberFormat, plain_numbers

_NUMBER = r"^[+-]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})(?:[eE][+-]?\d{1,2})?$"
_COMPARE = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as written: `table` (N,), the `lines` (N,) int64 they stand on, and the name of their file.

    `hash` of a `personal` column is keyed by `secret`: without it, who knows what such values look like could try
    them all (PCI DSS 3.5.1.1).
    """

    table: pa.Table
    lines: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    name: str = ""
    numbers: NumberFormat = PLAIN
    personal: frozenset[str] = frozenset()
    secret: str = field(default="", repr=False)

    @classmethod
    def of(cls, table: pa.Table, *, numbers: NumberFormat = PLAIN) -> Rows:
        """Rows of a table that is no file: they are numbered from 1."""
        return cls(table=table, lines=np.arange(1, table.num_rows + 1), numbers=numbers)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> pa.Array:
        """A column in one piece, without a dictionary."""
        column = self.table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_dictionary(column.type):
            return column.dictionary_decode()
        if not is_plain(column.type):
            raise MappingError(
                f"Column {name} holds {column.type}, not one value a row.",
                remedy="Take what is wanted of it into columns of its own first, or leave it out of the mapping.",
            )
        return column.cast(pa.string()) if pa.types.is_string_view(column.type) else column

    def filter(self, keep: pa.Array) -> Rows:
        """The rows of a mask (N,)."""
        chosen = keep.to_numpy(zero_copy_only=False)
        return replace(self, table=self.table.filter(keep), lines=self.lines[chosen])


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column holds one value a row that can be read as text, number or time."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return not (
        pa.types.is_nested(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def clean_text(values: pa.Array) -> pa.Array:
    """A column as text: spaces around it go, empty becomes null, and so does NaN."""
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def evaluate(text: str, rows: Rows) -> pa.Array:
    """The values (N,) of an expression: string, int64, double or bool."""
    return _value(parse_expression(text).tree, rows)


def condition(text: str, rows: Rows) -> pa.Array:
    """The values (N,) of a condition, without nulls."""
    return pc.fill_null(evaluate(text, rows), False)


def _value(node: ast.expr, rows: Rows) -> pa.Array:
    name = column_of(node)
    if name is not None:
        return _plain(rows.column(name))
    match node:
        case ast.Constant() | ast.Name():
            value = constant_of(node) if isinstance(node, ast.Constant) else node.id == "true"
            return pa.repeat(pa.scalar(value), len(rows))
        case ast.UnaryOp(op=ast.Not()):
            return pc.invert(_boolean(node.operand, rows))
        case ast.UnaryOp():
            return _checked("-", pa.repeat(pa.scalar(0), len(rows)), _number(node.operand, rows))
        case ast.BinOp():
            return _checked(OPERATORS[type(node.op)], _number(node.left, rows), _number(node.right, rows))
        case ast.BoolOp():
            parts = [_boolean(value, rows) for value in node.values]
            result = parts[0]
            for part in parts[1:]:
                result = pc.and_(result, part) if isinstance(node.op, ast.And) else pc.or_(result, part)
            return result
        case ast.Compare():
            return _compare(node, rows)
        case ast.Call():
            return _call(node, rows)
    raise AssertionError(f"a checked expression has no {type(node).__name__}")


def _plain(values: pa.Array) -> pa.Array:
    """A column as string, int64, double or bool; dates and times as text."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return values.cast(pa.string())
    if pa.types.is_integer(kind):
        if kind == pa.uint64():
            values = pc.if_else(pc.less(values, pa.scalar(2**63, pa.uint64())), values, pa.scalar(None, kind))
        return values.cast(pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.float64(), safe=False)
    return clean_text(values)


def _text(node: ast.expr, rows: Rows) -> pa.Array:
    return clean_text(_value(node, rows))


def _boolean(node: ast.expr, rows: Rows) -> pa.Array:
    return pc.fill_null(_value(node, rows), False)


def _number(node: ast.expr, rows: Rows) -> pa.Array:
    values = _value(node, rows)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return values
    return as_numbers(values, rows.numbers)


def as_numbers(texts: pa.Array, numbers: NumberFormat) -> pa.Array:
    """Texts as int64 where all are whole, else as double; null where there is no number."""
    plain = plain_numbers(texts, numbers)
    readable = pc.fill_null(pc.match_substring_regex(plain, _NUMBER), False)
    chosen = pc.if_else(readable, plain, pa.scalar(None, pa.string()))
    whole = pc.match_substring_regex(chosen, r"^-?\d{1,18}$")
    if pc.all(pc.fill_null(whole, True)).as_py():
        return chosen.cast(pa.int64())
    return pc.replace_substring_regex(chosen, r"^\+", "").cast(pa.float64())


def _double(values: pa.Array) -> pa.Array:
    return values.cast(pa.float64(), safe=False)


def _checked(operator: str, left: pa.Array, right: pa.Array) -> pa.Array:
    """Arithmetic; what has no 64-bit result is null."""
    if operator == "/":
        divisor = _double(right)
        return pc.divide(_double(left), pc.if_else(pc.equal(divisor, 0.0), pa.scalar(None, pa.float64()), divisor))
    compute, checked = {
        "+": (pc.add, pc.add_checked),
        "-": (pc.subtract, pc.subtract_checked),
        "*": (pc.multiply, pc.multiply_checked),
    }[operator]
    if pa.types.is_floating(left.type) or pa.types.is_floating(right.type):
        return compute(_double(left), _double(right))
    try:
        return checked(left, right)
    except pa.ArrowInvalid:  # beyond 64 bits somewhere: find where by floats
        about = compute(_double(left), _double(right))
        return pc.if_else(pc.less(pc.abs(about), 2.0**62), compute(left, right), pa.scalar(None, pa.int64()))


def _compare(node: ast.Compare, rows: Rows) -> pa.Array:
    operator, right = node.ops[0], node.comparators[0]
    if isinstance(operator, ast.In | ast.NotIn):
        items = [constant_of(item) for item in right.elts]  # type: ignore[attr-defined]  # checked to be a list
        of_text = isinstance(items[0], str)
        values = _text(node.left, rows) if of_text else _double(_number(node.left, rows))
        inside = pc.is_in(values, pa.array([item for item in items if item != ""], values.type))
        inside = pc.or_(inside, pc.is_null(values)) if "" in items else inside
        return pc.invert(inside) if isinstance(operator, ast.NotIn) else inside
    sign = COMPARISONS[type(operator)]
    for one, other in ((node.left, right), (right, node.left)):
        if constant_of(one) == "" and sign in ("==", "!="):
            return (pc.is_null if sign == "==" else pc.is_valid)(_text(other, rows))
    sides = [_value(node.left, rows), _value(right, rows)]
    if all(_is_number(side.type) for side in sides) or any(_said_number(part) for part in (node.left, right)):
        sides = [side if _is_number(side.type) else as_numbers(side, rows.numbers) for side in sides]
    else:
        sides = [clean_text(side) for side in sides]
    return pc.fill_null(_COMPARE[sign](*sides), sign == "!=")


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _said_number(node: ast.expr) -> bool:
    """Whether a part is a number whatever the table holds."""
    return parse_expression(ast.unparse(node)).kind == "number"


def _call(node: ast.Call, rows: Rows) -> pa.Array:
    name, given = node.func.id, node.args  # type: ignore[attr-defined]  # checked to be a name
    match name:
        case "concat":
            parts = [
                pc.fill_null(_text(item, rows) if column_of(item) else _value(item, rows).cast(pa.string()), "")
                for item in given
            ]
            return pc.binary_join_element_wise(*parts, "")
        case "lower":
            return pc.utf8_lower(_text(given[0], rows))
        case "upper":
            return pc.utf8_upper(_text(given[0], rows))
        case "strip":
            return _text(given[0], rows)
        case "replace":
            old, new = (str(constant_of(item)) for item in given[1:])
            return pc.replace_substring(_text(given[0], rows), old, new) if old else _text(given[0], rows)
        case "slice":
            start, stop = (int(constant_of(item) or 0) for item in given[1:])
            return pc.utf8_slice_codeunits(_text(given[0], rows), start, max(start, stop))
        case "coalesce":
            return pc.coalesce(*_alike([_value(item, rows) for item in given]))
        case "hash":
            personal = rows.personal.intersection(parse_expression(ast.unparse(node)).columns)
            return _hash([_text(item, rows) for item in given], rows.secret if personal else "")
        case "row_number":
            return pa.array(rows.lines, pa.int64())
        case "file_name":
            return pa.repeat(pa.scalar(rows.name), len(rows))
        case "abs":
            return pc.abs(_number(given[0], rows))
        case "round":
            return pc.round(_number(given[0], rows), int(constant_of(given[1]) or 0), "half_to_even")
        case "if_else":
            return pc.if_else(_boolean(given[0], rows), *_alike([_value(item, rows) for item in given[1:]]))
        case "is_empty":
            return pc.is_null(_value(given[0], rows))
    raise AssertionError(f"a checked expression calls no {name}")


def _alike(values: list[pa.Array]) -> list[pa.Array]:
    """Arrays of one type: as they are, as doubles, or as text."""
    kinds = {value.type for value in values}
    if len(kinds) == 1:
        return values
    if all(_is_number(kind) for kind in kinds):
        return [_double(value) for value in values]
    return [clean_text(value) for value in values]


def _hash(parts: list[pa.Array], secret: str) -> pa.Array:
    """32 hex digits of SHA-256 over the values' netstrings, so that no two lists of values read alike; of HMAC-SHA256
    where there is a secret."""
    columns = [part.to_pylist() for part in parts]
    digests = []
    for values in zip(*columns, strict=True):
        text = b"".join(b"-" if value is None else b"%d:%b" % (len(raw := value.encode()), raw) for value in values)
        digest = hmac.digest(secret.encode(), text, "sha256") if secret else hashlib.sha256(text).digest()
        digests.append(digest.hex()[:32])
    return pa.array(digests, pa.string())
