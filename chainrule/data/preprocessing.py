"""From a table to numbers: what each column becomes, learnt from the training rows."""

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.category_column import CategoryColumn, choose_categories
from chainrule.data.checks import StoredConfig, stored_array
from chainrule.data.convert import MAX_COLUMNS, as_table
from chainrule.data.input_columns import InputColumns
from chainrule.data.number_columns import (
    FLOAT32_LIMIT,
    LIMIT,
    ColumnsSource,
    MatrixSource,
    NumberColumns,
    NumberSource,
    NumberStatistics,
    measure,
    weighted_median,
)
from chainrule.data.report import (
    DroppedColumn,
    PreprocessorReport,
    UsedColumn,
    describe_categories,
    describe_number,
)
from chainrule.data.table import (
    KINDS,
    Column,
    MatrixTable,
    Table,
    join_some,
    position_names,
    row_blocks,
)
from chainrule.errors import ArgumentError, DataError, StateError

MAX_RESULT_BYTES = 4 << 30
MAX_REASON = 400
MAX_FEATURES_PER_COLUMN = 10_000
MIN_IDENTIFIER_ROWS = 20
IDENTIFIER_NAME = re.compile(
    r"(^|[_\s.-])(id|index|idx|row|rowid|rownames|uuid|guid)$|[a-z](Id|ID)$"
    r"|^unnamed: \d+$|^column 1$"
)
CONFIG_KEYS = (
    "version", "options", "n_inputs", "names", "kinds", "n_values", "n_indicators", "categories",
    "dropped",
)  # fmt: skip
OPTION_KEYS = (
    "impute", "indicators", "standardize", "robust", "max_categories", "min_category_count",
    "drop_identifiers",
)  # fmt: skip


class TablePreprocessor:
    """Turns a table of numbers, categories, booleans and dates into float32 features (N, D).

    Numbers, and dates as days: missing cells filled in, ``(x - mean) / deviation``, cut at plus
    and minus 10; a 0/1 indicator where training cells were missing. Booleans: 0 and 1. Text:
    one-hot, the rare categories pooled into one feature, missing cells a category of their own; a
    category not seen in training counts as rare. Dropped, each with a reason: constant and empty
    columns, identifiers, text with too many categories, nested values.

    Args:
        impute: "mean" (default) or "median" of the training rows for missing numbers.
        indicators: add a feature for missing cells, default True.
        standardize: default True; False leaves numbers as they are.
        robust: cut standardised values at plus and minus 10, default True.
        max_categories: how many categories of a column get a feature of their own, default 50.
        min_category_count: rarer categories are pooled; default "auto": 1/200 of the rows, between
            2 and 10.
        drop_identifiers: drop text whose values all differ and whole-number columns named like an
            identifier, default True.

    Example:
        >>> table = {"age": [20.0, 40.0, None], "pet": ["cat", "dog", "cat"], "one": [1, 1, 1]}
        >>> prepared = TablePreprocessor(min_category_count=1)
        >>> prepared.fit_transform(table).tolist()
        [[-1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]
        >>> prepared.feature_names
        ['age', 'age is missing', 'pet=cat', 'pet=dog']
        >>> prepared.report().dropped
        (DroppedColumn(column='one', reason='constant: always 1'),)

    Unlike a scikit-learn ColumnTransformer it chooses the treatment itself. The cut at 10 is what
    helped most, or hurt least, of seven treatments of heavy tails on 16 real tables
    (docs/decisions/0002-heavy-tails.md).
    """

    def __init__(
        self,
        *,
        impute: Literal["mean", "median"] = "mean",
        indicators: bool = True,
        standardize: bool = True,
        robust: bool = True,
        max_categories: int = 50,
        min_category_count: int | Literal["auto"] = "auto",
        drop_identifiers: bool = True,
    ) -> None:
        _check_options(impute, max_categories, min_category_count)
        self.impute = impute
        self.indicators = indicators
        self.standardize = standardize
        self.robust = robust
        self.max_categories = max_categories
        self.min_category_count = min_category_count
        self.drop_identifiers = drop_identifiers
        self._inputs = InputColumns(0, None, None)
        self._numbers: NumberColumns | None = None
        self._categories: list[CategoryColumn] = []
        self._dropped: dict[int, str] = {}
        self._missing_counts = np.zeros(0, np.int64)

    def fit(
        self, table: object, y: object = None, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from the training rows.

        Args:
            table: anything that `as_table` takes.
            y: not used; accepted so that it can stand where scikit-learn's transformers stand.
            sample_weight: (N,) weights from 0 up; a row of weight 2 counts as two rows, one of
                weight 0 not at all.

        Raises:
            DataError: an infinite value (column and row named), or no usable column (the reasons
                given).
        """
        data = as_table(table)
        weights = _weights(sample_weight, data)
        if weights is not None and not bool((weights > 0).all()):
            data, weights = data.take(weights > 0), weights[weights > 0]
        self._dropped, self._categories = {}, []
        self._missing_counts = np.zeros(data.n_columns, np.int64)
        names = None if data.positional else data.names
        if isinstance(data, MatrixTable):
            boolean = data.matrix.dtype == np.bool_
            self._inputs = InputColumns(
                data.n_columns, names, ["boolean"] * data.n_columns if boolean else None
            )
            positions = np.arange(data.n_columns)
            self._fit_numbers(MatrixSource(data, positions), positions, weights)
        else:
            columns = data.columns
            kinds = [column.kind for column in columns]
            self._inputs = InputColumns(data.n_columns, names, kinds)
            self._missing_counts = np.array([column.missing.sum() for column in columns], np.int64)
            self._fit_categories(columns, weights)
            positions = np.flatnonzero(
                [self._takes_number(column, j) for j, column in enumerate(columns)]
            )
            source = ColumnsSource([columns[j] for j in positions], data)
            self._fit_numbers(source, positions, weights)
        if self.n_features == 0:
            raise self._nothing_usable(data)
        return self

    def _takes_number(self, column: Column, position: int) -> bool:
        """Return whether a column is one of numbers, booleans or dates and not an identifier."""
        if self.drop_identifiers and _is_identifier(column):
            self._dropped[position] = (
                "like an identifier: by its name, and all its whole numbers differ"
            )
            return False
        return column.kind in ("number", "boolean", "date")

    def _fit_categories(self, columns: list[Column], weights: NDArray[np.float64] | None) -> None:
        n_rows = len(columns[0])
        least = self.min_category_count
        min_count = max(2, min(10, n_rows // 200)) if least == "auto" else least
        for position, column in enumerate(columns):
            if column.kind == "unsupported":
                self._dropped[position] = (
                    f"holds {column.note or 'nested values'}, not numbers or text"
                )
            if column.kind != "text":
                continue
            chosen = choose_categories(
                column,
                position,
                max_categories=self.max_categories,
                min_count=min_count,
                drop_identifiers=self.drop_identifiers,
                weights=weights,
            )
            if isinstance(chosen, str):
                self._dropped[position] = chosen
            else:
                self._categories.append(chosen)

    def _fit_numbers(
        self,
        source: NumberSource,
        positions: NDArray[np.int64],
        weights: NDArray[np.float64] | None,
    ) -> None:
        found = measure(source, weights)
        self._missing_counts[positions] = found.missing
        constant = (found.low == found.high) | (found.deviation <= 1e-14 * np.abs(found.mean))
        useful = ~constant & ~np.isnan(found.low)
        marked = (found.missing > 0) & ~np.isnan(found.low) & self.indicators
        for place in np.flatnonzero(~useful & ~marked).tolist():
            whole = bool(np.isnan(found.low[place]))
            self._dropped[int(positions[place])] = (
                "all cells are missing" if whole else f"constant: always {found.low[place]:.6g}"
            )
        plain = np.array([self._inputs.kind(j) == "boolean" for j in positions.tolist()], np.bool_)
        plain |= not self.standardize
        fill = self._fill(found, source, np.flatnonzero(useful & (found.missing > 0)), weights)
        self._numbers = NumberColumns(
            positions[useful].astype(np.int64),
            np.where(plain, 0.0, found.mean)[useful],
            np.where(plain, 1.0, found.deviation)[useful],
            fill[useful],
            positions[marked].astype(np.int64),
            self._limit(),
        )

    def _limit(self) -> float:
        return LIMIT if self.robust and self.standardize else FLOAT32_LIMIT

    def _fill(
        self,
        found: NumberStatistics,
        source: NumberSource,
        places: NDArray[np.intp],
        weights: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Return what stands for missing cells: the mean, or the median of columns `places`."""
        fill = np.where(np.isnan(found.mean), 0.0, found.mean)
        if self.impute == "median" and len(places):
            blocks = row_blocks(source.n_rows, source.width)
            whole = np.concatenate([source.block(rows)[:, places] for rows in blocks])
            fill[places] = [weighted_median(values, weights) for values in whole.T]
        return fill

    def _nothing_usable(self, data: Table) -> DataError:
        reasons = [
            f"{self._inputs.name(position)!r}: {reason}"
            for position, reason in self._dropped.items()
        ]
        return DataError(
            data.source,
            "no column can be used",
            got=join_some(reasons[:5], len(reasons)),
            expected="at least one column whose values vary",
            fix="add columns, or more rows",
        )

    def transform(self, table: object) -> NDArray[np.float32]:
        """Return the float32 features (N, D) of rows.

        Columns are found by name, in any order, and others are ignored; arrays and sparse
        matrices must have the width of the training data.

        Raises:
            StateError: called before `fit`.
            DataError: a missing column, text where training had numbers (column and row named), an
                infinite value.
        """
        numbers = self._fitted()
        data = as_table(table)
        size = data.n_rows * self.n_features * 4
        if size > MAX_RESULT_BYTES:
            raise DataError(
                data.source,
                "the features would take too much memory",
                got=f"{data.n_rows:,} rows x {self.n_features:,} features = {size / 2**30:.1f} GiB",
                expected=f"at most {MAX_RESULT_BYTES >> 30} GiB",
                fix="transform some rows at a time (table.take), or use fewer columns",
            )
        out = np.zeros((data.n_rows, self.n_features), np.float32)
        at = numbers.n_features
        needed = numbers.positions
        if isinstance(data, MatrixTable) and not self._categories:
            numbers.write(self._inputs.matrix(data, needed), out)
            return out
        used = [*needed.tolist(), *(category.position for category in self._categories)]
        chosen = self._inputs.match(data, used)
        numbers.write(ColumnsSource([chosen[j] for j in needed.tolist()], data), out[:, :at])
        for category in self._categories:
            category.write(chosen[category.position], out[:, at : at + category.n_features])
            at += category.n_features
        return out

    def fit_transform(
        self, table: object, y: object = None, *, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Learn from rows and return their features."""
        data = as_table(table)
        return self.fit(data, y, sample_weight=sample_weight).transform(data)

    @property
    def n_inputs(self) -> int:
        """The number of columns of the training table."""
        return self._inputs.count

    @property
    def input_names(self) -> list[str]:
        """The names of the columns of the training table."""
        return (
            position_names(self.n_inputs)
            if self._inputs.names is None
            else list(self._inputs.names)
        )

    @property
    def n_features(self) -> int:
        """The number of features D."""
        n_categories = sum(category.n_features for category in self._categories)
        return self._fitted().n_features + n_categories

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in order: numbers, indicators of missing cells, categories."""
        numbers = self._fitted()
        names = [self._inputs.name(j) for j in numbers.value_positions.tolist()]
        names += [
            f"{self._inputs.name(j)} is missing" for j in numbers.indicator_positions.tolist()
        ]
        for category in self._categories:
            names += category.feature_names(self._inputs.name(category.position))
        return names

    def report(self) -> PreprocessorReport:
        """Return the columns that are used, and how, and those that are not, and why."""
        numbers = self._fitted()
        used = [self._used_number(j) for j in numbers.positions.tolist()]
        used += [self._used_category(category) for category in self._categories]
        order = {name: position for position, name in enumerate(self.input_names)}
        used.sort(key=lambda item: order[item.column])
        dropped = [
            DroppedColumn(self._inputs.name(j), reason)
            for j, reason in sorted(self._dropped.items())
        ]
        return PreprocessorReport(tuple(used), tuple(dropped))

    def _used_number(self, position: int) -> UsedColumn:
        numbers = self._fitted()
        name, kind = self._inputs.name(position), self._inputs.kind(position)
        marked = bool(np.isin(position, numbers.indicator_positions))
        place = int(np.searchsorted(numbers.value_positions, position))
        valued = bool(np.isin(position, numbers.value_positions))
        how = describe_number(
            kind,
            center=float(numbers.center[place]) if valued else None,
            scale=float(numbers.scale[place]) if valued else 1.0,
            fill=float(numbers.fill[place]) if valued else 0.0,
            missing=int(self._missing_counts[position]),
            standardize=self.standardize,
            marked=marked,
            impute=self.impute,
        )
        features = [name] * valued + [f"{name} is missing"] * marked
        return UsedColumn(name, kind, how, tuple(features))

    def _used_category(self, category: CategoryColumn) -> UsedColumn:
        name = self._inputs.name(category.position)
        how = describe_categories(
            len(category.values),
            other=category.other,
            missing=int(self._missing_counts[category.position]) if category.missing else 0,
        )
        return UsedColumn(name, "text", how, tuple(category.feature_names(name)))

    def _fitted(self) -> NumberColumns:
        if self._numbers is None:
            raise StateError("TablePreprocessor", "it has not seen any data", fix="call fit first")
        return self._numbers

    def to_config(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what was learnt: JSON-able settings and NumPy arrays by name."""
        numbers = self._fitted()
        config = {
            "version": 1,
            "options": {key: getattr(self, key) for key in OPTION_KEYS},
            "n_inputs": self.n_inputs,
            "names": self._inputs.names,
            "kinds": self._inputs.kinds,
            "n_values": len(numbers.value_positions),
            "n_indicators": len(numbers.indicator_positions),
            "categories": [category.to_config() for category in self._categories],
            "dropped": [[position, reason] for position, reason in sorted(self._dropped.items())],
        }
        return config, {**numbers.to_arrays(), "missing_counts": self._missing_counts}

    @classmethod
    def from_config(
        cls, config: object, arrays: Mapping[str, Any], where: str = "preprocessing"
    ) -> Self:
        """Rebuild from `to_config`, every value checked.

        The settings may come from a hostile file: nothing is sized by a number in them without a
        bound.

        Raises:
            FileFormatError: anything missing, superfluous, of another type, out of bounds or
                contradictory.
        """
        stored = StoredConfig(config, where, CONFIG_KEYS)
        stored.integer("version", 1, 1)
        made = cls(**_stored_options(stored.part("options", OPTION_KEYS)))
        n_inputs = stored.integer("n_inputs", 1, 10 * MAX_COLUMNS)
        made._inputs = InputColumns(
            n_inputs,
            stored.optional("names", lambda key: stored.texts(key, length=n_inputs)),
            stored.optional("kinds", lambda key: stored.choices(key, KINDS, n_inputs)),
        )
        made._numbers = NumberColumns.from_arrays(stored, arrays, made._limit(), n_inputs)
        made._missing_counts = stored_array(
            arrays, "missing_counts", where, dtype="int64", length=n_inputs
        )
        made._categories = [
            CategoryColumn.from_config(item, where, n_inputs)
            for item in stored.items("categories", n_inputs)
        ]
        for item in stored.items("dropped", n_inputs):
            if (
                type(item) is not list
                or [type(part) for part in item] != [int, str]
                or len(item[1]) > MAX_REASON
            ):
                raise stored.wrong("dropped", item, "[position, reason]")
            made._dropped[item[0]] = item[1]
        made._check_stored(stored)
        return made

    def _check_stored(self, stored: StoredConfig) -> None:
        """Raise unless every input column is used once, in a way that fits its kind, or dropped."""
        numbers = self._fitted().positions.tolist()
        categories = [category.position for category in self._categories]
        if sorted([*numbers, *categories, *self._dropped]) != list(range(self.n_inputs)):
            raise stored.wrong(
                "columns", sorted(self._dropped)[:5], "every column used once or dropped"
            )
        if any(self._inputs.kind(j) not in ("number", "boolean", "date") for j in numbers) or any(
            self._inputs.kind(j) != "text" for j in categories
        ):
            raise stored.wrong("kinds", self._inputs.kinds, "kinds that fit the use of the columns")
        if self.n_features == 0:
            raise stored.wrong("columns", 0, "at least one column in use")


def _check_options(impute: object, max_categories: object, min_count: object) -> None:
    where = "TablePreprocessor"
    if impute not in ("mean", "median"):
        raise ArgumentError(where, "unknown impute", got=repr(impute), expected="mean or median")
    if type(max_categories) is not int or not 1 <= max_categories <= MAX_FEATURES_PER_COLUMN:
        raise ArgumentError(
            where,
            "max_categories outside its range",
            got=repr(max_categories),
            expected=f"a whole number from 1 to {MAX_FEATURES_PER_COLUMN}",
        )
    if min_count != "auto" and (type(min_count) is not int or min_count < 1):
        raise ArgumentError(
            where,
            "min_category_count outside its range",
            got=repr(min_count),
            expected="auto or a whole number from 1 up",
        )


def _stored_options(stored: StoredConfig) -> dict[str, Any]:
    options: dict[str, Any] = {"impute": stored.choice("impute", ("mean", "median"))}
    for key in ("indicators", "standardize", "robust", "drop_identifiers"):
        options[key] = stored.boolean(key)
    options["max_categories"] = stored.integer("max_categories", 1, MAX_FEATURES_PER_COLUMN)
    options["min_category_count"] = stored.integer_or("min_category_count", "auto", 1, 2**31)
    return options


def _weights(sample_weight: ArrayLike | None, data: Table) -> NDArray[np.float64] | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    good = weights.shape == (data.n_rows,) and np.isfinite(weights).all() and (weights >= 0).all()
    if not good or not bool((weights > 0).any()):
        raise DataError(
            "sample_weight",
            "the weights do not fit",
            got=f"shape {weights.shape}"
            if weights.shape != (data.n_rows,)
            else "negative, infinite or all zero",
            expected=f"({data.n_rows},) finite numbers from 0 up, one of them positive",
        )
    return weights


def _is_identifier(column: Column) -> bool:
    """Return whether whole numbers are named like an identifier and never repeat."""
    if column.kind != "number" or column.values.dtype.kind not in "iu":
        return False
    name = column.name if IDENTIFIER_NAME.search(column.name) else column.name.lower()
    if len(column) < MIN_IDENTIFIER_ROWS or not IDENTIFIER_NAME.search(name):
        return False
    return not column.missing.any() and len(np.unique(column.values)) == len(column)
