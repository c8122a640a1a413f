"""Recurrent layers against the published equations, written again in NumPy; states, options."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ShapeError, StateError

BACKENDS = ["reference", "cpu"]
RNG = np.random.default_rng(23)
ROWS, STEPS, WIDTH, UNITS = 3, 5, 4, 3
X = RNG.standard_normal((ROWS, STEPS, WIDTH))
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 1]], bool)
KINDS = ["SimpleRNN", "LSTM", "GRU", "GRU, reset before"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with cr.settings(backend=request.param):
        yield request.param


def make(kind: str, **options: Any) -> cr.Layer:
    if kind == "GRU, reset before":
        options["reset_after"] = False
    return getattr(cr.layers, kind.partition(",")[0])(UNITS, dtype="float64", **options)


def randomized(layer: cr.Layer, *arguments: Any, **options: Any) -> cr.Layer:
    """The layer built, with random values in all variables, biases too."""
    layer(*arguments, **options)
    rng = np.random.default_rng(5)
    layer.set_weights([0.5 * rng.standard_normal(v.shape) for v in layer.variables])
    return layer


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def numpy_step(kind: str, cell: Any, x: Any, state: Any) -> tuple[Any, Any]:
    """One step as the papers write it, gate by gate."""
    n = cell.units
    h = state[0]

    def part(place: int, name: str) -> Any:
        return getattr(cell, name).numpy()[..., place * n : (place + 1) * n]

    def gate(place: int) -> Any:
        total = x @ part(place, "kernel") + h @ part(place, "recurrent_kernel")
        total += part(place, "bias")
        if kind == "GRU":
            total += part(place, "recurrent_bias")
        return total

    if kind == "SimpleRNN":
        h = np.tanh(gate(0))
        return h, (h,)
    if kind == "LSTM":
        c = sigmoid(gate(1)) * state[1] + sigmoid(gate(0)) * np.tanh(gate(2))
        h = sigmoid(gate(3)) * np.tanh(c)
        return h, (h, c)
    z, r = sigmoid(gate(0)), sigmoid(gate(1))
    ahead = x @ part(2, "kernel") + part(2, "bias")
    if kind == "GRU":
        new = ahead + r * (h @ part(2, "recurrent_kernel") + part(2, "recurrent_bias"))
    else:
        new = ahead + (r * h) @ part(2, "recurrent_kernel")
    h = z * h + (1 - z) * np.tanh(new)
    return h, (h,)


def numpy_loop(
    kind: str, cell: Any, x: Any, mask: Any, first: Any = None, backwards: bool = False
) -> tuple[Any, Any]:
    """All outputs (N, time, units), zero where masked, and the last state, row by row."""
    outputs, ends = np.zeros((*x.shape[:2], cell.units)), []
    for row in range(len(x)):
        state = [np.zeros(cell.units) for _ in cell.state_sizes]
        state = state if first is None else [part[row] for part in first]
        steps = [t for t in range(x.shape[1]) if mask is None or mask[row, t]]
        for t in reversed(steps) if backwards else steps:
            outputs[row, t], state = numpy_step(kind, cell, x[row, t], state)
        ends.append(state)
    return outputs, [np.stack(parts) for parts in zip(*ends, strict=True)]


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-11, atol=1e-12)


# ---- the equations


@pytest.mark.parametrize("mask", [None, MASK], ids=["all steps", "masked"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_equations(kind: str, backwards: bool, mask: Any, backend: str) -> None:
    layer = make(kind, return_sequences=True, return_state=True, go_backwards=backwards)
    randomized(layer, X)
    first = tuple(RNG.standard_normal((ROWS, UNITS)) for _ in layer.cell.state_sizes)
    outputs, state = cr.jit(lambda x: layer(x, mask=mask, initial_state=first))(X)
    expected, end = numpy_loop(kind, layer.cell, X, mask, first, backwards)
    close(outputs, expected)
    for found, part in zip(state, end, strict=True):
        close(found, part)
    layer.return_sequences = False
    close(layer(X, mask=mask, initial_state=first)[0], end[0])


@pytest.mark.parametrize("merge", ["concat", "sum", "mean"])
def test_both_directions_and_two_levels(merge: str, backend: str) -> None:
    layer = make("LSTM", num_layers=2, bidirectional=True, merge=merge, return_sequences=True)
    randomized(layer, X)
    sequence = X
    for ahead, back in zip(layer.cell, layer.backward_cell, strict=True):
        both = [
            numpy_loop("LSTM", ahead, sequence, MASK)[0],
            numpy_loop("LSTM", back, sequence, MASK, backwards=True)[0],
        ]
        sequence = {
            "concat": np.concatenate(both, -1),
            "sum": both[0] + both[1],
            "mean": (both[0] + both[1]) / 2,
        }[merge]
    close(cr.jit(lambda x: layer(x, mask=MASK))(X), sequence)
    assert layer.compute_output_shape((None, STEPS, WIDTH)) == (None, *sequence.shape[1:])


def test_initial_values() -> None:
    layer = cr.layers.LSTM(UNITS)
    layer(X)
    cell = layer.cell
    bias = cell.bias.numpy()
    assert bias.tolist() == [0.0] * UNITS + [1.0] * UNITS + [0.0] * 2 * UNITS
    kernel = cell.recurrent_kernel.numpy()
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(UNITS), atol=1e-6)
    plain = cr.layers.LSTM(UNITS, unit_forget_bias=False)
    plain(X)
    assert not plain.cell.bias.numpy().any()


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_names_of_pytorch(kind: str) -> None:
    layer = getattr(cr.layers, kind)(hidden_size=4, bias=False)
    assert (layer.units, layer.use_bias) == (4, False)


# ---- cells of a user


class Counter(cr.layers.Cell):
    """Puts out something else than its states, which have two shapes."""

    state_sizes = (2, (2, 3))

    def build(self, input_shape: Any) -> None:
        self.project = cr.layers.Dense(2, use_bias=False, dtype=self.dtype)
        self.first = self.add_weight("first", (2,), "ones")

    def initial_state(self, rows: int) -> tuple[cr.Tensor, ...]:
        first = cr.broadcast_to(self.first, (rows, 2))
        return first, cr.zeros((rows, 2, 3), self.dtype)

    def call(self, inputs: cr.Tensor, state: Any) -> Any:
        total = state[0] + self.project(inputs)
        table = state[1] + cr.expand_dims(total, -1)
        return cr.sum(table, -1) + 1, (total, table)


def numpy_counter(cell: Any, x: Any, mask: Any) -> Any:
    outputs, last = np.zeros((*x.shape[:2], 2)), np.zeros((len(x), 2))
    for row in range(len(x)):
        total, table = cell.first.numpy(), np.zeros(2)
        for t in np.flatnonzero(mask[row]):
            total = total + x[row, t] @ cell.project.kernel.numpy()
            table = table + total
            outputs[row, t] = last[row] = 3 * table + 1
    return outputs, last


def test_a_cell_of_ones_own(backend: str) -> None:
    layer = cr.layers.RNN(Counter(), dtype="float64")
    mask = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 1, 0, 1, 0]], bool)
    randomized(layer, X)
    every, last = numpy_counter(layer.cell, X, mask)
    close(cr.jit(lambda x: layer(x, mask=mask))(X), last)
    layer.return_sequences = True
    close(cr.jit(lambda x: layer(x, mask=mask))(X), every)
    assert [v.path for v in layer.variables] == ["cell/first", "cell/project/kernel"]


def test_the_first_state_is_learned() -> None:
    layer = randomized(cr.layers.RNN(Counter(), dtype="float64"), X)
    with cr.GradientTape() as tape:
        total = cr.sum(layer(X))
    # Each row: 3 * (5 sums, each with the first state in it).
    close(tape.gradient(total, layer.cell.first), [3.0 * STEPS * ROWS] * 2)


def test_dropout_in_a_cell_is_drawn_anew_at_each_step() -> None:
    class Noisy(cr.layers.Cell):
        state_sizes = (WIDTH,)

        def build(self, input_shape: Any) -> None:
            self.dropout = cr.layers.Dropout(0.5)

        def call(self, inputs: cr.Tensor, state: Any) -> Any:
            kept = self.dropout(inputs)
            return kept, (state[0] + kept,)

    layer = cr.layers.RNN(Noisy(), return_sequences=True)
    drawn = layer(np.ones((8, 6, WIDTH), "float32"), training=True).numpy()
    assert len({drawn[:, t].tobytes() for t in range(6)}) == 6
    assert layer(X).shape == (ROWS, STEPS, WIDTH)


# ---- states


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_in_two_parts(kind: str) -> None:
    layer = randomized(make(kind, num_layers=2, return_sequences=True, return_state=True), X)
    whole, end = layer(X)
    first, state = layer(X[:, :2])
    second, state = layer(X[:, 2:], initial_state=state)
    close(np.concatenate([first, second], 1), whole.numpy())
    close(np.asarray(state[1][0]), end[1][0].numpy())


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_stateful(kind: str, jitted: bool, backend: str) -> None:
    layer = make(kind, return_sequences=True, stateful=True, batch_size=ROWS, num_layers=2)
    layer.ensure_built((None, STEPS, WIDTH))
    plain = make(kind, return_sequences=True, num_layers=2)
    plain(X)
    for mine, other in zip(plain.variables, layer.trainable_variables, strict=True):
        mine.assign(other)
    run = cr.jit(layer) if jitted else layer
    whole = plain(X).numpy()
    for _ in range(2):
        parts = [run(X[:, t : t + 1]).numpy() for t in range(STEPS)]
        close(np.concatenate(parts, 1), whole)
        # Another number of rows starts afresh and leaves the state alone.
        close(layer(X[:2]), whole[:2])
        layer.reset_states()


def test_stateful_gradients_end_at_the_batch() -> None:
    layer = make("SimpleRNN", stateful=True, batch_size=ROWS)
    x = cr.Variable(X[:, :2])
    with cr.GradientTape() as tape:
        layer(x)
        total = cr.sum(layer(X[:, 2:]))
    through = tape.gradient(total, x)
    assert through is not None
    assert np.abs(through.numpy()).max() > 0
    with cr.GradientTape() as tape:
        total = cr.sum(layer(X))
    assert tape.gradient(total, x) is None


# ---- dropout


def test_dropout_drops_the_same_inputs_at_all_steps() -> None:
    class Through(cr.layers.Cell):
        state_sizes = (1,)

        def call(self, inputs: cr.Tensor, state: Any) -> Any:
            return inputs, state

    layer = cr.layers.RNN(Through(), dropout=0.5, return_sequences=True, seed=3)
    ones = np.ones((16, STEPS, WIDTH), "float32")
    drawn = layer(ones, training=True).numpy()
    assert set(drawn.ravel()) == {0.0, 2.0}
    assert (drawn == drawn[:, :1]).all()
    assert 0.3 < drawn[:, 0].mean() / 2 < 0.7
    assert (layer(ones).numpy() == 1).all()
    assert (layer(ones, training=True).numpy() != drawn).any()


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_dropout(kind: str) -> None:
    """With one state in two dropped, the others doubled: the layer with a masked kernel."""
    layer = randomized(make(kind, recurrent_dropout=0.5, seed=1), X)
    layer.generator.reset(7)
    found = layer(X, training=True).numpy()
    layer.generator.reset(7)
    factors = layer._drawn(0.5, (ROWS, UNITS)).numpy()
    assert 0 < (factors == 0).sum() < factors.size
    kernel = layer.cell.recurrent_kernel
    before = kernel.numpy()
    for row in range(ROWS):
        kernel.assign(before * factors[row][:, None])
        close(found[row : row + 1], layer(X[row : row + 1]).numpy())


# ---- mistakes

MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "rank": (lambda: cr.layers.LSTM(2)(X[0]), ShapeError, "expected (batch, time, features)"),
    "width": (lambda: _twice(X, X[..., :2]), ShapeError, "expected (batch, time, 4)"),
    "no steps": (lambda: cr.layers.LSTM(2)(X[:, :0]), ShapeError, "at least one step"),
    "merge": (lambda: cr.layers.GRU(2, merge="product"), ArgumentError, "concat"),
    "directions": (
        lambda: cr.layers.GRU(2, bidirectional=True, go_backwards=True),
        ArgumentError, "bidirectional and go_backwards",
    ),
    "stateful": (lambda: cr.layers.GRU(2, stateful=True), ArgumentError, "batch_size=None"),
    "batch_size": (lambda: cr.layers.GRU(2, batch_size=3), ArgumentError, "stateful=False"),
    "stateful backwards": (
        lambda: cr.layers.GRU(2, stateful=True, batch_size=2, go_backwards=True),
        ArgumentError, "stateful alone",
    ),
    "reset": (lambda: cr.layers.GRU(2).reset_states(), StateError, "stateful=True"),
    "not a cell": (lambda: cr.layers.RNN(cr.layers.Dense(2)), ArgumentError, "cr.layers.Cell"),
    "mask shape": (
        lambda: cr.layers.LSTM(2)(X, mask=MASK[:, :3]), ShapeError, "got (3, 3), expected (3, 5)",
    ),
    "mask of floats": (lambda: cr.layers.LSTM(2)(X, mask=MASK * 1.0), Exception, "mask > 0"),
    "state shape": (
        lambda: cr.layers.LSTM(2)(X, initial_state=(X[:, 0], X[:, 0])),
        ShapeError, "expected shapes ((3, 2), (3, 2))",
    ),
    "states": (
        lambda: cr.layers.LSTM(2, num_layers=2)(X, initial_state=(X[:, 0, :2],)),
        ShapeError, "return_state=True",
    ),
    "units": (lambda: cr.layers.SimpleRNN(0), ArgumentError, "bad units"),
    "a cell alone": (
        lambda: cr.layers.GRUCell(2)(X, (X[:, 0],)), ShapeError, "cr.layers.RNN(cell)",
    ),
    "recurrent dropout": (
        lambda: cr.layers.RNN(Counter(), recurrent_dropout=0.5)(X), ArgumentError, "recurrent_mask",
    ),
}  # fmt: skip


def _twice(first: Any, second: Any) -> None:
    layer = cr.layers.LSTM(2)
    layer(first)
    layer(second)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    cause, kind, text = MISTAKES[name]
    with pytest.raises(kind) as caught:
        cause()
    assert text in str(caught.value), str(caught.value)


def test_a_cell_that_returns_something_else() -> None:
    class Lone(cr.layers.Cell):
        state_sizes = (2,)

        def call(self, inputs: cr.Tensor, state: Any) -> Any:
            return state[0]

    with pytest.raises(ArgumentError, match="a cell's call returns something else: got Tensor"):
        cr.layers.RNN(Lone())(X)
