"""Seeds: where the first seed comes from, and how every variable and generator gets a seed of its
own.

A layer tree has one seed. Each variable draws from (seed of the tree, path of the variable), so
its initial values do not depend on what else was created, in which order, or on which computer.
"""

import hashlib
import os
from dataclasses import dataclass

from chainrule.errors import ArgumentError
from chainrule.nn.validate import whole_number


@dataclass
class _Source:
    seed: int | None = None
    drawn: int = 0


_source = _Source()


def set_seed(seed: int) -> None:
    """Make every later draw of this process repeatable: initial values, dropout, shuffling.

    Models built after the call take different seeds, in the order in which they are built.

    Args:
        seed: a whole number of at least 0.

    Raises:
        ArgumentError: the seed is not a whole number of at least 0.

    Example:
        >>> import chainrule as cr
        >>> cr.set_seed(7)
        >>> first = cr.initializers.get("normal")((2, 3)).numpy()
        >>> cr.set_seed(7)
        >>> bool((cr.initializers.get("normal")((2, 3)).numpy() == first).all())
        True

    Different from Keras: NumPy's and Python's own generators are left alone.
    """
    _source.seed = check_seed("set_seed", seed)
    _source.drawn = 0


def check_seed(where: str, seed: object) -> int:
    """``seed`` as a whole number from 0 to 2**63 - 1."""
    number = whole_number(where, "seed", seed, minimum=0)
    if number >= 2**63:
        raise ArgumentError(where, "bad seed", got=number, expected="less than 2**63")
    return number


def next_seed() -> int:
    """A new seed: the next in the sequence of ``set_seed``, else one from the operating system."""
    if _source.seed is None:
        return int.from_bytes(os.urandom(8), "big") >> 1
    _source.drawn += 1
    return derive_seed(_source.seed, f"draw {_source.drawn}")


def derive_seed(seed: int, name: str) -> int:
    """The seed (63 bits) that belongs to ``name`` under ``seed``: the same on every computer.

    >>> derive_seed(1, "dense/kernel") == derive_seed(1, "dense/kernel") != derive_seed(
    ...     1, "dense/bias"
    ... )
    True
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
