"""A hash of what a graph computes: equal for graphs that differ in the names of layers only."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph, Value


def fingerprint(graph: Graph) -> bytes:
    """The hash of a graph's types, primitives, attributes and connections, constants by content.

    Names of inputs and scopes do not matter; every bit of an attribute does: 0.0 is not -0.0, 1 is
    not True.
    """
    numbers: dict[Value, int] = {}
    parts: list[str] = []
    digest = hashlib.sha256()
    for value in graph.inputs:
        numbers[value] = len(numbers)
        parts.append(f"{value.dtype.str}{value.shape}")
    for node in graph.nodes:
        arguments = [numbers[value] for value in node.inputs]
        parts.append(f"{node.primitive.name}{arguments}")
        for name in node.primitive.attributes:
            attribute = node.attributes[name]
            if isinstance(attribute, np.ndarray):
                parts.append(f"{attribute.dtype.str}{attribute.shape}")
                digest.update(np.ascontiguousarray(attribute).data)
            else:
                parts.append(_exact(attribute))
        for value in node.outputs:
            numbers[value] = len(numbers)
    parts.append(f"return{[numbers[value] for value in graph.outputs]}")
    digest.update("\n".join(parts).encode())
    return digest.digest()


def _exact(attribute: Any) -> str:
    if isinstance(attribute, Graph):
        return fingerprint(attribute).hex()
    # repr tells numbers and their kinds apart, but not NumPy's from Python's.
    return attribute.str if isinstance(attribute, np.dtype) else repr(attribute)
