"""A graph in double precision: what the reference for comparisons is computed with."""

from typing import Any

import numpy as np

from chainrule.dtypes import FLOAT32, FLOAT64
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph


def widened(graph: Graph) -> Graph:
    """The same graph in float64 where it is in float32."""
    builder = GraphBuilder(graph.name)

    def wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
        return FLOAT64 if dtype == FLOAT32 else dtype

    values = {v: builder.input(v.shape, wide(v.dtype), v.name) for v in graph.inputs}
    for node in graph:
        attributes = dict(node.attributes)
        if "dtype" in attributes:
            attributes["dtype"] = wide(attributes["dtype"])
        if "body" in attributes:
            attributes["body"] = widened(attributes["body"])
        if node.primitive.name == "constant":
            attributes["value"] = attributes["value"].astype(wide(node.outputs[0].dtype))
        with builder.scoped(node.scope):
            result = builder.append(node.primitive, [values[v] for v in node.inputs], attributes)
        outputs = result if isinstance(result, tuple) else (result,)
        values.update(zip(node.outputs, outputs, strict=True))
    return builder.finish([values[value] for value in graph.outputs])
