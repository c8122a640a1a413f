"""JSON from a file that nobody vouches for: bounded depth, no duplicate keys, no NaN.

The caller bounds the length of the text; everything here is linear in it.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from chainrule.errors import ArgumentError, FileFormatError

MAX_DEPTH = 100
"""Lists and objects inside each other, counted from the outermost."""

MAX_NUMBER_LENGTH = 40
"""Characters of one number; a 64-bit integer has 20, a shortest float64 text at most 25."""

RESTORE = "restore the file from a copy, or save the model again"
"""What to do about a damaged file."""

# Possessive (*+), closing quote optional: one pass over any string, ended or not, no going back.
_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


def shown(value: object, limit: int = 80) -> str:
    """The value as a short printable text, safe to put into a message whatever the file holds."""
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."


def parse(text: str, *, where: str, part: str) -> Any:
    """Parse JSON text strictly.

    Args:
        text: the JSON text.
        where: the file, for messages.
        part: the part of the file, for messages ("the header").

    Returns:
        The value, of dicts, lists, strings, ints, finite floats, booleans and None.

    Raises:
        FileFormatError: not JSON, or JSON with duplicate keys, NaN or Infinity, a number of more
            than ``MAX_NUMBER_LENGTH`` characters, half of a surrogate pair, or nesting beyond
            ``MAX_DEPTH``.

    >>> parse('{"a": [1, 2.5, null]}', where="example", part="the header")
    {'a': [1, 2.5, None]}
    >>> parse('{"a": 1, "a": 2}', where="example", part="the header")
    Traceback (most recent call last):
    chainrule.errors.FileFormatError: [example] the header holds a key twice: got 'a' twice, ...
    """

    def refuse(what: str, got: str, expected: str) -> FileFormatError:
        return FileFormatError(where, f"{part} {what}", got=got, expected=expected, fix=RESTORE)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            raise refuse("holds a key twice", f"{shown(twice)} twice", "each key once")
        return result

    def number(digits: str, kind: type[int] | type[float]) -> int | float:
        if len(digits) > MAX_NUMBER_LENGTH:
            raise refuse("holds an endless number", f"{len(digits)} characters", "at most 40")
        value = kind(digits)
        if not math.isfinite(value):
            raise refuse("holds a number out of range", digits, "a float64")
        return value

    def constant(name: str) -> None:
        raise refuse("holds a value that JSON does not have", name, "finite numbers only")

    depth = max(_depths(text), default=0)
    if depth > MAX_DEPTH:
        raise refuse(
            "is nested too deeply", f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH}"
        )
    try:
        value = json.loads(
            text,
            object_pairs_hook=unique,
            parse_int=lambda digits: number(digits, int),
            parse_float=lambda digits: number(digits, float),
            parse_constant=constant,
        )
    except json.JSONDecodeError as error:
        problem = f"{error.msg.lower()} at character {error.pos}"
        raise refuse("is not JSON", problem, "valid JSON") from None
    if "\\u" in text and not _encodable(value):
        raise refuse(
            "holds text that is not Unicode", "half of a surrogate pair", "whole characters"
        )
    return value


def _depths(text: str) -> Iterator[int]:
    """The nesting depth after each opening bracket; ends as soon as it is beyond the limit."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        first = match.group()[0]
        if first in "[{":
            depth += 1
            yield depth
            if depth > MAX_DEPTH:
                return
        elif first in "]}":
            depth -= 1


def _encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def plain(value: object, *, where: str) -> Any:
    """The same value of plain Python types: NumPy scalars as numbers, tuples as lists.

    Args:
        value: dicts with string keys, lists, tuples, strings, finite numbers, booleans, None.
        where: the file, for messages.

    Raises:
        ArgumentError: anything else in it, with its place (``layers[0].rate``).
    """
    return _plain(value, where, "", 0)


def text_of(value: object, *, where: str) -> str:
    """The JSON text of a value, such that ``parse`` gives ``plain(value)`` back.

    >>> text_of({"units": 3, "rate": (0.5, None)}, where="example")
    '{"units":3,"rate":[0.5,null]}'
    """
    return json.dumps(
        plain(value, where=where), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def _plain(value: Any, where: str, place: str, depth: int) -> Any:
    """The same value of plain Python types; refuses what JSON cannot carry."""
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if depth > MAX_DEPTH // 2:
        raise _cannot_store(where, place, "a value inside itself or nested too deeply")
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str or not _encodable(key):
                raise _cannot_store(where, place, f"the key {shown(key)}")
        return {
            key: _plain(item, where, f"{place}.{key}" if place else key, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(x, where, f"{place}[{i}]", depth + 1) for i, x in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and _encodable(value):
        return str(value)
    if isinstance(value, int) and abs(value) < 2**64:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise _cannot_store(where, place, f"{shown(value)} of type {type(value).__name__}")


def _cannot_store(where: str, place: str, got: str) -> ArgumentError:
    return ArgumentError(
        where,
        f"cannot store metadata{' at ' + place if place else ''}",
        got=got,
        expected="dicts with text keys, lists, text, finite numbers, True, False, None",
        fix="convert the value first; numbers in bulk belong in an array",
    )
