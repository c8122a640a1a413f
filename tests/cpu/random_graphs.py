"""Random graphs of every primitive, for tests of the CPU back end.

Two kinds: any operations one after another, and networks with their loss, gradients and update. The
numbers stay near 1 and nothing jumps where rounding differs, so that float32 can be compared with
float64: what jumps (comparisons, rounding, indices) is fed with numbers that are the same in both.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from chainrule.backprop.reverse import backpropagate
from chainrule.dtypes import BOOL, INT32, INT64, UINT32
from chainrule.graph import PRIMITIVES, Graph, GraphBuilder, Value
from chainrule.graph import operations as ops
from chainrule.passes import optimize

SIZES = (4, 1, 2, 3, 7, 12, 16, 17, 25, 33, 40)
LARGEST = 8.0
MOST_ELEMENTS = 6000


class Case(NamedTuple):
    """A graph of several independent ones, and from where to where each input's numbers go."""

    graph: Graph
    ranges: list[tuple[float, float]]

    def inputs(self, seed: int) -> list[Any]:
        """Numbers for its inputs, all of them float32 numbers."""
        generator = np.random.default_rng(seed)
        return [
            generator.uniform(low, high, x.shape).astype("float32").astype(x.dtype)
            if x.dtype.kind == "f"
            else generator.integers(int(low), int(high), x.shape, x.dtype)
            for x, (low, high) in zip(self.graph.inputs, self.ranges, strict=True)
        ]


class Maker:
    """A graph being made: inputs, and the values that the next operation may take."""

    def __init__(self, draw: Any, builder: GraphBuilder, dtype: np.dtype[Any]) -> None:
        self._draw = draw
        self.builder = builder
        self.dtype = dtype
        self.ranges: dict[Value, tuple[float, float]] = {}
        self.floats: list[Value] = []
        self.integers: list[Value] = []
        self.booleans: list[Value] = []
        self.bounds: dict[Value, float] = {}  # no element is larger
        self.exact: set[Value] = set()  # the same numbers in float32 and float64

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(choices))

    def size(self) -> int:
        return int(self.one_of(SIZES))

    def input(self, *shape: int, low: float = -2.0, high: float = 2.0, dtype: Any = None) -> Value:
        value = self.builder.input(shape, dtype or self.dtype)
        self.ranges[value] = (low, high)
        if value.dtype.kind == "f":
            self.bounds[value] = max(-low, high)
            self.exact.add(value)
        return value

    def indices(self, length: int, *shape: int) -> Value:
        dtype = self.one_of((INT32, INT64))
        return self.input(*shape, low=-length, high=length, dtype=dtype)

    def keep(self, value: Value, bound: float, exact: bool = False) -> Value:
        """Let later operations take a value; one that may be large is made smaller."""
        if bound > LARGEST:
            value, bound, exact = value * (LARGEST / 2 / bound), LARGEST / 2, False
        self.bounds[value] = bound
        if exact:
            self.exact.add(value)
        self.floats.append(value)
        return value

    def take_float(self, fits: Callable[[Value], bool] = lambda value: True) -> Value:
        found = [value for value in self.floats[-10:] if fits(value)]
        return self.one_of(found[::-1]) if found else self.fresh(2, fits)

    def fresh(self, rank: int, fits: Callable[[Value], bool]) -> Value:
        value = self.input(*(self.size() for _ in range(rank)))
        if not fits(value):
            value = self.input(4, 3)
        self.floats.append(value)
        return value

    def take_exact(self) -> Value:
        return self.take_float(lambda value: value in self.exact)

    def take_matrix(self) -> Value:
        return self.take_float(lambda value: value.ndim == 2 and 0 not in value.shape)

    def partner(self, x: Value, exact: bool = False) -> Value:
        """A value that can be combined with ``x`` by broadcasting, without many more elements."""

        def fits(y: Value) -> bool:
            pairs = list(zip(x.shape[::-1], y.shape[::-1], strict=False))
            if exact and y not in self.exact:
                return False
            if any(a != b and 1 not in (a, b) for a, b in pairs):
                return False
            return prod(np.broadcast_shapes(x.shape, y.shape)) <= MOST_ELEMENTS

        found = [value for value in self.floats if fits(value)]
        kind = self.one_of(("known", "row", "column", "number"))
        if kind == "known" and found:
            return self.one_of(found[::-1])
        if kind == "number" or not x.shape:
            return self.builder.constant(np.asarray(self.one_of((0.5, -1.25, 2.0)), self.dtype))
        if kind == "column" and x.ndim > 1:
            return self.input(*x.shape[:-1], 1)
        return self.input(x.shape[-1])

    def bound(self, value: Value) -> float:
        return self.bounds.get(value, 2.0)  # numbers are at most 2


# ---- any operations

UNARY = (
    "tanh", "sigmoid", "erf", "sin", "cos", "negative", "abs", "stop_gradient", "exp", "expm1",
    "log", "log1p", "sqrt", "rsqrt",
)  # fmt: skip
LIMITS = {"exp": 7.4, "expm1": 6.4, "log": 4.2, "log1p": 4.2, "sqrt": 8.1, "rsqrt": 1.5}


def unary(m: Maker) -> None:
    x, name = m.take_float(), m.one_of(UNARY)
    if name in ("negative", "abs", "stop_gradient"):
        m.keep(getattr(ops, name)(x), m.bound(x), x in m.exact)
        return
    if name in ("exp", "expm1"):
        x = x * 0.25
    elif name in ("log", "log1p", "sqrt", "rsqrt"):
        x = x * x + 0.5
    m.keep(getattr(ops, name)(x), LIMITS.get(name, 1.0))


def rounded(m: Maker) -> None:
    x, name = m.take_exact(), m.one_of(("floor", "ceil", "round", "sign"))
    m.keep(getattr(ops, name)(x), m.bound(x) + 1, exact=m.bound(x) < 7)


def binary(m: Maker) -> None:
    x = m.take_float()
    y = m.partner(x)
    name = m.one_of(("add", "subtract", "multiply", "divide", "maximum", "minimum", "power"))
    bounds = {"add": m.bound(x) + m.bound(y), "multiply": m.bound(x) * m.bound(y)}
    bounds |= {"subtract": bounds["add"], "divide": 2 * m.bound(x), "power": LARGEST}
    if name == "divide":
        y = y * y + 0.5
    if name == "power":
        x, y = ops.sigmoid(x) + 0.5, ops.tanh(y)
    value = getattr(ops, name)(x, y)
    if name in ("maximum", "minimum"):
        m.keep(value, max(m.bound(x), m.bound(y)), x in m.exact and y in m.exact)
    else:
        m.keep(value, bounds[name])


def quarters(m: Maker) -> None:
    """Remainders and quotients of multiples of a quarter, which are exact."""
    x = ops.floor(m.take_exact() * 4.0) * 0.25
    name, divisor = m.one_of(("remainder", "floor_divide")), m.one_of((0.75, -1.5, 2.0))
    m.keep(getattr(ops, name)(x, divisor), 12.0 if name == "floor_divide" else 2.0)


def compare(m: Maker) -> None:
    x = m.take_exact()
    name = m.one_of(("less", "less_equal", "equal", "not_equal", "is_finite"))
    if name == "is_finite":
        m.booleans.append(ops.is_finite(m.take_float()))
    else:
        m.booleans.append(getattr(ops, name)(x, m.partner(x, exact=True)))


def choose(m: Maker) -> None:
    compare(m)
    condition = m.booleans[-1]
    others = [x for x in m.booleans[:-1] if x.shape == condition.shape]
    if others:
        name = m.one_of(("bitwise_and", "bitwise_or", "bitwise_xor"))
        condition = getattr(ops, name)(condition, others[-1])
    if m.one_of((False, True)):
        condition = ops.logical_not(condition)
    m.booleans.append(condition)
    x, y = m.partner(condition), m.partner(condition)
    if all(prod(v.shape) <= prod(condition.shape) for v in (x, y)):
        m.keep(ops.select(condition, x, y), max(m.bound(x), m.bound(y)))


def convert(m: Maker) -> None:
    whole = ops.convert(ops.round(m.take_exact()), m.one_of((INT32, INT64)))
    m.integers.append(whole)
    if m.booleans:
        m.keep(ops.convert(m.one_of(m.booleans), m.dtype), 1.0, exact=True)
    x = m.one_of(m.integers)
    kept = ops.bitwise_and(x, x.constant_like(7)) if x.dtype != BOOL else x
    m.keep(ops.convert(kept, m.dtype), 7.0, exact=True)


WHOLE = (
    "shift_left", "shift_right", "bitwise_xor", "add", "multiply", "subtract", "floor_divide",
    "remainder", "maximum", "minimum", "bitwise_or",
)  # fmt: skip


def whole_numbers(m: Maker) -> None:
    n, k = m.size(), m.size()
    dtype = m.one_of((UINT32, INT32, INT64))
    low, high = (0, 2**32 - 1) if dtype == UINT32 else (-(2**31), 2**31 - 1)
    x = m.input(n, k, low=low, high=high, dtype=dtype)
    y = m.one_of([v for v in m.integers if v.type == x.type] or [x])
    for _ in range(m.one_of((1, 2, 4))):
        name = m.one_of(WHOLE)
        if name.startswith("shift"):
            x = getattr(ops, name)(x, x.constant_like(m.one_of((3, 13, 17))))
        elif name in ("floor_divide", "remainder"):
            x = getattr(ops, name)(x, x.constant_like(m.one_of((3, 7, 1000))))
        else:
            x = getattr(ops, name)(x, y)
    m.integers.append(x)
    m.keep(ops.convert(ops.bitwise_and(x, x.constant_like(3)), m.dtype), 3.0, exact=True)


def layout(m: Maker) -> None:
    x = m.take_float(lambda value: value.ndim > 0)
    axis = m.one_of(range(x.ndim))
    n, shape = x.shape[axis], x.shape
    kind = m.one_of(("transpose", "slice", "flip", "reshape", "broadcast", "pad", "join", "fold"))
    if kind == "transpose":
        value = ops.transpose(x, tuple(range(x.ndim))[::-1])
    elif kind == "slice":
        start, step = m.one_of(range(n // 2 + 1)), m.one_of((1, 1, 2, 3))
        value = ops.slice_(
            x,
            tuple(start if a == axis else 0 for a in range(x.ndim)),
            shape,
            tuple(step if a == axis else 1 for a in range(x.ndim)),
        )
    elif kind == "flip":
        value = ops.flip(x, (axis,))
    elif kind == "reshape":
        value = ops.reshape(x, m.one_of(((prod(shape),), (1, *shape), (*shape, 1))))
    elif kind == "fold":
        new = (2, prod(shape) // 2) if prod(shape) % 2 == 0 else (prod(shape), 1)
        value = ops.reshape(x, new)
    elif kind == "broadcast":
        if 3 * prod(shape) > MOST_ELEMENTS:
            return
        value = ops.broadcast_to(x, (3, *shape))
    elif kind == "pad":
        each = [m.one_of((0, 1, 3)) if a == axis else 0 for a in range(x.ndim)]
        value = ops.pad(x, each, each[::-1], [m.one_of((0, 1)) for _ in each], 0.5)
    else:
        value = ops.concatenate((x, m.one_of((x, ops.flip(x, (axis,)), x * 0.5))), axis)
    if prod(value.shape) <= MOST_ELEMENTS:
        m.keep(value, m.bound(x), x in m.exact and kind != "join")


def reduce(m: Maker) -> None:
    x = m.take_float(lambda value: value.ndim > 0 and 0 not in value.shape)
    axes = m.one_of(((0,), (x.ndim - 1,), tuple(range(x.ndim)), tuple(range(1, x.ndim)) or (0,)))
    name = m.one_of(("reduce_sum", "reduce_sum", "reduce_max", "reduce_min", "reduce_product"))
    exact = x in m.exact and name in ("reduce_max", "reduce_min")
    source = ops.sigmoid(x) + 0.5 if name == "reduce_product" else x
    value = getattr(ops, name)(source, axes)
    count = prod(x.shape[a] for a in axes)
    if name == "reduce_sum":
        value = value * (1.0 / count)
    elif name == "reduce_product":
        value = ops.tanh(ops.log(value) * (1.0 / count))
    if m.one_of((True, False)):
        value = ops.keep_axes(value, axes, x.shape)
    m.keep(value, m.bound(x), exact)


def along_axis(m: Maker) -> None:
    name = m.one_of(("cumulative_sum", "argmax", "argmin", "argsort"))

    def fits(value: Value) -> bool:
        return value.ndim > 0 and 0 not in value.shape and value in m.exact

    x = m.take_float(fits)
    axis = m.one_of(range(x.ndim))
    if name == "cumulative_sum":
        reverse = m.one_of((False, True))
        m.keep(ops.cumulative_sum(x, axis, reverse), m.bound(x) * x.shape[axis])
    else:
        place = getattr(ops, name)(x, axis)
        m.integers.append(place)
        if name == "argsort" and place.ndim == 1:
            m.keep(ops.take(x, place, 0), m.bound(x), exact=True)


def index(m: Maker) -> None:
    x = m.take_float(lambda value: value.ndim > 0 and 0 not in value.shape)
    axis = m.one_of(range(x.ndim))
    count = m.one_of((5, 0, 1, 17))
    if prod(x.shape) // x.shape[axis] * count > MOST_ELEMENTS:
        return
    places = m.indices(x.shape[axis], count)
    picked = ops.take(x, places, axis)
    m.keep(picked, m.bound(x), x in m.exact)
    if m.one_of((True, False)):
        m.keep(ops.scatter_add(x, places, picked * 0.25, axis), m.bound(x) * (1 + count / 4))


def product(m: Maker) -> None:
    x = m.take_matrix()
    n, k = x.shape
    kind = m.one_of(("weights", "transposed weights", "own", "outer", "batch"))
    bound = m.bound(x)
    if kind == "weights":
        value = ops.matmul(x, m.input(k, m.size()))
    elif kind == "transposed weights":
        value = ops.matmul(x, ops.transpose(m.input(m.size(), k), (1, 0)))
    elif kind == "own":
        value, bound = ops.matmul(x, ops.transpose(x, (1, 0))), bound * bound / 2
    elif kind == "outer":
        value = ops.matmul(ops.transpose(x, (1, 0)), m.input(n, m.size()))
        k = n
    else:
        stack = m.input(2, k, m.one_of((3, 17)))
        value = ops.matmul(ops.broadcast_to(x, (2, n, k)) if n % 2 else x, stack)
    m.keep(value * (1.0 / k), 2 * bound)


def softmax(m: Maker) -> None:
    x = m.take_float(lambda value: value.ndim > 0 and 0 not in value.shape)
    m.keep(_softmax(x, m.one_of((x.ndim - 1, 0)), m.one_of((False, True))), LARGEST)


def normalize(m: Maker) -> None:
    x = m.take_float(lambda value: value.ndim > 0 and 0 not in value.shape)
    m.keep(_normalize(x, m.one_of((x.ndim - 1, 0))), 3 * m.bound(x))


def sources(m: Maker) -> None:
    n, k = m.size(), m.size()
    generator = np.random.default_rng(n)
    m.keep(m.builder.constant(generator.uniform(-1, 1, (n, k)).astype(m.dtype)), 1.0)
    count = m.builder.append(
        PRIMITIVES["iota"], (), {"shape": (n, k), "axis": m.one_of((0, 1)), "dtype": m.dtype}
    )
    m.keep(count * 0.0625, 2.5, exact=True)
    key, counters = generator.integers(0, 2**32, (2, 2), np.uint32)
    bits = ops.random_bits(m.builder.constant(key), m.builder.constant(counters), (n, k))
    low = m.builder.constant(np.asarray(24, np.uint32))
    m.keep(ops.convert(ops.shift_right(bits, low), m.dtype) * 2.0**-8, 1.0, exact=True)


MOVES: tuple[Callable[[Maker], None], ...] = (
    unary, binary, layout, reduce, product, softmax, normalize, choose, index, unary, binary,
    reduce, layout, along_axis, compare, convert, whole_numbers, rounded, quarters, sources,
)  # fmt: skip


def add_operations(m: Maker) -> list[Value]:
    """Any operations one after another; the outputs, among them inputs and views."""
    m.fresh(2, lambda value: True)
    for _ in range(m._draw(st.integers(1, 12))):
        m.one_of(MOVES)(m)
    everything = [*m.floats[::-1], *m.integers, *m.booleans]
    return [m.one_of(everything) for _ in range(m.one_of((1, 2, 3, 4)))]


# ---- networks


def _softmax(x: Value, axis: int, logarithm: bool = False) -> Value:
    def kept(y: Value) -> Value:
        return ops.keep_axes(y, (axis,), x.shape)

    shifted = x - ops.stop_gradient(kept(ops.reduce_max(x, (axis,))))
    total = kept(ops.reduce_sum(ops.exp(shifted), (axis,)))
    return shifted - ops.log(total) if logarithm else ops.exp(shifted) / total


def _normalize(x: Value, axis: int) -> Value:
    def mean(y: Value) -> Value:
        return ops.keep_axes(ops.reduce_sum(y, (axis,)), (axis,), x.shape) * (1 / x.shape[axis])

    centered = x - mean(x)
    return centered * ops.rsqrt(mean(centered * centered) + 0.5)


class Net(NamedTuple):
    outputs: Value
    parameters: list[Value]
    extra: list[Value]


TALL, NARROW = (65, 128, 200, 333), (4, 1, 2, 3, 8, 10, 17, 33)


def _forward(m: Maker) -> Net:
    tall = m.one_of((False, True))  # many rows of few numbers
    n = m.one_of(TALL) if tall else m.size()
    width = m.one_of(NARROW) if tall else m.size()
    parameters: list[Value] = []
    extra: list[Value] = []
    if m.one_of((False, False, False, True)):
        table = m.input(7, width)
        parameters.append(table)
        x = ops.take(table, m.indices(7, n), 0)
    else:
        x = m.input(n, width)
    smooth = ["tanh", "sigmoid", "erf", "softplus", "none"]
    activations = [*smooth, "relu"] if m.dtype.itemsize == 8 else smooth
    for _ in range(m.one_of((1, 2, 3))):
        before, width = x, m.one_of(NARROW) if tall else m.size()
        weights, bias = m.input(x.shape[1], width), m.input(width)
        parameters += [weights, bias]
        x = ops.matmul(x, weights) * (1.0 / x.shape[1]) + bias
        x = activated(x, m.one_of(activations))
        addition = m.one_of(("none", "none", "residual", "rows", "columns", "dropout", "scale"))
        if addition == "residual" and before.shape == x.shape:
            x = x + before
        elif addition in ("rows", "columns"):
            x = _normalize(x, 1 if addition == "rows" else 0)
            parameters.append(m.input(width))
            x = x * parameters[-1]
        elif addition == "dropout":
            bits = m.input(n, width, low=0, high=2**32 - 1, dtype=UINT32)
            bits = ops.bitwise_xor(bits, ops.shift_right(bits, 13))
            x = ops.select(ops.less(bits, 3_000_000_000), x * 1.4, x.constant_like(0))
        # The mean of a centred column is 0 but for rounding, which no bound relative to it holds.
        summed = x * x if addition == "columns" else x
        mean = ops.reduce_sum(summed, (0,)) * (1 / n)
        extra.append(m.one_of((x, ops.transpose(x, (1, 0)), mean)))
    return Net(x, parameters, extra)


def activated(x: Value, name: str) -> Value:
    if name == "softplus":
        return ops.maximum(x, 0.0) + ops.log1p(ops.exp(ops.negative(ops.abs(x))))
    if name == "relu":
        return ops.maximum(x, 0.0)
    return x if name == "none" else getattr(ops, name)(x)


def _loss(m: Maker, outputs: Value) -> Value:
    n, width = outputs.shape
    kind = m.one_of(("squares", "classes", "two classes", "weighted"))
    if kind == "classes":
        labels = m.input(n, 1, low=0, high=width, dtype=INT64)
        numbers = m.builder.append(
            PRIMITIVES["iota"], (), {"shape": (n, width), "axis": 1, "dtype": INT64}
        )
        hits = ops.convert(ops.equal(labels, numbers), m.dtype)
        picked = ops.reduce_sum(_softmax(outputs, 1, logarithm=True) * hits, (0, 1))
        return ops.negative(picked) * (1 / n)
    target = m.input(n, width)
    if kind == "two classes":
        each = ops.log1p(ops.exp(ops.negative(ops.abs(outputs)))) - outputs * target
    else:
        each = (outputs - target) * (outputs - target)
    if kind == "weighted":
        each = each * m.input(n, 1, low=0.5, high=1.5)
    return ops.reduce_sum(each, (0, 1)) * (1 / (n * width))


def add_network(m: Maker) -> list[Value]:
    """A network, its loss, gradients and an optimizer's update of its parameters and state."""
    first = len(m.builder.nodes)
    return trained(m, _forward(m), first)


def trained(m: Maker, net: Net, first: int) -> list[Value]:
    """The outputs of a training step of a network, which begins at node ``first``."""
    loss = _loss(m, net.outputs)
    nodes = m.builder.nodes[first:]
    found = backpropagate(nodes, [(loss, loss.constant_like(1))], net.parameters)
    gradients = [g for g in found if g is not None]
    if m.one_of((False, True)):
        total = gradients[0].constant_like(0.01)
        for g in gradients:
            total = total + ops.reduce_sum(g * g, range(g.ndim))
        limit = ops.minimum(ops.rsqrt(total) * 0.5, 1.0)
        gradients = [g * limit for g in gradients]
    outputs = [loss, *net.extra[:2]]
    rule = m.one_of(("plain", "momentum", "adam", "gradients"))
    for x, g in zip(net.parameters, gradients, strict=True):
        if rule == "gradients":
            outputs.append(g)
        elif rule == "plain":
            outputs.append(x - g * 0.1)
        else:
            first_moment = m.input(*x.shape) * 0.9 + g
            outputs.append(first_moment)
            if rule == "momentum":
                outputs.append(x - first_moment * 0.1)
                continue
            second = m.input(*x.shape, low=0.1, high=1.0) * 0.99 + g * g * 0.01
            outputs += [second, x - first_moment * 0.01 / (ops.sqrt(second) + 0.001)]
    return outputs


# ---- all together


@st.composite
def cases(
    draw: Any, dtype: str, count: int, kinds: Sequence[Callable[[Maker], list[Value]]] = ()
) -> Case:
    """``count`` random graphs beside each other in one."""
    kinds = kinds or (add_operations, add_operations, add_network)
    builder = GraphBuilder("random")
    outputs: list[Value] = []
    ranges: dict[Value, tuple[float, float]] = {}
    for _ in range(count):
        maker = Maker(draw, builder, np.dtype(dtype))
        add = maker.one_of(kinds)
        outputs += add(maker)
        ranges |= maker.ranges
    graph = builder.finish(outputs)
    limits = [ranges[value] for value in graph.inputs]
    return Case(optimize(graph) if draw(st.booleans()) else graph, limits)
