"""Data on its way into training: read as arrays and checked; every refusal names the column and the
row.

A model takes one array, a tuple of arrays, or a dict of arrays (several inputs). Whatever comes in
(lists, tensors, data frames of numbers) is turned into contiguous arrays once, before training, and
refused there if it cannot be trained on.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import dtypes
from chainrule.dtypes import BOOL, FLOAT32, FLOAT64, INT32, INT64
from chainrule.errors import DataError, ShapeError
from chainrule.tensor import Tensor

Array = NDArray[Any]
Arrays = Array | tuple[Array, ...] | dict[str, Array]

# Reading a small array costs more than computing with it.
_FEW = 4096
_WHOLE = frozenset({BOOL, INT32, INT64})
_SMALL_SQUARE = float(np.finfo(FLOAT32).max) ** 2 / 2

TEXT_FIX = (
    "turn text into numbers first, or use the estimators in cr.estimators, which read text columns"
)
LABEL_FIX = (
    "number the classes, names, y = np.unique(y, return_inverse=True), "
    "or use cr.estimators.NetworkClassifier, which takes names"
)
FILL_FIX = "fill or drop these cells first, or use the estimators in cr.estimators, which fill them"


def as_arrays(value: Any, name: str, where: str) -> Arrays:
    """Read model inputs: one array, or a tuple or dict of arrays for a model with several inputs.

    Args:
        value: array, list, tensor or data frame of numbers; a tuple or dict of them for several
            inputs.
        name: what to call the value in messages.
        where: who asks, for messages.

    Returns:
        Contiguous arrays in supported dtypes, finite, with one row per example.

    Raises:
        DataError: text, objects, NaN or Inf, no rows, or inputs of different lengths.
    """
    arrays: Arrays
    if isinstance(value, dict):
        arrays = {
            str(key): as_array(item, f"{name}[{key!r}]", where) for key, item in value.items()
        }
    elif isinstance(value, tuple) and any(
        np.ndim(item) for item in value if hasattr(item, "shape")
    ):
        arrays = tuple(as_array(item, f"{name}[{i}]", where) for i, item in enumerate(value))
    else:
        return as_array(value, name, where)
    lengths = {key: len(array) for key, array in _items(arrays)}
    if not lengths:
        raise DataError(
            where, f"{name} holds no arrays", got=repr(value), fix="pass at least one array"
        )
    if len(set(lengths.values())) > 1:
        raise DataError(
            where,
            f"the inputs in {name} have different lengths",
            got=lengths,
            expected="the same number of rows in each",
            fix="check how the inputs were made",
        )
    return arrays


def as_array(value: Any, name: str, where: str, text_fix: str = TEXT_FIX) -> Array:
    """Read one array with a row per example; see `as_arrays`."""
    array = _read(value, name, where, text_fix)
    if array.ndim == 0:
        raise ShapeError(
            where,
            f"{name} is a single value",
            got=repr(value),
            expected="one row for each example",
            fix=f"pass an array, for example np.array([{name}])",
        )
    if len(array) == 0 or array.size == 0:
        raise DataError(
            where,
            f"{name} is empty",
            got=f"shape {array.shape}",
            expected="at least one row and one column",
            fix="check the step that filters or loads the data",
        )
    _check_finite(array, name, where, _column_names(value))
    return np.ascontiguousarray(dtypes.convert_array(array, f"{where}: {name}"))


def _read(value: Any, name: str, where: str, text_fix: str) -> Array:
    if isinstance(value, Tensor):
        return value.numpy()
    if value is None:
        raise DataError(where, f"{name} is missing", got="None", fix=f"pass {name}")
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise DataError(
            where,
            f"{name} is a sparse matrix",
            got=type(value).__name__,
            expected="an array",
            fix=f"pass {name}.toarray(), or use cr.estimators, which take sparse matrices",
        )
    try:
        array: Array = np.asarray(value)
    except ValueError as error:  # NumPy's word for rows of different lengths
        raise DataError(
            where,
            f"the rows of {name} differ in length",
            got=str(error),
            expected="the same number of values in each row",
            fix="pad the rows to one length; several inputs go into a tuple or a dict",
        ) from None
    columns = _column_names(value)
    if array.dtype.kind == "O" and columns is not None:
        return _numbers_from_objects(array, name, where, columns, text_fix)
    if array.dtype.kind not in "fiub":
        raise _not_numbers(array, name, where, text_fix)
    return array


def _not_numbers(array: Array, name: str, where: str, text_fix: str) -> DataError:
    kinds = {
        "m": "time spans",
        "M": "dates",
        "c": "complex numbers",
        "V": "records",
        "O": "objects",
    }
    kind = kinds.get(array.dtype.kind, "text")
    if kind == "objects" and any(isinstance(item, str) for item in array.flat):
        kind = "text"
    convert = f"convert first, for example np.asarray({name}, dtype='float32')"
    return DataError(
        where,
        f"{name} holds {kind}, not numbers",
        got=_sample(array),
        expected="numbers or booleans",
        fix=text_fix if kind == "text" else convert,
    )


def _sample(array: Array) -> str:
    first = repr(array.flat[0]) if array.size else "nothing"
    return f"dtype {array.dtype}, first value {first[:60]}"


def _column_names(value: Any) -> list[str] | None:
    """The column names of a data frame of any library, else None."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__array__"):
        return None
    names = getattr(value, "column_names", None)
    if names is None:
        names = getattr(value, "columns", None)
    return None if names is None else [str(name) for name in names]


def _numbers_from_objects(
    array: Array, name: str, where: str, columns: list[str], text_fix: str
) -> Array:
    """A data frame of Python objects as numbers; an error names the first cell that is none."""
    for index, column in enumerate(columns):
        for row, cell in enumerate(array[:, index]):
            if isinstance(cell, bool | int | float | np.number | np.bool_):
                continue
            if type(cell).__name__ in {"NoneType", "NAType", "NaTType"}:
                what, fix = "a cell without a value", FILL_FIX
            else:
                what, fix = f"{cell!r}", text_fix
            raise DataError(
                where,
                f"column {column!r} of {name} does not hold only numbers",
                got=f"{what} in row {row}",
                expected="numbers in every cell",
                fix=fix,
            )
    return array.astype(np.float64)


def all_finite(array: Array) -> bool:
    """True when no element is NaN or infinite."""
    if array.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):  # one pass, no temporary array: the usual case
            return True
        return bool(np.isfinite(array).all())


def plain_rows(value: Any, dtype: "np.dtype[Any]", most: int | None) -> Array | None:
    """A small array of numbers that are surely finite, floating ones in this dtype.

    None for everything else, and for more than ``most`` rows: `as_arrays` looks at that.
    """
    if type(value) is not np.ndarray or not 0 < value.size <= _FEW:
        return None
    if not value.ndim or (most is not None and (type(most) is not int or len(value) > most)):
        return None
    own = value.dtype
    if own.kind != "f":
        return value if own in _WHOLE else None
    # A sum of squares shows in one pass that all are finite, and not too large for the dtype.
    if own == dtype:
        return value if np.vdot(value, value) < np.inf else None
    if own == FLOAT64 and np.vdot(value, value) < _SMALL_SQUARE:
        return value.astype(dtype)
    return None


def _check_finite(array: Array, name: str, where: str, columns: list[str] | None) -> None:
    if all_finite(array):
        return
    bad = ~np.isfinite(array)
    first = np.unravel_index(int(np.argmax(bad)), array.shape)
    value = array[first]
    count = int(bad.sum())
    more = "" if count == 1 else f" and {count - 1} more cells that are not finite"
    raise DataError(
        where,
        f"{name} holds a value that is not a finite number",
        got=f"{value} in {_place(first, columns)}{more}",
        expected="finite numbers",
        fix=FILL_FIX,
    )


def _place(index: tuple[Any, ...], columns: list[str] | None) -> str:
    row = f"row {int(index[0])}"
    if len(index) == 1:
        return row
    if len(index) == 2:
        column = int(index[1])
        named = (
            repr(columns[column]) if columns is not None and column < len(columns) else str(column)
        )
        return f"column {named}, {row}"
    return f"{row} at position {tuple(int(i) for i in index[1:])}"


def cast_floats(arrays: Arrays, dtype: "np.dtype[Any]", name: str, where: str) -> Arrays:
    """The same arrays with floating ones in this dtype."""
    return map_arrays(arrays, lambda array: cast_array(array, dtype, name, where))


def cast_array(array: Array, dtype: "np.dtype[Any]", name: str, where: str) -> Array:
    """A floating array in this dtype; integers and booleans stay what they are."""
    if array.dtype.kind != "f" or array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if not all_finite(cast):
        place = np.unravel_index(int(np.argmax(~np.isfinite(cast))), cast.shape)
        raise DataError(
            where,
            f"{name} holds a value too large for {dtype}",
            got=f"{array[place]} in {_place(place, None)}",
            expected=f"at most {np.finfo(dtype).max:.2g}",
            fix="scale the values, or build the model with dtype='float64'",
        )
    return cast


def _items(arrays: Arrays) -> Iterator[tuple[str, Array]]:
    if isinstance(arrays, dict):
        yield from arrays.items()
    elif isinstance(arrays, tuple):
        for index, array in enumerate(arrays):
            yield str(index), array
    else:
        yield "", arrays


def map_arrays(arrays: Arrays, function: Callable[[Array], Array]) -> Arrays:
    """Apply a function to every array, keeping the structure."""
    if isinstance(arrays, dict):
        return {key: function(array) for key, array in arrays.items()}
    if isinstance(arrays, tuple):
        return tuple(function(array) for array in arrays)
    return function(arrays)


def count_rows(arrays: Arrays) -> int:
    """The number of examples."""
    return len(next(_items(arrays))[1])


def take_rows(arrays: Arrays, rows: Array | slice) -> Arrays:
    """The chosen rows of every array: copies for an array of row numbers, views for a slice."""
    if isinstance(arrays, np.ndarray):  # the common case, without a closure
        return arrays[rows] if isinstance(rows, slice) else arrays.take(rows, axis=0)
    return map_arrays(arrays, lambda array: array[rows])
