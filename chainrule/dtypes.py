"""The kinds of numbers, and the one place that says how they mix.

Promotion, in this order:

1. a Python scalar takes the dtype of the tensor beside it; only a ``float`` beside integers or
booleans makes the
   default floating dtype (``float32``), and only an ``int`` beside booleans makes ``int32``;
2. booleans give way to integers, integers to floats: ``int64`` with ``float32`` is ``float32`` (as
in PyTorch; NumPy
   would make it ``float64``);
3. of two floats or two integers the wider wins; ``uint32`` with ``int32`` is ``int64``.

Arrays keep the dtype they have: ``float64`` data stays ``float64`` until a layer casts it to its
own dtype.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DTypeError

Array = NDArray[Any]

BOOL = np.dtype("bool")
UINT8 = np.dtype("uint8")
INT32 = np.dtype("int32")
INT64 = np.dtype("int64")
UINT32 = np.dtype("uint32")
FLOAT32 = np.dtype("float32")
FLOAT64 = np.dtype("float64")

DTYPES: dict[str, np.dtype[Any]] = {
    d.name: d for d in (BOOL, UINT8, INT32, INT64, UINT32, FLOAT32, FLOAT64)
}
DEFAULT_FLOAT = FLOAT32
DEFAULT_INTEGER = INT32

# What arrays of other kinds become when they enter: the nearest dtype that holds every value.
_CONVERTED: dict[str, np.dtype[Any]] = {
    "float16": FLOAT32, "longdouble": FLOAT64, "int8": INT32, "int16": INT32,
    "uint16": INT32, "uint64": INT64,
}  # fmt: skip

_SUPPORTED = frozenset(DTYPES.values())
_KNOWN: dict[object, np.dtype[Any]] = {key: d for d in _SUPPORTED for key in (d, d.name)}


def as_dtype(name: object) -> np.dtype[Any]:
    """The dtype of this name, NumPy type or dtype; a name outside the list is an error.

    >>> as_dtype("float32").itemsize
    4
    """
    if isinstance(name, str | np.dtype) and name in _KNOWN:
        return _KNOWN[name]
    try:
        # NumPy takes None for float64.
        dtype = None if name is None else np.dtype(name)  # type: ignore[call-overload]  # any object
    except (TypeError, ValueError):
        dtype = None
    if dtype not in _SUPPORTED:
        raise DTypeError(
            "dtype", "unknown dtype", got=repr(name), expected="one of " + ", ".join(DTYPES)
        )
    return dtype  # type: ignore[no-any-return]  # np.dtype(object) is untyped


def is_floating(dtype: object) -> bool:
    """True for float32 and float64."""
    return as_dtype(dtype).kind == "f"


def is_integer(dtype: object) -> bool:
    """True for signed and unsigned integers, not for booleans."""
    return as_dtype(dtype).kind in "iu"


def convert_array(array: Array, where: str = "tensor") -> Array:
    """The array in a supported dtype: half floats and short integers widen, text and objects are
    refused.
    """
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype in _SUPPORTED:
        return array
    target = _CONVERTED.get(array.dtype.name)
    if target is None:
        raise DTypeError(
            where,
            "not numbers",
            got=f"dtype {array.dtype}",
            expected="numbers or booleans",
            fix="convert the values to numbers first, for example with x.astype('float32')",
        )
    return array.astype(target)


def promote(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which values of these dtypes meet (rules 2 and 3 above).

    >>> promote(INT64, FLOAT32).name, promote(UINT32, INT32).name
    ('float32', 'int64')
    """
    first = dtypes[0]
    for other in dtypes[1:]:
        if other is not first and other != first:
            first = _promote_pair(first, other)
    return first


def _promote_pair(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    rank = {"b": 0, "u": 1, "i": 1, "f": 2}
    if rank[a.kind] != rank[b.kind]:
        return a if rank[a.kind] > rank[b.kind] else b
    return np.promote_types(a, b)


def scalar_dtype(value: object, other: np.dtype[Any] | None) -> np.dtype[Any]:
    """The dtype that a Python scalar takes beside a tensor of dtype ``other`` (rule 1 above)."""
    if isinstance(value, bool):
        return BOOL if other is None else other
    if isinstance(value, int):
        return DEFAULT_INTEGER if other is None or other == BOOL else other
    if isinstance(value, float):
        return other if other is not None and other.kind == "f" else DEFAULT_FLOAT
    raise DTypeError(
        "tensor", "not a number", got=type(value).__name__, expected="bool, int or float"
    )
