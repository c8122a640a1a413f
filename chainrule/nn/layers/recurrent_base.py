"""The way through time that all recurrent layers share."""

from collections.abc import Callable
from typing import Any, Unpack

from chainrule.errors import ArgumentError, ShapeError, StateError, unknown_name
from chainrule.nn.calling import call_parameters, current_call
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.layers.cells import Cell, State
from chainrule.nn.masks import spread, step_mask
from chainrule.nn.seeding import check_seed
from chainrule.nn.validate import number, truth, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, Variable, functions, random, scan
from chainrule.tensor.state import outside_traces, paused_tapes
from chainrule.tensor.tensor import as_tensor

MERGES = ("concat", "sum", "mean")


class RecurrentOptions(LayerOptions, total=False):
    """The arguments that all recurrent layers take."""

    bidirectional: bool
    merge: str
    return_sequences: bool
    return_state: bool
    go_backwards: bool
    dropout: float
    recurrent_dropout: float
    stateful: bool
    batch_size: int | None
    seed: int | None


class Recurrent(Layer):
    """What all recurrent layers share: the way through time."""

    takes = "one"

    def __init__(
        self,
        *,
        bidirectional: bool = False,
        merge: str = "concat",
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        stateful: bool = False,
        batch_size: int | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.bidirectional = truth(self.name, "bidirectional", bidirectional)
        if merge not in MERGES:
            raise unknown_name(self.name, "merge", str(merge)[:80], MERGES)
        self.merge = merge
        self.return_sequences = truth(self.name, "return_sequences", return_sequences)
        self.return_state = truth(self.name, "return_state", return_state)
        self.go_backwards = truth(self.name, "go_backwards", go_backwards)
        self.dropout = number(self.name, "dropout", dropout, minimum=0.0, below=1.0)
        self.recurrent_dropout = number(
            self.name, "recurrent_dropout", recurrent_dropout, minimum=0.0, below=1.0
        )
        self.stateful = truth(self.name, "stateful", stateful)
        self.batch_size = (
            None if batch_size is None else whole_number(self.name, "batch_size", batch_size)
        )
        self.seed = None if seed is None else check_seed(self.name, seed)
        self._check_directions()

    def _check_directions(self) -> None:
        if self.bidirectional and self.go_backwards:
            raise ArgumentError(
                self.name, "both directions, and backwards", got="bidirectional and go_backwards",
                expected="one of them",
            )  # fmt: skip
        if self.stateful and (self.bidirectional or self.go_backwards):
            raise ArgumentError(
                self.name, "a state cannot be kept for a pass that starts at the end",
                got="stateful with bidirectional or go_backwards", expected="stateful alone",
            )  # fmt: skip
        if self.stateful != (self.batch_size is not None):
            raise ArgumentError(
                self.name, "stateful and batch_size go together",
                got=f"stateful={self.stateful}, batch_size={self.batch_size}",
                expected="both or neither",
                fix="pass stateful=True and the number of rows of a batch, batch_size=32",
            )  # fmt: skip

    cell: Any
    backward_cell: Any
    # What to add to the first state of a cell after each step, for (cell, steps, shape): zeros, by
    # which the gradient of the state itself can be asked for.
    disturbance: Callable[[Cell, int, tuple[int, ...]], Tensor] | None = None

    # ---- building

    def make_cells(self) -> None:
        """Set ``cell``, and ``backward_cell`` where there are two directions."""
        raise NotImplementedError

    def build(self, input_shape: Shape) -> None:
        width = self._features = check_sequences(self, input_shape)
        self.make_cells()
        if self.dropout or self.recurrent_dropout:
            self.generator = self.add_generator()
        self._output_shapes: list[tuple[int, ...]] = []
        for together in self._levels():
            for cell in together:
                self._output_shapes.append(self._prepared(cell, width))
            width = self._width(self._output_shapes[-1][-1])
        if self.stateful:
            self._states = [
                self._kept_state(place, cell) for place, cell in enumerate(self._cells())
            ]
            with outside_traces(), paused_tapes():
                self._restart()

    def _prepared(self, cell: Cell, width: int) -> tuple[int, ...]:
        """Build a cell by a step on zeros; the shape of its output, without the batch axis."""
        if self.recurrent_dropout and "recurrent_mask" not in call_parameters(type(cell)):
            raise ArgumentError(
                self.where, "recurrent_dropout with a cell that takes no mask",
                got=f"{type(cell).__name__}.call", expected="an argument recurrent_mask",
                fix="multiply the state by recurrent_mask in the cell where it is not None",
            )  # fmt: skip
        call = current_call()
        assert call is not None
        with outside_traces(), paused_tapes():
            if not cell.built:
                cell.dtype = self.dtype
                call.root.assign_paths()
                cell._build((None, width), call.root)
            inputs = functions.zeros((1, width), self.dtype)
            result: Any = cell(inputs, cell.initial_state(1), training=False)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], tuple)):
            raise ArgumentError(
                cell.where, "a cell's call returns something else", got=type(result).__name__,
                expected="(output, (state, ...))",
            )  # fmt: skip
        return tuple(result[0].shape[1:])

    def _kept_state(self, place: int, cell: Cell) -> list[Any]:
        with outside_traces(), paused_tapes():
            first = cell.initial_state(1)
        return [
            self.add_weight(
                f"state_{place}_{number}", (self.batch_size or 1, *part.shape[1:]), "zeros",
                trainable=False,
            )
            for number, part in enumerate(first)
        ]  # fmt: skip

    def _cells(self) -> list[Cell]:
        """The cells in order, of each level the forward one first."""
        return [cell for together in self._levels() for cell in together]

    def _levels(self) -> list[list[Cell]]:
        """The cells of each level of the stack: one, or one for each direction."""
        kinds = [self.cell, self.backward_cell] if self.bidirectional else [self.cell]
        rows = [list(kind) if isinstance(kind, (list, tuple)) else [kind] for kind in kinds]
        return [list(together) for together in zip(*rows, strict=True)]

    def _width(self, width: int) -> int:
        return 2 * width if self.bidirectional and self.merge == "concat" else width

    # ---- calling

    def call(
        self,
        inputs: Tensor,
        mask: Any = None,
        initial_state: Any = None,
        training: bool = False,
    ) -> Any:
        if check_sequences(self, inputs.shape) != self._features:
            raise wrong_input_shape(
                self.where, inputs.shape, f"(batch, time, {self._features})",
                f"give it {self._features} features, or make a new layer for other widths",
            )  # fmt: skip
        inputs = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        sequence = functions.swapaxes(inputs, 0, 1)
        valid = None
        if mask is not None:
            valid = functions.swapaxes(step_mask(self.where, mask, inputs.shape), 0, 1)
            sequence = functions.where(spread(valid, 3), sequence, 0)
        states = self._first_states(initial_state, inputs.shape[0])
        ends: list[State] = []
        levels = self._levels()
        for together in levels:
            all_steps = self.return_sequences or together is not levels[-1]
            results = []
            for cell in together:
                backwards = self.go_backwards or cell is not together[0]
                way = _Way(valid, backwards, all_steps, self._output_shapes[len(ends)])
                if self.disturbance is not None:
                    way.added = self.disturbance(cell, len(sequence), states[len(ends)][0].shape)
                dropped = self._dropped(sequence, training)
                options = self._step_options(cell, inputs.shape[0], training)
                outputs, end = way.through(cell, dropped, states[len(ends)], options)
                results.append(outputs)
                ends.append(end)
            sequence = self._merged(results)
        self._keep(ends)
        outputs = functions.swapaxes(sequence, 0, 1) if self.return_sequences else sequence
        if not self.return_state:
            return outputs
        return outputs, ends if len(ends) > 1 else ends[0]

    def _merged(self, results: list[Tensor]) -> Tensor:
        if len(results) == 1:
            return results[0]
        if self.merge == "concat":
            return functions.concatenate(results, -1)
        total = results[0] + results[1]
        return total if self.merge == "sum" else total / 2

    # ---- dropout: one mask for all steps

    def _dropped(self, sequence: Tensor, training: bool) -> Tensor:
        if not training or not self.dropout:
            return sequence
        factors = self._drawn(self.dropout, sequence.shape[1:])
        return sequence * factors

    def _step_options(self, cell: Cell, rows: int, training: bool) -> dict[str, Any]:
        if not training or not self.recurrent_dropout:
            return {}
        width = cell.initial_state(1)[0].shape[1:]
        return {"recurrent_mask": self._drawn(self.recurrent_dropout, (rows, *width))}

    def _drawn(self, rate: float, shape: tuple[int, ...]) -> Tensor:
        kept = random.bernoulli(self.generator.next_key(), 1.0 - rate, shape)
        return functions.where(kept, functions.full((), 1.0 / (1.0 - rate), self.dtype), 0)

    # ---- states

    def reset_states(self) -> None:
        """Let a stateful layer start from its initial state again.

        Raises:
            StateError: the layer is not stateful.
        """
        if not self.stateful:
            raise StateError(
                self.where, "there is no state to reset", fix="make the layer with stateful=True"
            )
        if self.built:
            self._restart()

    def _restart(self) -> None:
        for cell, variables in zip(self._cells(), self._states, strict=True):
            first = cell.initial_state(self.batch_size or 1)
            for variable, value in zip(variables, first, strict=True):
                variable.assign(value)

    @property
    def state_variables(self) -> list[Variable]:
        """What a stateful layer keeps from batch to batch, once it is built."""
        return [v for parts in self._states for v in parts] if self.stateful and self.built else []

    def _goes_on(self, rows: int) -> bool:
        return self.stateful and rows == self.batch_size

    def _keep(self, ends: list[State]) -> None:
        if self._goes_on(ends[0][0].shape[0]):
            for variables, end in zip(self._states, ends, strict=True):
                for variable, value in zip(variables, end, strict=True):
                    variable.assign(value)

    def _first_states(self, given: Any, rows: int) -> list[State]:
        cells = self._cells()
        if given is None:
            if self._goes_on(rows):
                return [tuple(variables) for variables in self._states]
            return [cell.initial_state(rows) for cell in cells]
        listed = [given] if len(cells) == 1 else given
        if not isinstance(listed, (list, tuple)) or len(listed) != len(cells):
            raise self._wrong_state(given, cells, rows)
        states = []
        for cell, state in zip(cells, listed, strict=True):
            parts = tuple(state) if isinstance(state, (list, tuple)) else (state,)
            state = tuple(as_tensor(part).astype(self.dtype) for part in parts)
            expected = cell.initial_state(rows)
            if [part.shape for part in state] != [part.shape for part in expected]:
                raise self._wrong_state(given, cells, rows)
            states.append(state)
        return states

    def _wrong_state(self, given: Any, cells: list[Cell], rows: int) -> ShapeError:
        def shapes(state: Any) -> Any:
            listed = isinstance(state, (list, tuple))
            return [shapes(part) for part in state] if listed else as_tensor(state).shape

        expected = [tuple(part.shape for part in cell.initial_state(rows)) for cell in cells]
        return ShapeError(
            self.where, "wrong initial_state", got=f"shapes {shapes(given)}",
            expected=f"shapes {expected[0] if len(cells) == 1 else expected}",
            fix="pass the state as return_state=True returns it",
        )  # fmt: skip


class _Way:
    """One way of one cell through a batch of sequences."""

    def __init__(
        self, valid: Tensor | None, backwards: bool, all_steps: bool, output_shape: tuple[int, ...]
    ) -> None:
        self.valid = valid
        self.backwards = backwards
        self.all_steps = all_steps
        self.output_shape = output_shape
        self.added: Tensor | None = None

    def through(
        self, cell: Cell, sequence: Tensor, state: State, options: dict[str, Any]
    ) -> tuple[Tensor, State]:
        """The outputs of all steps or of the last, and the last state.

        Args:
            cell: what a step does.
            sequence: the inputs (steps, N, features).
            state: the first state.
            options: further arguments of the cell.
        """
        # The last output is carried along where it is not a state anyway.
        carried = not (self.all_steps or cell.output_is_first_state)
        shape = (sequence.shape[1], *self.output_shape)
        last: State = (functions.zeros(shape, sequence.dtype),) if carried else ()

        def step(carry: Any, entry: Any) -> tuple[Any, Any]:
            before, outputs = carry
            result: Any = cell(entry["inputs"], before, **options)
            output, after = result
            if self.added is not None:
                first = after[0] + entry["added"]
                output = first if cell.output_is_first_state else output
                after = (first, *after[1:])
            if self.valid is not None:
                valid = entry["valid"]
                after = tuple(_chosen(valid, a, b) for a, b in zip(after, before, strict=True))
                output = _chosen(valid, output, outputs[0] if carried else 0)
            return (after, (output,) if carried else ()), output if self.all_steps else None

        entries = {"inputs": sequence, "valid": self.valid, "added": self.added}
        entries = {name: part for name, part in entries.items() if part is not None}
        carry, outputs = scan(step, (state, last), entries, reverse=self.backwards)
        if self.all_steps:
            return outputs, carry[0]
        return carry[1][0] if carried else carry[0][0], carry[0]


def _chosen(valid: Tensor, new: Tensor, old: Any) -> Tensor:
    return functions.where(spread(valid, new.ndim), new, old)


def check_sequences(layer: Layer, shape: Shape) -> int:
    """The number of features of a batch of sequences.

    Raises:
        ShapeError: the shape is not (batch, time, features).
    """
    if len(shape) != 3 or shape[1] == 0 or shape[-1] is None:
        raise wrong_input_shape(
            layer.where, shape, "(batch, time, features) with at least one step",
            "reshape a single sequence to (1, time, features), or numbers in time to "
            "(batch, time, 1)",
        )  # fmt: skip
    return shape[-1]
