"""Recurrent layers: RNN over cells of your own, SimpleRNN, LSTM and GRU."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Unpack

from chainrule.errors import ArgumentError
from chainrule.nn import activations, initializers, regularizers
from chainrule.nn.configurable import also_accept, constructor_parameters
from chainrule.nn.layer import LayerOptions, Shape
from chainrule.nn.layers.cells import Cell, CellOptions, GRUCell, LSTMCell, SimpleRNNCell
from chainrule.nn.layers.recurrent_base import Recurrent, RecurrentOptions, check_sequences
from chainrule.nn.registry import register
from chainrule.nn.validate import truth, whole_number
from chainrule.tensor import Tensor


@register
class RNN(Recurrent):
    """Repeat a cell over the steps of a sequence.

    y_t, s_t = cell(x_t, s_{t-1})

    Shapes: x (N, time, features); y (N, units), the output of the last step, or (N, time, units)
    with ``return_sequences``; with ``bidirectional`` and the merge "concat" 2 * units.

    Args:
        cell: what a step does (see `Cell`), or a list of cells, one above the other.
        bidirectional: a second pass from the end to the start, by a cell of the same config with
            variables of its own. Default False.
        merge: how the outputs of both directions become one: "concat", "sum" or "mean". Default
            "concat".
        return_sequences: give the outputs of all steps. Default False: of the last.
        return_state: give (y, state), the state as a tuple of tensors (N, units) as the cell has
            it; of several cells a list of such tuples, of each level the forward cell first.
            Default False.
        go_backwards: start at the last step; outputs stand where their inputs stand. Default False.
        dropout: the share of the inputs of each cell that is dropped during training, the same for
            all steps. Default 0.
        recurrent_dropout: the share of the (first) state that is dropped during training where it
            enters the products, the same for all steps. Default 0.
        stateful: start each batch with the last state of the batch before; see `reset_states`.
            Default False.
        batch_size: the number of rows of a batch, needed for ``stateful``. A call with another
            number of rows starts afresh and keeps nothing. Default None.
        seed: a fixed seed for dropout. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    A call takes besides the inputs: ``mask`` (N, time), True for the steps that are there. The
    state passes the others unchanged, and their outputs are zero. What they hold, NaN too, reaches
    no output and no gradient. So the output "of the last step" is that of the last valid one,
    and the second direction starts there. A row without valid steps keeps the first state.
    ``initial_state``: the first state, as ``return_state`` gives it.

    Raises:
        ArgumentError: arguments that do not go together.
        ShapeError: the input is not (N, time, features); a mask or state of another shape.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.RNN(cr.layers.LSTMCell(4), return_sequences=True)
        >>> layer(cr.ones((2, 5, 3)), mask=cr.sequence_mask([5, 2], 5)).shape
        (2, 5, 4)

    Different from Keras: outputs of masked steps are zero (as PyTorch's packed sequences are when
    padded) instead of repeated, and ``go_backwards`` does not turn the outputs round.
    Different from PyTorch: batch first; dropout goes before every level, not between them only, and
    drops the same inputs in all steps (Gal and Ghahramani, "A theoretically grounded application of
    dropout in recurrent neural networks", 2016).
    """

    def __init__(self, cell: Cell | Sequence[Cell], **options: Unpack[RecurrentOptions]) -> None:
        super().__init__(**options)
        given = list(cell) if isinstance(cell, (list, tuple)) else [cell]
        for one in given:
            if not isinstance(one, Cell):
                raise ArgumentError(
                    self.name, "not a cell", got=repr(one)[:80], expected="a cr.layers.Cell",
                    fix="derive the class from cr.layers.Cell, or use cr.layers.LSTM(units)",
                )  # fmt: skip
        self.cell = given if isinstance(cell, (list, tuple)) else cell

    def make_cells(self) -> None:
        if self.bidirectional:
            self.backward_cell = _again(self.cell)


def _again(cell: Any) -> Any:
    """Cells like these, with variables of their own."""
    if isinstance(cell, list):
        return [_again(one) for one in cell]
    if cell.built:
        raise ArgumentError(
            cell.where, "a cell that already has variables cannot get a second direction",
            got="a built cell", expected="a new cell",
        )  # fmt: skip
    return copy.deepcopy(cell)


class UnitsOptions(RecurrentOptions, CellOptions, total=False):
    """The arguments that SimpleRNN, LSTM and GRU take."""

    num_layers: int


class _OverUnits(Recurrent):
    """A recurrent layer over cells of one of this library's classes."""

    cell_class: ClassVar[type[Cell]]

    @also_accept(hidden_size="units", bias="use_bias")
    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        *,
        use_bias: bool = True,
        num_layers: int = 1,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(**options)
        self.units = whole_number(self.name, "units", units)
        self.activation: Callable[[Tensor], Tensor] = activations.get(activation)
        self.use_bias = truth(self.name, "use_bias", use_bias)
        self.num_layers = whole_number(self.name, "num_layers", num_layers)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    def make_cells(self) -> None:
        self.cell = self._cells_of_one_direction()
        if self.bidirectional:
            self.backward_cell = self._cells_of_one_direction()

    def _cells_of_one_direction(self) -> Any:
        names = set(constructor_parameters(self.cell_class)) - set(LayerOptions.__annotations__)
        arguments: dict[str, Any] = {name: getattr(self, name) for name in names}
        cells = [self.cell_class(**arguments, dtype=self.dtype) for _ in range(self.num_layers)]
        return cells if len(cells) > 1 else cells[0]

    def compute_output_shape(self, input_shape: Shape) -> Any:
        if self.return_state:
            return super().compute_output_shape(input_shape)
        check_sequences(self, input_shape)
        steps = (input_shape[1],) if self.return_sequences else ()
        return (input_shape[0], *steps, self._width(self.units))


@register
class SimpleRNN(_OverUnits):
    """The simplest recurrent layer, Elman's: what it saw long ago fades, and so do its gradients.

    h_t = activation(x_t @ kernel + h_{t-1} @ recurrent_kernel + bias)

    Shapes: x (N, time, features); y (N, units) or (N, time, units), see `RNN`.

    Args:
        units: width of the state and of the output; also ``hidden_size``.
        activation: name or function. Default "tanh".
        use_bias: whether to add a bias; also ``bias``. Default True.
        num_layers: how many of them, one above the other. Default 1.
        kernel_initializer, recurrent_initializer, bias_initializer, kernel_regularizer,
            recurrent_regularizer, bias_regularizer: as in `SimpleRNNCell`.
        options: as in `RNN`: ``bidirectional``, ``merge``, ``return_sequences``, ``return_state``,
            ``go_backwards``, ``dropout``, ``recurrent_dropout``, ``stateful``, ``batch_size``,
            ``seed``, ``name``, ``dtype``, ``trainable``. ``call`` takes ``mask`` and
            ``initial_state``.

    Raises:
        ArgumentError: units is not a whole number of at least 1; arguments that do not go together.
        ShapeError: the input is not (N, time, features).

    Example:
        >>> import chainrule as cr
        >>> cr.layers.SimpleRNN(4)(cr.ones((2, 5, 3))).shape
        (2, 4)

    Reference: Elman, "Finding structure in time", 1990.
    """

    cell_class = SimpleRNNCell


class _Gated(_OverUnits):
    """Units with gates, which have an activation of their own."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        **options: Unpack[UnitsOptions],
    ) -> None:
        super().__init__(units, activation, **options)
        self.recurrent_activation: Callable[[Tensor], Tensor] = activations.get(
            recurrent_activation
        )


@register
class LSTM(_Gated):
    """Long short-term memory: remembers over many steps, because its memory is a sum.

    (i, f, g, o) = x_t @ kernel + h_{t-1} @ recurrent_kernel + bias

    c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g),  h_t = sigmoid(o) * tanh(c_t)

    Shapes: x (N, time, features); y (N, units) or (N, time, units), see `RNN`; the state is (h, c).

    Args:
        units: width of the states and of the output; also ``hidden_size``.
        activation: of g and of the memory on its way out; name or function. Default "tanh".
        recurrent_activation: of the gates i, f and o. Default "sigmoid".
        unit_forget_bias: start the bias of the gate f with ones. Default True.
        options: as in `SimpleRNN`: ``use_bias``, ``num_layers``, initializers and regularizers, and
            the options of `RNN`, such as ``bidirectional``, ``return_sequences``, ``dropout``.

    Raises:
        ArgumentError: units is not a whole number of at least 1; arguments that do not go together.
        ShapeError: the input is not (N, time, features).

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.LSTM(4, bidirectional=True, return_sequences=True)
        >>> layer(cr.ones((2, 5, 3))).shape
        (2, 5, 8)
        >>> outputs, (h, c) = cr.layers.LSTM(4, return_state=True)(cr.ones((2, 5, 3)))
        >>> outputs.shape, c.shape
        ((2, 4), (2, 4))

    Different from PyTorch: one bias, the sum of its two; kernels are transposed; see `RNN`.
    Reference: Hochreiter and Schmidhuber, "Long short-term memory", 1997; the gate f: Gers,
    Schmidhuber and Cummins, "Learning to forget", 2000.
    """

    cell_class = LSTMCell

    @also_accept(hidden_size="units")
    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        unit_forget_bias: bool = True,
        **options: Unpack[UnitsOptions],
    ) -> None:
        super().__init__(units, activation, recurrent_activation, **options)
        self.unit_forget_bias = truth(self.name, "unit_forget_bias", unit_forget_bias)


@register
class GRU(_Gated):
    """Gated recurrent units: as good a memory as LSTM's in most tasks, with three quarters of its
    parameters.

    h_t = z * h_{t-1} + (1 - z) * g; the gates z and r and the candidate g are those of `GRUCell`.

    Shapes: x (N, time, features); y (N, units) or (N, time, units), see `RNN`.

    Args:
        units: width of the state and of the output; also ``hidden_size``.
        activation: of the candidate; name or function. Default "tanh".
        recurrent_activation: of the gates z and r. Default "sigmoid".
        reset_after: apply the gate r after the product with the recurrent kernel, as cuDNN, PyTorch
            and Keras do; False is the paper's way. Default True.
        options: as in `SimpleRNN`: ``use_bias``, ``num_layers``, initializers and regularizers, and
            the options of `RNN`, such as ``bidirectional``, ``return_sequences``, ``dropout``.

    Raises:
        ArgumentError: units is not a whole number of at least 1; arguments that do not go together.
        ShapeError: the input is not (N, time, features).

    Example:
        >>> import chainrule as cr
        >>> cr.layers.GRU(4, num_layers=2)(cr.ones((2, 5, 3))).shape
        (2, 4)

    Different from Keras and PyTorch: see `GRUCell` and `RNN`.
    Reference: Cho et al., "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", 2014.
    """

    cell_class = GRUCell

    @also_accept(hidden_size="units")
    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        reset_after: bool = True,
        **options: Unpack[UnitsOptions],
    ) -> None:
        super().__init__(units, activation, recurrent_activation, **options)
        self.reset_after = truth(self.name, "reset_after", reset_after)
