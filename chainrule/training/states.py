"""Models whose layers keep a state from batch to batch: what training does about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.errors import ArgumentError
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.nn.layers.recurrent_base import Recurrent
from chainrule.optimizers import Optimizer


def stateful_layers(model: Layer) -> list[Recurrent]:
    """The layers that keep a state."""
    layers = [place.layer for place in walk(model)]
    return [layer for layer in layers if isinstance(layer, Recurrent) and layer.stateful]


def reset_states(model: Layer) -> None:
    """Let every stateful layer start afresh."""
    for layer in stateful_layers(model):
        layer.reset_states()


def check_order(model: Layer, shuffle: bool, validation_split: float, optimizer: Optimizer) -> None:
    """Complain about a fit that would tear a stateful model's sequences apart.

    Raises:
        ArgumentError: rows that are shuffled or held out at random; an optimizer that computes the
            same batch several times, each time from the state that the last time left.
    """
    if not stateful_layers(model):
        return
    if optimizer.full_batch:
        raise ArgumentError(
            "fit", f"{optimizer.name} does not go with a stateful model",
            got="a loss that depends on what was computed before", expected="a loss of the weights",
            fix="choose another optimizer, such as 'adam'",
        )  # fmt: skip
    if shuffle or validation_split:
        raise ArgumentError(
            "fit", "a stateful model needs its rows in their order",
            got=f"shuffle={shuffle}, validation_split={validation_split}",
            expected="shuffle=False, validation_split=0",
            fix="arrange the rows with cr.data.windows; pass validation_data to validate",
        )  # fmt: skip


@contextmanager
def kept_states(model: Layer) -> Iterator[None]:
    """Whatever is computed inside, states are afterwards what they were before."""
    before = [(v, v.value) for layer in stateful_layers(model) for v in layer.state_variables]
    new = [layer for layer in stateful_layers(model) if not layer.built]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
        for layer in new:
            layer.reset_states()


def batch_rows(model: Layer, size: int | None, rows: int, where: str) -> int | None:
    """Rows in a batch: ``size``, or what stateful layers ask for.

    Raises:
        ArgumentError: stateful layers of several batch sizes, or rows that are no whole batches.
    """
    wanted = {layer.batch_size for layer in stateful_layers(model)}
    if not wanted:
        return size
    if len(wanted) > 1:
        raise ArgumentError(
            where, "stateful layers of different batch_size", got=sorted(map(str, wanted))
        )
    needed = wanted.pop()
    if needed is not None and rows % needed:
        raise ArgumentError(
            where, "rows that are no whole batches of a stateful model", got=f"{rows} rows",
            expected=f"a multiple of {needed}",
            fix="leave some rows out; cr.data.windows cuts long sequences to whole batches",
        )  # fmt: skip
    return needed
