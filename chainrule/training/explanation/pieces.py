"""Lines of text and numbers: what the text and the page of an explanation are both made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 100
# Arrays of up to so many numbers are shown whole, of larger ones the largest few.
_SMALL, _SHOWN = 24, 5
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Number:
    """A number, and where it comes from.

    Attributes:
        value: in the dtype in which it was computed.
        name: which number it is, as ``z0.3``: place 3 of the z of layer 0; "" for no particular.
        sources: names of the numbers that it is computed from, or of their arrays, as ``a0``.
        rule: its equation.
    """

    value: Any
    name: str = ""
    sources: tuple[str, ...] = ()
    rule: str = ""

    def __str__(self) -> str:
        """Four significant digits; whole numbers with all of theirs."""
        return number(self.value)

    @property
    def full(self) -> str:
        """The shortest text that says exactly this number in its dtype."""
        return str(self.value)


Piece = str | Number
#: Gives the number at a place of an array laid flat.
Marked = Callable[[int], Number]


@dataclass(frozen=True)
class Line:
    """A head, and pieces that go on below themselves where a line is full."""

    head: str
    body: tuple[Piece, ...] = ()

    def wrapped(self) -> list[str]:
        """The lines of text, of at most 100 characters where there are spaces."""
        return wrapped(self.head, as_text(self.body))


def number(x: Any) -> str:
    """Four significant digits; whole numbers with all of theirs."""
    return f"{x:d}" if isinstance(x, int | np.integer) else f"{float(x):.4g}"


def as_text(pieces: Sequence[Piece]) -> str:
    """Pieces one after the other."""
    return "".join(map(str, pieces))


def wrapped(head: str, text: str) -> list[str]:
    """A line that goes on below itself, indented."""
    lines, rest = [], f"{head}{text}"
    while len(rest) > WIDTH:
        cut = rest.rfind(" ", len(head) + 1, WIDTH)
        cut = WIDTH if cut <= len(head) else cut
        lines.append(rest[:cut])
        rest = " " * len(head) + rest[cut:].lstrip()
    return [*lines, rest]


def plain_name(name: str) -> str:
    """A name as text that cannot be taken for anything else, not too long."""
    shown = name if name.isprintable() else repr(name)
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 3] + "..."


def numbers(
    array: NDArray[Any],
    words: dict[str, str],
    marked: Marked | None = None,
    names: Sequence[str] = (),
) -> tuple[Piece, ...]:
    """The numbers of a small array, or the largest of a large one with their places.

    Args:
        array: of any shape.
        words: the sentences.
        marked: gives the numbers; default numbers that come from nowhere.
        names: of the places, for an array of as many numbers; default none.
    """
    flat = array.reshape(-1)
    of = marked or (lambda place: Number(flat[place]))
    named = len(names) == array.size
    pieces: list[Piece] = []
    if array.size <= _SMALL:
        between = ", " if named else " "
        for place in range(array.size):
            pieces += [between] if place else []
            pieces += [f"{plain_name(names[place])} "] if named else []
            pieces.append(of(place))
        return tuple(pieces)
    order = np.argsort(-np.abs(flat.astype(np.float64)), kind="stable")[:_SHOWN].tolist()
    pieces.append(words["largest"].format(n=_SHOWN, total=array.size) + ": ")
    for shown, place in enumerate(order):
        at = plain_name(names[place]) if named else place_text(place, array.shape)
        pieces += [f"{', ' if shown else ''}[{at}] ", of(place)]
    return tuple(pieces)


def place_text(flat: int, shape: tuple[int, ...]) -> str:
    """A place of an array, as in its brackets."""
    return ",".join(str(int(i)) for i in np.unravel_index(flat, shape))
