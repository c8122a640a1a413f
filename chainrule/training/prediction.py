"""The outputs of a compiled model for all rows: whole batches in one run of the back end."""

from typing import Any

import numpy as np

from chainrule import tree
from chainrule.tensor import Tensor
from chainrule.tensor.jit import Jitted
from chainrule.training.batches import even_size
from chainrule.training.inputs import Arrays, count_rows, take_rows

# Rows of pointers that a run of the back end needs stay few.
MOST_BATCHES = 1 << 14


def outputs_in_batches(call: Jitted, inputs: Arrays, most: int) -> Any:
    """What a function of a batch gives for all rows, as arrays.

    Args:
        call: the compiled function.
        inputs: all rows.
        most: rows in a batch, at most.
    """
    rows = count_rows(inputs)
    if rows <= most:
        return to_arrays(call(inputs))
    size = even_size(rows, most)
    pieces, whole = [], 0
    if isinstance(inputs, np.ndarray):
        whole = rows // size * size
        pieces = [
            _whole_batches(call, inputs[start : min(start + MOST_BATCHES * size, whole)], size)
            for start in range(0, whole, MOST_BATCHES * size)
        ]
    pieces += [
        to_arrays(call(take_rows(inputs, slice(start, start + size))))
        for start in range(whole, rows, size)
    ]
    return pieces[0] if len(pieces) == 1 else _join(pieces)


def _whole_batches(call: Jitted, rows: np.ndarray[Any, Any], size: int) -> Any:
    """The outputs for rows that are whole batches, from one run."""
    batches = rows.reshape(-1, size, *rows.shape[1:])
    outputs = to_arrays(call.repeat([batches]))
    return tree.map_leaves(lambda x: x.reshape(-1, *x.shape[2:]), outputs)


def to_arrays(outputs: Any) -> Any:
    """Tensors as arrays; lists become tuples."""
    if isinstance(outputs, Tensor):
        return outputs.numpy()
    if isinstance(outputs, dict):
        return {name: to_arrays(part) for name, part in outputs.items()}
    return tuple(to_arrays(part) for part in outputs)


def _join(pieces: list[Any]) -> Any:
    if isinstance(pieces[0], dict):
        return {name: _join([piece[name] for piece in pieces]) for name in pieces[0]}
    if isinstance(pieces[0], tuple):
        return tuple(_join(list(parts)) for parts in zip(*pieces))
    return np.concatenate(pieces)
