"""What a program reports when it refuses its data: numbers in the error buffer, and the errors they
become.
"""

from __future__ import annotations

from chainrule.errors import ArgumentError

NO_FAULT, INDEX_OUT_OF_RANGE, DIVISION_BY_ZERO = 0, 1, 2


def raise_fault(code: int, where: str) -> None:
    """Raise the error of a code; nothing for 0."""
    if code == INDEX_OUT_OF_RANGE:
        raise ArgumentError(where, "index out of range", expected="indices inside the axis")
    if code == DIVISION_BY_ZERO:
        raise ArgumentError(where, "division of integers by zero")
