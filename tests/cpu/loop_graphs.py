"""Random loops with their training steps, for tests of the CPU back end."""

from random_graphs import Maker, Net, activated, trained

from chainrule.graph import Value
from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder

ROWS = (3, 1, 2, 5, 16, 17, 20, 33, 40)
WIDTHS = (4, 1, 2, 3, 8, 16, 19)
STEPS = (3, 1, 2, 5)


class _Body:
    """The body of a loop being made, and what the loop around it is given."""

    def __init__(self, m: Maker, rows: int, steps: int) -> None:
        self.m, self.rows, self.steps = m, rows, steps
        self.builder = GraphBuilder("body")
        self.carried: list[tuple[Value, Value]] = []
        self.scanned: list[tuple[Value, Value]] = []
        self.constants: list[tuple[Value, Value]] = []
        self.fixed: list[Value] = []

    def carry(self, *shape: int) -> Value:
        return self._input(self.carried, shape, shape)

    def entry(self, *shape: int) -> Value:
        return self._input(self.scanned, shape, (self.steps, *shape))

    def constant(self, *shape: int, fixed: bool = False) -> Value:
        value = self._input(self.constants, shape, shape)
        if fixed:
            self.fixed.append(self.constants[-1][1])
        return value

    def _input(self, kind: list, inside: tuple[int, ...], outside: tuple[int, ...]) -> Value:
        value = self.builder.input(inside, self.m.dtype)
        given = self.m.input(*outside)
        kind.append((value, given))
        return value

    def linear(self, x: Value, width: int) -> Value:
        y = ops.matmul(x, self.constant(x.shape[1], width)) * (1 / x.shape[1])
        return y + self.constant(width) if self.m.one_of((False, True)) else y

    def loop(self, ends: list[Value], reverse: bool) -> tuple[Value, ...]:
        kinds = (self.carried, self.scanned, self.constants)
        order = [value for kind in kinds for value, _ in kind]
        self.builder.inputs[:] = order
        operands = [given for kind in kinds for _, given in kind]
        body = self.builder.finish(ends)
        counts = len(self.carried), len(self.scanned)
        return ops.scan(operands, body, *counts, self.steps, reverse)


def _changed(m: Maker, body: _Body, x: Value) -> Value:
    """Some more work on (rows, width)."""
    rows, width = x.shape
    kind = m.one_of(
        (
            "none",
            "mask",
            "halves",
            "softmax",
            "norm",
            "cumulative",
            "turned",
            "constant",
            "mix",
            "nested",
        )
    )
    if kind == "mask":
        hit = ops.less(body.constant(rows, 1, fixed=True), body.constant(rows, 1, fixed=True) * 0.5)
        return ops.select(hit, x, x * 0.25)
    if kind == "halves" and width > 1:
        half = width // 2
        a = ops.slice_(x, (0, 0), (rows, half), (1, 1))
        b = ops.slice_(x, (0, half), (rows, width), (1, 1))
        return ops.concatenate([ops.sigmoid(b), ops.tanh(a) * 0.5], 1)
    if kind == "softmax":
        e = ops.exp(x - ops.keep_axes(ops.reduce_max(ops.stop_gradient(x), (1,)), (1,), x.shape))
        return e / ops.keep_axes(ops.reduce_sum(e, (1,)), (1,), x.shape)
    if kind == "norm":
        square = ops.keep_axes(ops.reduce_sum(x * x, (1,)), (1,), x.shape)
        return x * ops.rsqrt(square * (1 / width) + 0.5)
    if kind == "cumulative":
        return ops.cumulative_sum(x, 1, m.one_of((False, True))) * (1 / width)
    if kind == "turned" and width % 2 == 0:
        cube = ops.transpose(ops.reshape(x, (rows, 2, width // 2)), (0, 2, 1))
        return ops.flip(ops.reshape(cube, (rows, width)), (1,))
    if kind == "constant":
        return x * ops.tanh(ops.transpose(body.constant(width, rows), (1, 0)))
    if kind == "mix" and m.one_of((False, True)):
        return x - ops.keep_axes(ops.reduce_sum(x, (0,)), (0,), x.shape) * (1 / rows)
    if kind == "nested":
        inner = GraphBuilder("inner")
        s, e = (inner.input(x.shape, x.dtype) for _ in range(2))
        graph = inner.finish([ops.tanh(s + e * 0.5)])
        stack = ops.broadcast_to(x, (2, rows, width))
        return ops.scan([x, stack], graph, 1, 1, 2, False)[0]
    return x


def add_loops(m: Maker) -> list[Value]:
    """A loop over rows with its loss, gradients and update."""
    first = len(m.builder.nodes)
    rows, width, steps = m.one_of(ROWS), m.one_of(WIDTHS), m.one_of(STEPS)
    body = _Body(m, rows, steps)
    state = body.carry(rows, width)
    memory = body.carry(rows, width) if m.one_of((False, True)) else None
    z = body.linear(state, width)
    for _ in range(m.one_of((1, 0, 2))):
        entry = body.entry(rows, m.one_of((width, *WIDTHS)))
        z = z + (entry if entry.shape == z.shape else body.linear(entry, width))
    z = _changed(m, body, z)
    new = activated(z, m.one_of(("tanh", "sigmoid")))
    ends = []
    if memory is not None:
        gate = ops.sigmoid(body.linear(state, width))
        kept = memory * gate + new * (1 - gate)
        new = ops.tanh(_changed(m, body, kept)) * ops.sigmoid(z)
        ends = [new, kept]
    else:
        ends = [new + state * 0.5 if m.one_of((False, True)) else new]
    possible = [new, state, z, *ends]
    outputs = [m.one_of(possible) for _ in range(m.one_of((1, 0, 2)))]
    results = body.loop([*ends, *outputs], m.one_of((False, True)))
    last = results[0]
    for stack in results[len(ends) :]:
        last = last + ops.reduce_sum(stack, (0,)) * (0.5 / steps)
    kinds = (body.carried, body.scanned, body.constants)
    parameters = [given for kind in kinds for _, given in kind if given not in body.fixed]
    return trained(m, Net(last, parameters, list(results)), first)
