"""Reverse mode: from a list of nodes to the gradients, by the chain rule, last node first.

One engine for both uses: over a graph's nodes it writes the backward graph (``gradient_graph``),
over the nodes that a tape recorded it computes with tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from chainrule.backprop.derivatives import DERIVATIVES
from chainrule.backprop.loops import scan_gradients
from chainrule.errors import GradientError
from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node
from chainrule.graph.operand import Operand

# Primitives whose gradients of all inputs are found together.
JOINT_DERIVATIVES = {"scan": scan_gradients}

OperandT = TypeVar("OperandT", bound=Operand)


def needed_path(
    nodes: Iterable[Node[Any]], sources: Iterable[Operand]
) -> tuple[list[Node[Any]], set[int]]:
    """The nodes through which a gradient reaches ``sources``, and the ids of the values on those
    paths.
    """
    needed = {id(source) for source in sources}
    path = []
    for node in nodes:
        if node.primitive.differentiable and any(id(value) in needed for value in node.inputs):
            outputs = [id(value) for value in node.outputs if value.dtype.kind == "f"]
            if outputs:
                needed.update(outputs)
                path.append(node)
    return path, needed


def backpropagate(
    nodes: Iterable[Node[Any]],
    targets: Sequence[tuple[OperandT, OperandT]],
    sources: Sequence[OperandT],
) -> list[OperandT | None]:
    """The gradients of the targets with respect to each source.

    Args:
        nodes: every node between sources and targets, each before its users.
        targets: pairs of a value and the gradient that flows into it (of its shape).
        sources: the values whose gradients are asked for.

    Returns:
        A gradient a source, in its shape and dtype; None where no path leads from it to a target.

    Raises:
        GradientError: a primitive on a path has no row in the derivative table.
    """
    path, needed = needed_path(nodes, sources)
    gradients: dict[int, Any] = {}
    for target, gradient in targets:
        if id(target) in needed:
            _accumulate(gradients, target, gradient)
    kept = {id(source) for source in sources}
    for node in reversed(path):
        outgoing = [
            gradients.get(id(v)) if id(v) in kept else gradients.pop(id(v), None)
            for v in node.outputs
        ]
        if any(gradient is not None for gradient in outgoing):
            _through(node, outgoing, needed, gradients)
    return [gradients.get(id(source)) for source in sources]


def _through(
    node: Node[Any], outgoing: list[Any], needed: set[int], gradients: dict[int, Any]
) -> None:
    """Carry the gradients of a node's outputs to those of its inputs that need one."""
    if node.pullback is not None:
        filled = [
            ops.zeros_like(value) if gradient is None else gradient
            for value, gradient in zip(node.outputs, outgoing, strict=True)
        ]
        for value, gradient in zip(node.inputs, node.pullback(*filled), strict=True):
            if gradient is not None and id(value) in needed:
                _accumulate(gradients, value, ops.sum_to_shape(gradient, value.shape))
        return
    joint = JOINT_DERIVATIVES.get(node.primitive.name)
    if joint is not None:
        wanted = [id(value) in needed for value in node.inputs]
        found = joint(node, outgoing, wanted, backpropagate)
        for value, gradient in zip(node.inputs, found, strict=True):
            if gradient is not None and id(value) in needed:
                _accumulate(gradients, value, gradient)
        return
    derivative = DERIVATIVES.get(node.primitive.name)
    if derivative is None:
        raise GradientError(
            node.scope or node.primitive.name,
            f"the primitive {node.primitive.name!r} has no derivative",
            fix="add its row to chainrule/backprop/derivatives.py, or wrap it in custom_gradient",
        )
    single = len(node.outputs) == 1
    g = outgoing[0] if single else outgoing
    out = node.outputs[0] if single else node.outputs
    for index, value in enumerate(node.inputs):
        if id(value) in needed:
            gradient = derivative(index, g, out, node.inputs, node.attributes)
            if gradient is not None:
                _accumulate(gradients, value, ops.sum_to_shape(gradient, value.shape))


def _accumulate(gradients: dict[int, Any], value: Operand, gradient: Any) -> None:
    before = gradients.get(id(value))
    gradients[id(value)] = gradient if before is None else before + gradient


def gradient_graph(graph: Graph, sources: Sequence[int] | None = None, target: int = 0) -> Graph:
    """The graph that computes ``graph``'s outputs and the gradients of one of them.

    Args:
        graph: any graph; its nodes are copied.
        sources: the positions of the inputs to differentiate by; all floating ones by default.
        target: the position of the output to differentiate, seeded with ones.

    Returns:
        A graph of the same inputs whose outputs are ``graph``'s outputs followed by one gradient a
        source, zeros where the output does not depend on it. It is a graph like any other: print
        it, draw it, differentiate it again.
    """
    builder = GraphBuilder(f"{graph.name}_gradient")
    inputs = [builder.input(value.shape, value.dtype, value.name) for value in graph.inputs]
    if sources is None:
        sources = [i for i, value in enumerate(inputs) if value.dtype.kind == "f"]
    mapping = builder.copy_nodes(graph, inputs)
    outputs = [mapping[value] for value in graph.outputs]
    seed = ops.broadcast_to(outputs[target].constant_like(1), outputs[target].shape)
    wanted = [inputs[i] for i in sources]
    gradients = backpropagate(list(builder.nodes), [(outputs[target], seed)], wanted)
    filled = [
        ops.zeros_like(value) if gradient is None else gradient
        for value, gradient in zip(wanted, gradients, strict=True)
    ]
    return builder.finish([*outputs, *filled])
