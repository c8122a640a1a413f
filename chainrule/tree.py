"""Nested lists, tuples and dictionaries of values: taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

# A structure is hashable: ("leaf",), ("list", (...)), ("tuple", (...)), ("named", class, (...)),
# ("dict", (keys), (...)).
Structure = tuple[Any, ...]
LEAF: Structure = ("leaf",)


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves, in order, and the structure around them; dictionaries in the order of their keys'
    insertion.

    >>> flatten({"a": [1, 2], "b": 3})[0]
    [1, 2, 3]
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    if isinstance(tree, dict):
        return ("dict", tuple(tree), tuple(_flatten(tree[key], leaves) for key in tree))
    if isinstance(tree, (list, tuple)):
        parts = tuple([_flatten(part, leaves) for part in tree])
        if isinstance(tree, list):
            return ("list", parts)
        return ("named", type(tree), parts) if hasattr(tree, "_fields") else ("tuple", parts)
    leaves.append(tree)
    return LEAF


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The tree of this structure with these leaves."""
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Any) -> Any:
    kind = structure[0]
    if kind == "leaf":
        return next(leaves)
    parts = [_unflatten(part, leaves) for part in structure[-1]]
    if kind == "dict":
        return dict(zip(structure[1], parts, strict=True))
    if kind == "named":
        return structure[1](*parts)
    return parts if kind == "list" else tuple(parts)


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with ``function`` applied to every leaf."""
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(leaf) for leaf in leaves])
