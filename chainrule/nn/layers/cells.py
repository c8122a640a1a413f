"""Cells: what a recurrent layer does in one step of time."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Unpack

from chainrule.nn import activations, initializers, regularizers
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import truth, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, functions

State = tuple[Tensor, ...]


class Cell(Layer):
    """Base of the cells: one step of time, from an input and a state to an output and a state.

    A cell of your own says how wide its states are, in ``state_sizes``, and computes a step:
    ``call(inputs, state)``, with inputs (N, features) and a tuple of states, returns the output and
    the tuple of new states. It may use ``training``, other layers, variables and random numbers. A
    ``call`` that names ``recurrent_mask`` is given what to multiply the first state by, or None
    (see ``recurrent_dropout`` in `RNN`). ``RNN`` traces the step once and repeats it.

    Args:
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Example:
        >>> import chainrule as cr
        >>> class Decay(cr.layers.Cell):
        ...     def build(self, input_shape):
        ...         self.rate = self.add_weight("rate", (input_shape[-1],), "zeros")
        ...         self.state_sizes = (input_shape[-1],)
        ...
        ...     def call(self, inputs, state):
        ...         kept = cr.sigmoid(self.rate)
        ...         mean = kept * state[0] + (1 - kept) * inputs
        ...         return mean, (mean,)
        >>> cr.layers.RNN(Decay())(cr.ones((1, 3, 2))).numpy().tolist()
        [[0.875, 0.875]]
    """

    # The width of each state, known once the cell is built; a tuple where a state has more axes.
    state_sizes: Sequence[int | tuple[int, ...]]
    # True saves carrying the last output beside the states.
    output_is_first_state: ClassVar[bool] = False

    def initial_state(self, rows: int) -> State:
        """The state before the first step; override it for one that is learned.

        Args:
            rows: how many examples there are.

        Returns:
            A tensor of zeros (rows, size) for each of ``state_sizes``.
        """
        shapes = [(n,) if isinstance(n, int) else tuple(n) for n in self.state_sizes]
        return tuple(functions.zeros((rows, *shape), self.dtype) for shape in shapes)


class CellOptions(LayerOptions, total=False):
    """The arguments that all cells of this library take."""

    use_bias: bool
    kernel_initializer: Any
    recurrent_initializer: Any
    bias_initializer: Any
    kernel_regularizer: Any
    recurrent_regularizer: Any
    bias_regularizer: Any


class _KernelCell(Cell):
    """A cell with one kernel for its input and one for its state, the gates side by side."""

    output_is_first_state = True
    gates: ClassVar[int] = 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.units = whole_number(self.name, "units", units)
        self.activation: Callable[[Tensor], Tensor] = activations.get(activation)
        self.use_bias = truth(self.name, "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.state_sizes = (self.units,)

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise wrong_input_shape(
                self.where, input_shape, "(batch, features)",
                "give a cell one step of time; cr.layers.RNN(cell) takes sequences",
            )  # fmt: skip
        width = self.gates * self.units
        self.kernel = self.add_weight(
            "kernel", (input_shape[-1], width), self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )  # fmt: skip
        self.recurrent_kernel = self.add_weight(
            "recurrent_kernel", (self.units, width), self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
        )  # fmt: skip
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", (width,), self._first_bias, regularizer=self.bias_regularizer
            )

    def _first_bias(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        return initializers.drawn(self.bias_initializer, shape, dtype, key)

    def _from_inputs(self, inputs: Tensor) -> Tensor:
        """What the inputs add to all gates."""
        rows = functions.matmul(inputs, self.kernel)
        return rows + self.bias if self.use_bias else rows

    def _gate(self, values: Tensor, place: int) -> Tensor:
        return values[:, place * self.units : (place + 1) * self.units]


def _masked(state: Tensor, recurrent_mask: Tensor | None) -> Tensor:
    return state if recurrent_mask is None else state * recurrent_mask


@register
class SimpleRNNCell(_KernelCell):
    """The simplest recurrent cell: its output is its state.

    h' = activation(x @ kernel + h @ recurrent_kernel + bias)

    Shapes: x (N, features), h (N, units), kernel (features, units), recurrent_kernel
    (units, units), bias (units,).

    Args:
        units: width of the state.
        activation: name or function. Default "tanh".
        use_bias: whether to add a bias. Default True.
        kernel_initializer: first values of the kernel. Default "glorot_uniform".
        recurrent_initializer: first values of the recurrent kernel. Default "orthogonal".
        bias_initializer: first values of the bias. Default "zeros".
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties. Default None.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: units is not a whole number of at least 1.
        ShapeError: the input is not (N, features).

    Example:
        >>> import chainrule as cr
        >>> cell = cr.layers.SimpleRNNCell(4)
        >>> output, state = cell(cr.ones((2, 3)), (cr.zeros((2, 4)),))
        >>> output.shape, len(state)
        ((2, 4), 1)

    Reference: Elman, "Finding structure in time", 1990.
    """

    def call(
        self, inputs: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden = _masked(state[0], recurrent_mask)
        sums = self._from_inputs(inputs) + functions.matmul(hidden, self.recurrent_kernel)
        hidden = self.activation(sums)
        return hidden, (hidden,)


class _GatedCell(_KernelCell):
    """A cell with gates, which have an activation of their own."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__(units, activation, **options)
        self.recurrent_activation: Callable[[Tensor], Tensor] = activations.get(
            recurrent_activation
        )


@register
class LSTMCell(_GatedCell):
    """Long short-term memory: a sum that gates write to, erase and read.

    s = x @ kernel + h @ recurrent_kernel + bias = (i, f, g, o)

    c' = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)

    h' = recurrent_activation(o) * activation(c')

    Shapes: x (N, features), h and c (N, units), kernel (features, 4 * units), recurrent_kernel
    (units, 4 * units), bias (4 * units,); the gates in the order i, f, g, o.

    Args:
        units: width of each of the two states.
        activation: of the candidate and of the output; name or function. Default "tanh".
        recurrent_activation: of the gates. Default "sigmoid".
        unit_forget_bias: start the bias of the gate f with ones, so that the cell remembers at
            first. Default True.
        options: as in `SimpleRNNCell`: ``use_bias``, initializers, regularizers, ``name``,
            ``dtype``, ``trainable``.

    Raises:
        ArgumentError: units is not a whole number of at least 1.
        ShapeError: the input is not (N, features).

    Example:
        >>> import chainrule as cr
        >>> cell = cr.layers.LSTMCell(4)
        >>> output, (h, c) = cell(cr.ones((2, 3)), cell.initial_state(2))
        >>> output.shape, c.shape
        ((2, 4), (2, 4))

    Different from PyTorch: one bias, the sum of its two; kernels are transposed.
    Reference: Hochreiter and Schmidhuber, "Long short-term memory", 1997; the gate f: Gers,
    Schmidhuber and Cummins, "Learning to forget", 2000.
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        unit_forget_bias: bool = True,
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__(units, activation, recurrent_activation, **options)
        self.unit_forget_bias = truth(self.name, "unit_forget_bias", unit_forget_bias)
        self.state_sizes = (self.units, self.units)

    def _first_bias(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        bias = super()._first_bias(shape, dtype, key)
        if not self.unit_forget_bias:
            return bias
        ones = functions.ones((self.units,), dtype)
        return functions.concatenate([bias[: self.units], ones, bias[2 * self.units :]], 0)

    def call(
        self, inputs: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden, memory = _masked(state[0], recurrent_mask), state[1]
        sums = self._from_inputs(inputs) + functions.matmul(hidden, self.recurrent_kernel)
        i, f, g, o = (self._gate(sums, place) for place in range(4))
        gate, activation = self.recurrent_activation, self.activation
        memory = gate(f) * memory + gate(i) * activation(g)
        hidden = gate(o) * activation(memory)
        return hidden, (hidden, memory)


@register
class GRUCell(_GatedCell):
    """Gated recurrent unit: the new state is a mean of the old one and a candidate.

    z = recurrent_activation(x @ K_z + b_z + h @ R_z + c_z), r in the same way

    g = activation(x @ K_h + b_h + r * (h @ R_h + c_h)) with ``reset_after``, else
    activation(x @ K_h + b_h + (r * h) @ R_h)

    h' = z * h + (1 - z) * g

    Shapes: x (N, features), h (N, units), kernel (features, 3 * units), recurrent_kernel
    (units, 3 * units), bias and recurrent_bias (3 * units,); the gates in the order z, r, h. Only
    ``reset_after`` has the recurrent bias c.

    Args:
        units: width of the state.
        activation: of the candidate; name or function. Default "tanh".
        recurrent_activation: of the gates. Default "sigmoid".
        reset_after: apply the gate r after the product with the recurrent kernel, as cuDNN, PyTorch
            and Keras do, instead of before it, as in the paper. Default True.
        options: as in `SimpleRNNCell`: ``use_bias``, initializers, regularizers, ``name``,
            ``dtype``, ``trainable``.

    Raises:
        ArgumentError: units is not a whole number of at least 1.
        ShapeError: the input is not (N, features).

    Example:
        >>> import chainrule as cr
        >>> cell = cr.layers.GRUCell(4)
        >>> output, state = cell(cr.ones((2, 3)), cell.initial_state(2))
        >>> output.shape
        (2, 4)

    Different from Keras: the two biases are variables of their own. Different from PyTorch: the
    order of the gates, and kernels are transposed.
    Reference: Cho et al., "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", 2014, version 1 for ``reset_after``, version 3 without.
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        reset_after: bool = True,
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__(units, activation, recurrent_activation, **options)
        self.reset_after = truth(self.name, "reset_after", reset_after)

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        if self.use_bias and self.reset_after:
            self.recurrent_bias = self.add_weight(
                "recurrent_bias", (3 * self.units,), self._first_bias,
                regularizer=self.bias_regularizer,
            )  # fmt: skip

    def call(
        self, inputs: Tensor, state: State, recurrent_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden = _masked(state[0], recurrent_mask)
        ahead = self._from_inputs(inputs)
        gates, candidate = self._sums(ahead, hidden)
        z = self.recurrent_activation(self._gate(gates, 0))
        new = self.activation(candidate)
        hidden = z * state[0] + (1 - z) * new
        return hidden, (hidden,)

    def _sums(self, ahead: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The sums of the gates z and r, and of the candidate."""
        both = 2 * self.units
        if self.reset_after:
            behind = functions.matmul(hidden, self.recurrent_kernel)
            behind = behind + self.recurrent_bias if self.use_bias else behind
            gates = ahead[:, :both] + behind[:, :both]
            reset = self.recurrent_activation(self._gate(gates, 1))
            return gates, ahead[:, both:] + reset * behind[:, both:]
        kernel = self.recurrent_kernel
        gates = ahead[:, :both] + functions.matmul(hidden, kernel[:, :both])
        reset = self.recurrent_activation(self._gate(gates, 1))
        return gates, ahead[:, both:] + functions.matmul(reset * hidden, kernel[:, both:])
