"""Names: class names in snake case, and tables looked up by any usual spelling of a name."""

import functools
import re
from collections.abc import Mapping
from typing import TypeVar

from chainrule.errors import ArgumentError, unknown_name

Entry = TypeVar("Entry")

MAXIMUM_NAME_LENGTH = 100


@functools.lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """The snake-case form of a class name; "2D" stays whole.

    >>> snake_case("BatchNormalization"), snake_case("SimpleNN"), snake_case("Conv2DTranspose")
    ('batch_normalization', 'simple_nn', 'conv2d_transpose')
    """
    spaced = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])(?<!\dD)", r"\1_\2", spaced).lower().lstrip("_")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def look_up(
    where: str,
    kind: str,
    name: str,
    table: Mapping[str, Entry],
    aliases: Mapping[str, str] | None = None,
) -> Entry:
    """The entry of ``table`` under ``name``, whatever its capitals, underscores and dashes.

    Args:
        where: who asks, for the error.
        kind: what is looked up ("activation"), for the error.
        name: the name as the user wrote it.
        table: the entries by their proper names.
        aliases: other names, each with the proper one.

    Raises:
        UnknownNameError: no entry has this name; the nearest one is offered.
    """
    plain = _plain(name)
    for alias, proper in (aliases or {}).items():
        if _plain(alias) == plain:
            return table[proper]
    for proper, entry in table.items():
        if _plain(proper) == plain:
            return entry
    raise unknown_name(where, kind, name[:80], table)


def check_name(where: str, name: object) -> str:
    """The name itself when it can stand in a path: printable, no slash, not empty, not too long."""
    good = isinstance(name, str) and 0 < len(name) <= MAXIMUM_NAME_LENGTH
    if not (good and isinstance(name, str) and name.isprintable() and "/" not in name):
        raise ArgumentError(
            where,
            "bad name",
            got=repr(name)[:MAXIMUM_NAME_LENGTH],
            expected=f"1 to {MAXIMUM_NAME_LENGTH} printable characters without '/'",
        )
    return name
