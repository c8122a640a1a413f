"""Compares the estimators' defaults with scikit-learn's MLP on real tables, on the same splits.

Five seeds each: the seed draws the test rows (a fifth, classes with their shares, the rows that
``chainrule train`` holds out) and the initial weights. scikit-learn gets missing cells filled and
marked, categories one-hot, x and y standardised, in its default size and in chainrule's.

``python benchmarks/tables.py [--seeds 5] [--json] [name ...]`` prints the table of the README.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from chainrule.data import Table, as_table, read_table, split_indices
from chainrule.estimators import NetworkClassifier, NetworkRegressor

PENGUINS = Path(__file__).parent.parent / "examples" / "penguins.csv"
TEST_FRACTION = 0.2
SIZES = {"MLP (100,)": (100,), "MLP (64, 64)": (64, 64)}


@dataclass
class Data:
    """One table.

    Args:
        inputs: the columns.
        target: the values to predict.
        classes: whether they are classes.
        goal: the median score that must be reached.
    """

    inputs: Table
    target: NDArray[Any]
    classes: bool
    goal: float


@dataclass
class Result:
    """The scores of one table by method, one a seed, and the seconds that a fit took."""

    name: str
    rows: int
    score: str
    goal: float
    scores: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)


def penguins() -> Data:
    """Read the penguins: categories, missing cells, three species."""
    inputs, target = read_table(PENGUINS).split_target("species")
    return Data(inputs, target.values.astype(str), True, 0.98)


def bundled(load: Callable[..., Any], classes: bool, goal: float) -> Callable[[], Data]:
    """Return the reader of a table that comes with scikit-learn."""

    def read() -> Data:
        x, y = load(return_X_y=True)
        return Data(as_table(x), y, classes, goal)

    return read


TABLES: dict[str, Callable[[], Data]] = {
    "penguins": penguins,
    "digits": bundled(datasets.load_digits, True, 0.975),
    "breast cancer": bundled(datasets.load_breast_cancer, True, 0.96),
    "diabetes": bundled(datasets.load_diabetes, False, 0.42),
    "iris": bundled(datasets.load_iris, True, 0.93),
    "wine": bundled(datasets.load_wine, True, 0.95),
}


def plain_columns(table: Table) -> tuple[NDArray[Any], list[int], list[int]]:
    """Return a table as an object array, and the places of its numbers and of its categories."""
    cells = np.empty(table.shape, dtype=object)
    numbers: list[int] = []
    categories: list[int] = []
    for place, column in enumerate(table):
        (categories if column.kind == "text" else numbers).append(place)
        cells[:, place] = column.values.astype(str) if column.kind == "text" else column.to_float()
        if column.kind == "text":
            cells[column.missing, place] = "missing"
    return cells, numbers, categories


def scikit_learn(data: Data, size: tuple[int, ...], seed: int) -> Any:
    """Return scikit-learn's MLP with the preparation that a careful user gives it."""
    _, numbers, categories = plain_columns(data.inputs)
    fill = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    code = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("numbers", fill, numbers), ("categories", code, categories)])
    if data.classes:
        return make_pipeline(columns, MLPClassifier(size, max_iter=1000, random_state=seed))
    network = MLPRegressor(hidden_layer_sizes=size, max_iter=1000, random_state=seed)
    scaled = TransformedTargetRegressor(network, transformer=StandardScaler())
    return make_pipeline(columns, scaled)


def methods(data: Data, seed: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, estimator and inputs of every method."""
    kind = NetworkClassifier if data.classes else NetworkRegressor
    yield "chainrule", kind(random_state=seed), data.inputs
    cells, _, _ = plain_columns(data.inputs)
    for name, size in SIZES.items():
        yield name, scikit_learn(data, size, seed), cells


def compare(name: str, seeds: int) -> Result:
    """Fit and score every method on every split of one table."""
    data = TABLES[name]()
    rows = len(data.target)
    result = Result(name, rows, "accuracy" if data.classes else "R2", data.goal)
    for seed in range(seeds):
        labels = data.target if data.classes else None
        train, test = split_indices(rows, TEST_FRACTION, seed=seed, stratify=labels)
        for method, estimator, inputs in methods(data, seed):
            start = time.perf_counter()
            estimator.fit(_take(inputs, train), data.target[train])
            result.seconds.setdefault(method, []).append(time.perf_counter() - start)
            score = estimator.score(_take(inputs, test), data.target[test])
            result.scores.setdefault(method, []).append(float(score))
    return result


def _take(inputs: Any, rows: NDArray[Any]) -> Any:
    return inputs.take(rows) if isinstance(inputs, Table) else inputs[rows]


def print_table(results: list[Result]) -> None:
    """Print medians as a Markdown table."""
    names = ["chainrule", *SIZES]
    print("| table | rows | score | goal | " + " | ".join(names) + " | seconds a fit |")
    print("|---|---|---|---|" + "---|" * len(names) + "---|")
    for result in results:
        medians = [f"{statistics.median(result.scores[name]):.4f}" for name in names]
        spent = ", ".join(f"{statistics.median(result.seconds[name]):.1f}" for name in names)
        cells = [result.name, str(result.rows), result.score, f"{result.goal:g}", *medians, spent]
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    """Run the tables named on the command line, all by default."""
    parser = argparse.ArgumentParser(description="chainrule's defaults beside scikit-learn's MLP")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(TABLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="all scores as one JSON line")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    results = []
    for name in arguments.names or list(TABLES):
        if name not in TABLES:
            parser.error(f"unknown table {name!r}: one of {', '.join(TABLES)}")
        results.append(compare(name, arguments.seeds))
        print(f"{name} done", file=sys.stderr)
    if arguments.json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        print_table(results)


if __name__ == "__main__":
    main()
