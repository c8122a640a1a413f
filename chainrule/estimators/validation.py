"""Reading X, y and weights: what an estimator takes, and scikit-learn's rules about names."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data import Column, Table, as_table
from chainrule.errors import DataError, DTypeError, ShapeError

Array = NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """The rows to learn from or to predict.

    Attributes:
        data: a table; an array for a model that takes more than two axes.
        names: the names of the columns, None where the data has none.
        strict: True where the names must be those of the training data, in the same order; False
            where columns are found by name (tables read from files).
    """

    data: Table | Array
    names: Array | None
    strict: bool

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.data)

    @property
    def width(self) -> int:
        """The number of columns; of an array with more axes, the size of the last."""
        width: int = self.data.shape[-1]
        return width

    def take(self, rows: Array) -> "Inputs":
        """Some of the rows."""
        part = self.data.take(rows) if isinstance(self.data, Table) else self.data[rows]
        return Inputs(part, self.names, self.strict)


def read_inputs(X: Any, where: str, *, axes_free: bool, indices: bool = False) -> Inputs:
    """Read X.

    Args:
        X: table, data frame, array, sparse matrix or nested list.
        where: what to call the estimator in errors.
        axes_free: take arrays with more than two axes as they are.
        indices: the rows are indices in an array, taken as they are; default False.

    Raises:
        ShapeError, DTypeError, DataError: not something with rows and columns, or nothing in it.
    """
    if isinstance(X, Table):
        names = None if X.positional else np.array(X.names, dtype=object)
        return Inputs(as_table(X, where=where), names, strict=False)
    if isinstance(X, np.ndarray) and (indices or (axes_free and X.ndim > 2)):
        return Inputs(X, None, strict=True)
    if hasattr(X, "tocsr"):
        X = X.tocsr()
    names = feature_names(X)
    return Inputs(as_table(X, where=where), names, strict=True)


def feature_names(X: Any) -> Array | None:
    """The column names of a data frame or of a dict of columns, if they are text, else None.

    Raises:
        DTypeError: some names are text and others are not.
    """
    if isinstance(X, np.ndarray | list | tuple):
        return None
    found = getattr(X, "column_names", None)
    if found is None:
        found = getattr(X, "columns", X if isinstance(X, dict) else None)
    if found is None:
        return None
    names = list(found)
    kinds = sorted({type(name).__qualname__ for name in names})
    if kinds == ["str"]:
        return np.array(names, dtype=object)
    if "str" in kinds:
        raise DTypeError(
            "X",
            "Feature names are only supported if all input features have string names",
            got=f"names of the types {', '.join(kinds)}",
            fix="rename the columns, X.columns = X.columns.astype(str)",
        )
    return None


def check_names(inputs: Inputs, fitted: Array | None, where: str) -> None:
    """Compare the column names with those of the training data, by scikit-learn's rules.

    Raises:
        DataError: other names, or another order, where they matter.
    """
    if not inputs.strict or (inputs.names is None and fitted is None):
        return
    if inputs.names is None:
        warnings.warn(
            f"X does not have valid feature names, but {where} was fitted with feature names",
            UserWarning,
            stacklevel=4,
        )
    elif fitted is None:
        warnings.warn(
            f"X has feature names, but {where} was fitted without feature names",
            UserWarning,
            stacklevel=4,
        )
    elif list(inputs.names) != list(fitted):
        raise DataError(
            where,
            "The feature names should match those that were passed during fit.\n"
            + _difference(set(inputs.names), set(fitted)),
            got=None if inputs.width == len(fitted) else _other_width(inputs, len(fitted), where),
            fix="select the columns of training, X[estimator.feature_names_in_]",
        )


def _other_width(inputs: Inputs, width: int, where: str) -> str:
    """The sentence that scikit-learn has for another number of columns than in training."""
    return f"X has {inputs.width} features, but {where} is expecting {width} features as input"


def _difference(given: set[str], fitted: set[str]) -> str:
    text = ""
    for title, names in (
        ("Feature names unseen at fit time", given - fitted),
        ("Feature names seen at fit time, yet now missing", fitted - given),
    ):
        if names:
            listed = sorted(names)
            more = ["..."] if len(listed) > 5 else []
            text += "\n".join([f"{title}:", *(f"- {name}" for name in [*listed[:5], *more]), ""])
    return text or "Feature names must be in the same order as they were in fit."


def check_width(inputs: Inputs, width: int, where: str) -> None:
    """Refuse another number of columns than in training, where columns are known by position.

    Raises:
        ShapeError: another number.
    """
    if inputs.width == width or not (inputs.strict or inputs.names is None):
        return
    raise ShapeError(
        where,
        _other_width(inputs, width, where),
        fix="give the columns that it was fitted with, in the same order",
    )


def read_weights(sample_weight: Any, rows: int, where: str) -> Array | None:
    """Sample weights as (N,) float64 numbers.

    Raises:
        ShapeError: not one number a row.
        DataError: negative, not finite, or all zero.
    """
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise DTypeError(
            where, "sample_weight does not hold numbers", got=repr(sample_weight)[:80]
        ) from None
    if weights.ndim == 0:
        weights = np.full(rows, float(weights))
    if weights.shape != (rows,):
        raise ShapeError(
            where, "sample_weight has a wrong shape", got=weights.shape, expected=f"({rows},)"
        )
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise DataError(
            where,
            "sample_weight holds a weight that cannot be",
            got=f"{weights[bad[0]]} in row {bad[0]}",
            expected="finite numbers from 0 up",
        )
    if not weights.any():
        raise DataError(
            where, "sample weights must contain at least one non-zero number", got="all zero"
        )
    return weights


def check_targets_given(y: Any, rows: int, where: str) -> Any:
    """The targets, if there is one for each row; sparse indicator matrices become arrays.

    Raises:
        DataError: no targets, or another number than rows in X.
    """
    if y is None:
        raise DataError(
            where,
            "the estimator requires y to be passed, but the target y is None",
            fix="call fit(X, y) with one target for each row of X",
        )
    if hasattr(y, "toarray"):
        y = y.toarray()
    columns = isinstance(y, list | tuple) and len(y) > 0 and isinstance(y[0], Column)
    first = y[0] if columns else y
    count = len(first) if hasattr(first, "__len__") else len(np.atleast_1d(np.asarray(first)))
    if count != rows:
        raise DataError(
            where,
            "X and y hold inconsistent numbers of samples",
            got=f"{rows} rows in X, {count} targets in y",
            expected="one target for each row",
        )
    return y


def target_width(y: Any) -> int:
    """The number of columns of a target with two axes, 0 for one with a single axis."""
    shape = getattr(y, "shape", None)
    if isinstance(shape, tuple):
        return int(shape[1]) if len(shape) == 2 else 0
    if isinstance(y, list | tuple) and len(y):
        if isinstance(y[0], Column):
            return len(y)
        if isinstance(y[0], list | tuple | np.ndarray):
            return len(y[0])
    return 0
