"""The stable text form of a graph: equal graphs print equally; layers stand in comments only."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph, Value


def to_text(graph: Graph) -> str:
    """One line a node: ``%3 = matmul(%x0, %x1) : float32[1000, 10]   # dense1``."""
    names = value_names(graph)
    lines = [f"graph({', '.join(f'{names[v]}: {v.type}' for v in graph.inputs)}) {{"]
    for node in graph:
        arguments = [names[v] for v in node.inputs]
        arguments += [
            f"{key}={attribute_text(node.attributes[key])}" for key in node.primitive.attributes
        ]
        left = ", ".join(names[v] for v in node.outputs)
        types = ", ".join(str(v.type) for v in node.outputs)
        line = f"  {left} = {node.primitive.name}({', '.join(arguments)}) : {types}"
        lines.append(f"{line:<76}  # {node.scope}" if node.scope else line)
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph):
                lines += ["    " + part for part in to_text(attribute).splitlines()]
    lines.append(f"  return {', '.join(names[v] for v in graph.outputs)}")
    return "\n".join([*lines, "}"])


def value_names(graph: Graph) -> dict[Value, str]:
    """``%x0, %x1, ...`` for inputs and ``%0, %1, ...`` for what nodes make, in order."""
    names = {value: f"%x{i}" for i, value in enumerate(graph.inputs)}
    for node in graph:
        for value in node.outputs:
            names[value] = f"%{len(names) - len(graph.inputs)}"
    return names


def attribute_text(value: Any) -> str:
    """An attribute as text: short arrays in full, long ones by their hash."""
    if isinstance(value, np.ndarray):
        if value.size <= 8:
            return f"{value.tolist()}"
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
        return f"{value.dtype.name}{list(value.shape)}#{digest}"
    if isinstance(value, np.dtype):
        return str(value.name)
    if isinstance(value, Graph):
        return value.name
    if isinstance(value, tuple):
        return "[" + ", ".join(map(attribute_text, value)) + "]"
    return repr(value)
