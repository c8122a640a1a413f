"""The backward pass of a tape, kept as a program and run again.

A training loop records the same operations in every step. Walking them by the chain rule in Python
then costs more than the arithmetic on small arrays. So the structure of a record is looked up: when
it comes often its backward graph is kept, written by the same engine with the same table, and NumPy
computes its nodes one after another. These are the operations that the walk would do, on the same
numbers in the same layout: the gradients are the same to the bit, and when a graph was kept does
not show in a result.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from chainrule.backends.reference import ReferenceExecutable
from chainrule.backprop import DERIVATIVES, backpropagate
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value
from chainrule.passes.simplify import eliminate_common_subexpressions, eliminate_dead_code
from chainrule.tensor.state import STATE
from chainrule.tensor.tensor import Tensor

Key = tuple[object, ...]

# Writing the graph takes as long as some walks.
USES_BEFORE_KEPT = 4
MOST_KEPT = 128


def backward(
    nodes: Sequence[Node[Tensor]],
    targets: Sequence[Tensor],
    seeds: Sequence[Tensor],
    sources: Sequence[Tensor],
) -> list[Tensor | None]:
    """The gradients of the targets with respect to each source; None where there is no path.

    Args:
        nodes: what was recorded, in order.
        targets: what is differentiated; their gradients add up.
        seeds: what flows into each target.
        sources: by what is differentiated.
    """
    if STATE.trace is None and not STATE.tapes:
        record = _Record.of(nodes, targets, seeds, sources)
        program = PROGRAMS.find(record, nodes) if record is not None else None
        if record is not None and program is not None:
            return program.run(record.arrays)
    return backpropagate(nodes, list(zip(targets, seeds, strict=True)), sources)


class _Record(NamedTuple):
    """What was recorded, every tensor standing for its place in the order of appearance.

    Attributes:
        key: the structure: equal for records with the same backward graph.
        arrays: the values of all tensors.
        places: from a tensor's id to its place.
        ends: the targets, the seeds and the sources.
    """

    key: Key
    arrays: list[Any]
    places: dict[int, int]
    ends: tuple[Sequence[Tensor], ...]

    @classmethod
    def of(
        cls,
        nodes: Sequence[Node[Tensor]],
        targets: Sequence[Tensor],
        seeds: Sequence[Tensor],
        sources: Sequence[Tensor],
    ) -> _Record | None:
        """None where the structure does not say everything: a rule of the user's, a trace."""
        tensors: list[Tensor] = []
        operations: list[object] = []
        for node in nodes:
            if node.pullback is not None:
                return None
            primitive, inputs = node.primitive, node.inputs
            operations += (primitive, DERIVATIVES.get(primitive.name), len(inputs))
            if node.attributes:
                operations.append(tuple(node.attributes.items()))
            tensors += inputs
            tensors += node.outputs
        tensors += targets
        tensors += seeds
        tensors += sources
        # By functions of C where it can be: this is the part that every step pays for.
        names = list(map(id, tensors))
        distinct = dict(zip(names, tensors, strict=True))
        arrays = [x._payload for x in distinct.values()]
        if Value in map(type, arrays):
            return None
        places = dict(zip(distinct, range(len(distinct)), strict=True))
        key = (
            tuple(operations),
            tuple(map(places.__getitem__, names)),
            tuple([x.shape for x in distinct.values()]),
            tuple([x.dtype for x in distinct.values()]),
            len(targets),
            len(sources),
        )
        return cls(key, arrays, places, (targets, seeds, sources))


class _Program:
    """A backward graph made ready to run."""

    def __init__(self, record: _Record, nodes: Sequence[Node[Tensor]]) -> None:
        builder = GraphBuilder("backward")
        values = [builder.input(x.shape, x.dtype) for x in record.arrays]
        stand_ins = [
            Node(
                node.primitive,
                tuple(values[record.places[id(x)]] for x in node.inputs),
                node.attributes,
                tuple(values[record.places[id(x)]] for x in node.outputs),
                node.scope,
            )
            for node in nodes
        ]
        targets, seeds, sources = (
            [values[record.places[id(x)]] for x in tensors] for tensors in record.ends
        )
        gradients = backpropagate(stand_ins, list(zip(targets, seeds, strict=True)), sources)
        self._found = [x is not None for x in gradients]
        graph = builder.finish([x for x in gradients if x is not None])
        # No algebra: it would change in which layout arrays reach NumPy's sums and products.
        graph = eliminate_dead_code(eliminate_common_subexpressions(graph))
        used = {*graph.outputs, *(x for node in graph for x in node.inputs)}
        self._inputs = [i for i, x in enumerate(graph.inputs) if x in used]
        inputs = [graph.inputs[i] for i in self._inputs]
        self._executable = ReferenceExecutable(
            Graph(inputs, graph.nodes, graph.outputs, graph.name)
        )

    def run(self, arrays: Sequence[NDArray[Any]]) -> list[Tensor | None]:
        results = iter(self._executable.run([arrays[i] for i in self._inputs]))
        return [Tensor(next(results)) if found else None for found in self._found]


class _Programs:
    """The programs of the structures that came last; structures that come seldom have none."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, _Program | int] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, record: _Record, nodes: Sequence[Node[Tensor]]) -> _Program | None:
        """The program of a record, made when the record came often enough."""
        key = record.key
        with self._lock:
            entry = self._entries.pop(key, 0)
            if isinstance(entry, int):
                entry += 1
            self._entries[key] = entry
            if len(self._entries) > MOST_KEPT:
                self._entries.popitem(last=False)
        if isinstance(entry, int):
            if entry < USES_BEFORE_KEPT:
                return None
            entry = _Program(record, nodes)
            with self._lock:
                self._entries[key] = entry
        return entry

    def __len__(self) -> int:
        return len(self._entries)


PROGRAMS = _Programs()
