"""Small pieces of text that the reports share: safe names, lists, numbers."""

from collections.abc import Sequence


def printable(text: str) -> str:
    r"""The text with control characters written out, so that a file cannot steer the terminal.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def name_list(names: Sequence[str], limit: int = 8) -> str:
    """The names with commas between them; the middle of a long list is left out.

    >>> name_list([f"pixel_{i}" for i in range(64)], limit=4)
    'pixel_0, pixel_1, pixel_2, ..., pixel_63'
    """
    shown = [printable(name) for name in names]
    if len(shown) > limit:
        shown = [*shown[: limit - 1], "...", shown[-1]]
    return ", ".join(shown)


def count(number: int, noun: str, plural: str = "") -> str:
    """The number with its noun.

    >>> count(1, "row"), count(1797, "row")
    ('1 row', '1,797 rows')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
