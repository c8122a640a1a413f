"""Targets: classes as codes, several labels a row, standardised numbers, and which it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.checks import StoredConfig
from chainrule.data.convert import as_table, column_from_values
from chainrule.data.table import Column, RowNumbers, Table, join_some
from chainrule.errors import DataError, ShapeError

MAX_CLASSES = 100_000
MAX_INTEGER_CLASSES = 20
MIN_ROWS_PER_INTEGER_CLASS = 3


@dataclass(frozen=True)
class TaskDecision:
    """What a target asks for, and why.

    Args:
        task: "classification" or "regression".
        multilabel: True when each row has several 0/1 labels.
        reason: one sentence for the report.
    """

    task: Literal["classification", "regression"]
    multilabel: bool
    reason: str


def infer_task(target: object, where: str = "target") -> TaskDecision:
    """Decide between classification and regression by the values of the target.

    Text and booleans are classes. Numbers with a fraction are quantities. Whole numbers are
    classes when there are at most 20 different ones, each on 3 rows on average, or only two; else
    quantities. A matrix of 0 and 1 is several labels a row.

    Args:
        target: (N,) or (N, K) values of any kind, or a Column.
        where: what to call the target in errors.

    Returns:
        A TaskDecision with the reason.

    Raises:
        DataError: a target of dates, or without a single value.

    Example:
        >>> infer_task(["cat", "dog", "cat"]).task
        'classification'
        >>> infer_task([0.5, 1.25, 3.0]).reason
        'the target holds numbers with a fraction'
    """
    if _width(target) > 1:
        return _infer_from_matrix(target, where)
    column = target_column(target, where)
    present = column.present
    if len(present) == 0:
        raise DataError(where, "the target has no values", got=f"{len(column)} empty cells")
    if column.kind == "text":
        return TaskDecision("classification", False, "the target holds text")
    if column.kind == "boolean":
        return TaskDecision("classification", False, "the target holds true and false")
    numbers = present.astype(np.float64)
    if bool((np.isfinite(numbers) & (numbers != np.round(numbers))).any()):
        return TaskDecision("regression", False, "the target holds numbers with a fraction")
    distinct = len(np.unique(numbers))
    stated = f"the target holds {distinct} different whole numbers in {len(numbers)} rows"
    few = distinct <= MAX_INTEGER_CLASSES and distinct * MIN_ROWS_PER_INTEGER_CLASS <= len(numbers)
    if distinct <= 2 or few:
        return TaskDecision("classification", False, f"{stated}, few enough to be classes")
    return TaskDecision("regression", False, f"{stated}, too many to be classes")


def _infer_from_matrix(target: object, where: str) -> TaskDecision:
    values = _matrix(target, where)
    if bool(np.isin(values, (0.0, 1.0)).all()):
        return TaskDecision("classification", True, "the target has several columns of 0 and 1")
    return TaskDecision("regression", False, "the target has several columns of numbers")


def target_column(target: object, where: str) -> Column:
    """Return a one-axis target as a Column; (N, 1) counts as (N,)."""
    if not isinstance(target, Column):
        if _width(target) == 1:
            values = as_table(target, where=where).columns[0]
        else:
            values = column_from_values(target, where, where)
        target = values
    if len(target) == 0:
        raise DataError(where, "there are no rows", got="0", expected="at least 1")
    if target.kind not in ("number", "boolean", "text"):
        raise DataError(
            where,
            f"a target of kind {target.kind} cannot be learnt",
            got=target.note or "dates",
            expected="numbers, text, or true and false",
            fix="turn the target into numbers, such as days since a date",
        )
    return target


def _width(target: object) -> int:
    """Return the number of columns of a target with two axes, 0 for one with a single axis."""
    if isinstance(target, Column):
        return 0
    shape = getattr(target, "shape", None)
    if isinstance(shape, tuple):
        return int(shape[1]) if len(shape) == 2 else 0
    if isinstance(target, Sequence) and len(target) and not isinstance(target, str):
        first = target[0]
        if isinstance(first, Column):
            return len(target)
        return len(first) if isinstance(first, (list, tuple, np.ndarray)) else 0
    return 0


def _matrix(target: object, where: str) -> NDArray[np.float64]:
    """Return a target with two axes as finite float64 numbers (N, K)."""
    if isinstance(target, Sequence) and len(target) and isinstance(target[0], Column):
        target = Table(target, source=where, rows=_rows_of(target))
    table = as_table(target, where=where, numbers_only=True, missing="refuse")
    matrix = np.stack([column.to_float() for column in table], axis=1)
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        row, position = (int(index) for index in bad[0])
        raise DataError(
            where,
            f"an infinite value in column {table.names[position]!r}, {table.row_name(row)}",
            got=matrix[row, position],
            expected="finite numbers",
            fix="remove the row or correct the value",
        )
    return matrix


def _rows_of(target: object) -> RowNumbers:
    """Return the row numbers of a target that is a table or several columns of one."""
    if isinstance(target, Table):
        return target.rows
    if isinstance(target, Sequence) and len(target) and isinstance(target[0], Column):
        rows: RowNumbers = target[0].rows
        return rows
    return RowNumbers()


def refuse_missing(column: Column, where: str) -> None:
    """Raise a DataError that names the rows whose target is missing or infinite."""
    rows = np.flatnonzero(column.missing)
    what, expected = "the target is missing (NaN) in", "a value in every row"
    if not len(rows) and column.values.dtype.kind == "f":
        rows = np.flatnonzero(~np.isfinite(column.values))
        what, expected = "the target is infinite (inf) in", "finite numbers"
    if len(rows):
        raise DataError(
            where,
            f"{what} {len(rows)} of {len(column)} rows",
            got=column.rows.listed(rows),
            expected=expected,
            fix="remove these rows or fill the target in",
        )


class ClassEncoder:
    """Class labels of any kind as codes 0..K-1 and back.

    Classes are sorted (numbers by value, text by code point) and keep their type.

    Example:
        >>> encoder = ClassEncoder().fit(["b", "a", "b"])
        >>> encoder.encode(["a", "b"]).tolist(), encoder.decode([1, 1]).tolist()
        ([0, 1], ['b', 'b'])
    """

    classes: NDArray[Any]
    counts: NDArray[np.int64]

    def fit(self, y: object, where: str = "target", *, allow_one_class: bool = False) -> Self:
        """Learn the classes of a target.

        Args:
            y: (N,) labels: integers, whole floats, booleans or text.
            where: what to call the target in errors.
            allow_one_class: accept a target with a single class.

        Raises:
            DataError: missing labels (rows named), a single class, numbers with a fraction, too
                many classes.
        """
        column = target_column(y, where)
        refuse_missing(column, where)
        _refuse_fractions(column, where)
        self.classes, counts = np.unique(_labels(column), return_counts=True)
        self.counts = counts.astype(np.int64)
        if len(self.classes) > MAX_CLASSES:
            raise DataError(
                where,
                "too many classes",
                got=len(self.classes),
                expected=f"at most {MAX_CLASSES}",
                fix="choose another target, or ask for regression if it is a quantity",
            )
        if len(self.classes) < 2 and not allow_one_class:
            raise DataError(
                where,
                "the target holds only one class",
                got=f"1 class, {self.class_names[0]!r}, in all {len(column)} rows",
                expected="at least 2 classes",
                fix="choose another target column, or add rows of another class",
            )
        return self

    @property
    def n_classes(self) -> int:
        """The number of classes K."""
        return len(self.classes)

    @property
    def class_names(self) -> list[str]:
        """The classes as text."""
        return [str(label) for label in self.classes]

    def encode(self, y: object, where: str = "target") -> NDArray[np.int32]:
        """Return the (N,) int32 codes of labels.

        Raises:
            DataError: a missing label, or one that was not among those learnt, its row named.
        """
        column = target_column(y, where)
        refuse_missing(column, where)
        labels = self._as_stored(column)
        codes = np.minimum(np.searchsorted(self.classes, labels), self.n_classes - 1)
        unknown = np.flatnonzero(self.classes[codes] != labels)
        if len(unknown):
            shown = [repr(name) for name in self.class_names[:20]]
            raise DataError(
                where,
                f"a class that was not in the training data, in {len(unknown)} of "
                f"{len(column)} rows",
                got=f"{str(labels[unknown[0]])!r} in {column.rows.name(int(unknown[0]))}",
                expected=f"one of {join_some(shown, self.n_classes)}",
                fix="remove these rows, or train again with them",
            )
        return codes.astype(np.int32)

    def decode(self, codes: object) -> NDArray[Any]:
        """Return the labels of (N,) codes."""
        labels: NDArray[Any] = self.classes[np.asarray(codes)]
        return labels

    def _as_stored(self, column: Column) -> NDArray[Any]:
        """Return labels in the type of the learnt classes, where the two can be compared."""
        labels = _labels(column)
        if (labels.dtype.kind == "U") == (self.classes.dtype.kind == "U"):
            return labels
        if self.classes.dtype.kind == "U":
            return labels.astype(str)
        try:
            return labels.astype(np.float64)
        except ValueError:
            # Text where the classes are numbers: compared as text, so that the error names the
            # label.
            raise DataError(
                "target",
                "the labels are text, but the classes learnt are numbers",
                got=repr(str(labels[0])),
                expected=join_some(self.class_names[:20], self.n_classes),
                fix="use the labels that the model was trained with",
            ) from None

    def to_config(self) -> dict[str, Any]:
        """Return the classes as JSON-able values."""
        kind = self.classes.dtype.kind
        return {
            "dtype": "str" if kind == "U" else self.classes.dtype.name,
            "classes": self.classes.tolist(),
            "counts": self.counts.tolist(),
        }

    @classmethod
    def from_config(cls, config: object, where: str = "class names") -> Self:
        """Rebuild from `to_config`, every value checked.

        Raises:
            FileFormatError: a value of another type, out of bounds, or out of order.
        """
        stored = StoredConfig(config, where, ("dtype", "classes", "counts"))
        dtype = stored.choice("dtype", ("str", "bool", *_NUMBER_TYPES))
        if dtype == "str":
            classes = np.array(stored.texts("classes", MAX_CLASSES), dtype=str)
        else:
            items = stored.items("classes", MAX_CLASSES)
            wanted = bool if dtype == "bool" else float if dtype.startswith("float") else int
            if any(type(item) is not wanted for item in items):
                raise stored.wrong("classes", items, f"a list of {dtype}")
            try:
                classes = np.array(items, dtype=dtype)
            except OverflowError:
                raise stored.wrong("classes", items, f"numbers that fit {dtype}") from None
        if len(classes) == 0 or not bool((classes[1:] > classes[:-1]).all()):
            raise stored.wrong("classes", classes.tolist(), "at least one class, in rising order")
        encoder = cls()
        encoder.classes = classes
        counts = stored.floats("counts", len(classes))
        if bool((counts < 0).any()) or bool((counts > 2**53).any()):
            raise stored.wrong("counts", counts.tolist(), "counts from 0 up")
        encoder.counts = counts.astype(np.int64)
        return encoder


_NUMBER_TYPES = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
)  # fmt: skip


def _labels(column: Column) -> NDArray[Any]:
    """Return labels as a sortable array: text as NumPy text, numbers and booleans as they are."""
    return column.values.astype(str) if column.kind == "text" else column.values


def _refuse_fractions(column: Column, where: str) -> None:
    if column.kind == "number" and column.values.dtype.kind == "f":
        rows = np.flatnonzero(column.values != np.round(column.values))
        if len(rows):
            raise DataError(
                where,
                "Unknown label type: continuous numbers cannot be classes",
                got=f"{column.values[rows[0]]} in {column.rows.name(int(rows[0]))}",
                expected="whole numbers, text, or true and false",
                fix="use regression for a quantity, or turn the labels into text",
            )


class MultiLabelEncoder:
    """Several 0/1 labels a row, as float32 and back.

    Example:
        >>> encoder = MultiLabelEncoder().fit([[0, 1], [1, 1]], names=["red", "round"])
        >>> encoder.encode([[1, 0]]).tolist(), encoder.names
        ([[1.0, 0.0]], ['red', 'round'])
    """

    names: list[str]

    def fit(self, Y: object, where: str = "target", *, names: Sequence[str] | None = None) -> Self:
        """Learn the number of labels and their names from (N, K) zeros and ones.

        Raises:
            DataError: a value other than 0 and 1, its row and column named.
        """
        if names is not None:
            self.names = [str(name) for name in names]
        elif isinstance(Y, Sequence) and len(Y) and isinstance(Y[0], Column):
            self.names = [column.name for column in Y]
        else:
            self.names = as_table(Y, where=where).names
        self.encode(Y, where)
        return self

    def encode(self, Y: object, where: str = "target") -> NDArray[np.float32]:
        """Return (N, K) float32 zeros and ones."""
        matrix = _matrix(Y, where)
        if matrix.shape[1] != len(self.names):
            raise ShapeError(
                where,
                "wrong number of labels a row",
                got=f"shape {matrix.shape}",
                expected=f"(N, {len(self.names)})",
            )
        bad = np.argwhere((matrix != 0) & (matrix != 1))
        if len(bad):
            row, position = (int(index) for index in bad[0])
            raise DataError(
                where,
                f"a label that is neither 0 nor 1, in {_rows_of(Y).name(row)}, "
                f"label {self.names[position]!r}",
                got=matrix[row, position],
                expected="0 or 1",
                fix="use one column of class names for one class a row",
            )
        return matrix.astype(np.float32)

    def decode(self, labels: object) -> NDArray[np.int64]:
        """Return (N, K) int64 zeros and ones."""
        return np.asarray(labels).astype(np.int64)

    def to_config(self) -> dict[str, Any]:
        """Return the names as JSON-able values."""
        return {"names": list(self.names)}

    @classmethod
    def from_config(cls, config: object, where: str = "label names") -> Self:
        """Rebuild from `to_config`, every value checked."""
        stored = StoredConfig(config, where, ("names",))
        encoder = cls()
        encoder.names = stored.texts("names", MAX_CLASSES)
        if not encoder.names:
            raise stored.wrong("names", [], "at least one name")
        return encoder


class RegressionScaler:
    """Numeric targets standardised for training, and predictions scaled back.

    ``(y - mean) / scale``.

    Args:
        standardize: False leaves the targets as they are.

    Example:
        >>> scaler = RegressionScaler().fit([1.0, 3.0])
        >>> scaler.transform([1.0, 3.0]).tolist(), scaler.inverse([[0.0], [1.0]]).tolist()
        ([-1.0, 1.0], [2.0, 3.0])
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    one_axis: bool

    def __init__(self, standardize: bool = True) -> None:
        self.standardize = standardize

    def fit(self, y: object, where: str = "target", *, sample_weight: object = None) -> Self:
        """Learn mean and standard deviation of (N,) or (N, K) numbers.

        A constant output gets scale 1.

        Args:
            y: the targets.
            where: what to call them in errors.
            sample_weight: (N,) weights from 0 up; a row of weight 2 counts as two rows.

        Raises:
            DataError: missing or infinite values (rows named), or text.
        """
        values, self.one_axis = self._values(y, where)
        width = values.shape[1]
        self.mean, self.scale = np.zeros(width), np.ones(width)
        if self.standardize:
            # Divided by the largest value first, so that squares of huge targets stay finite.
            unit = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float64).tiny)
            weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
            mean = np.average(values / unit, axis=0, weights=weights)
            spread = np.sqrt(np.average((values / unit - mean) ** 2, axis=0, weights=weights))
            self.mean = mean * unit
            self.scale = np.where(spread > 1e-12, spread * unit, 1.0)
        return self

    @property
    def n_outputs(self) -> int:
        """The number of outputs K."""
        return len(self.mean)

    def transform(self, y: object, where: str = "target") -> NDArray[np.float32]:
        """Return standardised float32 targets, (N,) or (N, K) as given to `fit`."""
        values, _ = self._values(y, where)
        if values.shape[1] != self.n_outputs:
            raise ShapeError(
                where, "wrong number of outputs", got=values.shape[1], expected=self.n_outputs
            )
        scaled = ((values - self.mean) / self.scale).astype(np.float32)
        return scaled[:, 0] if self.one_axis else scaled

    def inverse(self, predictions: object) -> NDArray[np.float64]:
        """Return predictions in the units of the targets.

        (N, 1) comes back as (N,) where the targets were (N,).
        """
        values = np.asarray(predictions, dtype=np.float64)
        values = values.reshape(len(values), -1)
        if values.shape[1] != self.n_outputs:
            raise ShapeError(
                "predictions",
                "wrong number of outputs",
                got=f"shape {values.shape}",
                expected=f"(N, {self.n_outputs})",
            )
        result: NDArray[np.float64] = values * self.scale + self.mean
        return result[:, 0] if self.one_axis else result

    def to_config(self) -> dict[str, Any]:
        """Return the scales as JSON-able values."""
        return {
            "standardize": self.standardize,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "one_axis": self.one_axis,
        }

    @classmethod
    def from_config(cls, config: object, where: str = "target scale") -> Self:
        """Rebuild from `to_config`, every value checked."""
        stored = StoredConfig(config, where, ("standardize", "mean", "scale", "one_axis"))
        scaler = cls(stored.boolean("standardize"))
        scaler.mean = stored.floats("mean")
        scaler.scale = stored.floats("scale", len(scaler.mean), positive=True)
        scaler.one_axis = stored.boolean("one_axis")
        if len(scaler.mean) == 0 or (scaler.one_axis and len(scaler.mean) != 1):
            raise stored.wrong("mean", scaler.mean.tolist(), "one number an output")
        return scaler

    def _values(self, y: object, where: str) -> tuple[NDArray[np.float64], bool]:
        """Return finite numbers (N, K) and whether the target had one axis."""
        if _width(y) >= 1:
            return _matrix(y, where), False
        column = target_column(y, where)
        if column.kind == "text":
            row = int(np.argmin(column.missing))
            raise DataError(
                where,
                f"the target is text, in {column.rows.name(row)}",
                got=repr(column.values[row])[:60],
                expected="numbers",
                fix="use classification for text, or correct the cells that are not numbers",
            )
        refuse_missing(column, where)
        return column.to_float()[:, None], True
