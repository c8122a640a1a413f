"""What the commands print: short tables on a console, and the last JSON line."""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chainrule.cli.scores import Estimator, Scores
from chainrule.cli.tables import Examples
from chainrule.cli.text import count, name_list, printable
from chainrule.data import ClassEncoder, UsedColumn
from chainrule.estimators import NetworkClassifier

#: A confusion matrix of more classes than this is told as its most frequent mistakes.
MAX_MATRIX_CLASSES = 12
MAX_LISTED_MISTAKES = 10

#: More columns than this are told in groups.
MAX_COLUMNS_ONE_BY_ONE = 20


def console() -> Console:
    """The console for reports: standard output, no guessing of markup or emphasis in the text."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def print_facts(out: Console, facts: Sequence[tuple[str, str]]) -> None:
    """Print lines of a name and what there is to say about it, wrapped beside the name."""
    indent = max(len(name) for name, _ in facts) + 2
    for name, fact in facts:
        lines = textwrap.wrap(printable(fact), max(20, out.width - indent), subsequent_indent="  ")
        out.print(Text(name.ljust(indent), style="bold").append(Text(lines[0], style="not bold")))
        for line in lines[1:]:
            out.print(Text(" " * indent + line))


def table_facts(data: str, table: Examples) -> list[tuple[str, str]]:
    """What was read, and what was left out."""
    facts = [("Table", f"{data}: {count(table.rows, 'row')}")]
    if table.without_target:
        left_out = count(table.without_target, "row")
        facts.append(("", f"{left_out} left out: {table.target.name} is missing there"))
    return facts


def class_facts(estimator: NetworkClassifier) -> str:
    """The classes and their rows in training."""
    encoder = estimator.target_encoder_
    if not isinstance(encoder, ClassEncoder):
        return name_list(encoder.names)
    pairs = zip(encoder.class_names, encoder.counts, strict=True)
    return f"{encoder.n_classes}: " + name_list([f"{name} ({n:,})" for name, n in pairs])


def column_facts(estimator: Estimator) -> list[tuple[str, str]]:
    """The columns that are used, and how, and those that are not, and why.

    Many columns that are treated alike are told together.
    """
    if estimator.preprocessor_ is None:
        return [("Columns", count(estimator.n_features_in_, "number", "numbers") + ", as they are")]
    found = estimator.preprocessor_.report()
    if len(found.used) <= MAX_COLUMNS_ONE_BY_ONE:
        used = [(item.column, item.how) for item in found.used]
    else:
        used = _grouped([(_short(item), item.column) for item in found.used])
    dropped = [(item.column, item.reason) for item in found.dropped]
    if len(dropped) > MAX_COLUMNS_ONE_BY_ONE:
        dropped = _grouped([(item.reason, item.column) for item in found.dropped])
    total = len(found.used) + len(found.dropped)
    facts = [("Columns", f"{len(found.used)} of {total} used, {count(_width(estimator), 'input')}")]
    facts += [("", f"{column}: {how}") for column, how in used]
    facts += [("Dropped" if not i else "", f"{c}: {why}") for i, (c, why) in enumerate(dropped)]
    return facts


def column_json(estimator: Estimator) -> dict[str, Any] | None:
    """The columns for the JSON line."""
    if estimator.preprocessor_ is None:
        return None
    found = estimator.preprocessor_.report()
    used = [{"column": item.column, "kind": item.kind, "how": item.how} for item in found.used]
    return {
        "used": used,
        "dropped": [{"column": i.column, "reason": i.reason} for i in found.dropped],
    }


def _short(item: UsedColumn) -> str:
    """What was done with a column, without its own figures."""
    filled = " with missing cells, filled in and marked" if "missing" in item.how else ""
    return f"{item.kind} columns{filled}"


def _grouped(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each first member once, counted, with all its second ones: ``("text (9)", "a, b, ...")``."""
    groups: dict[str, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return [(f"{key} ({len(names):,})", name_list(names)) for key, names in groups.items()]


def network_fact(estimator: Estimator) -> str:
    """The network in one line."""
    summary = estimator.model_.summary()
    widths = [str(row.output_shape[-1]) for row in summary.rows if row.kind == "Dense"]
    chain = " -> ".join([str(_width(estimator)), *widths])
    return f"{chain}, {count(summary.parameters, 'parameter')}"


def _width(estimator: Estimator) -> int:
    """The number of inputs of the network."""
    preprocessor = estimator.preprocessor_
    return estimator.n_features_in_ if preprocessor is None else preprocessor.n_features


def print_scores(out: Console, title: str, scores: Scores, estimator: Estimator) -> None:
    """Print the scores of the network beside those of the baseline, and the confusion matrix."""
    classifier = isinstance(estimator, NetworkClassifier)
    table = _plain_table()
    table.add_column(title, style="bold")
    table.add_column("network", justify="right")
    table.add_column("majority class" if classifier else "mean", justify="right")
    for name, value in scores.test.items():
        table.add_row(name, _number(value), _number(scores.baseline[name]))
    out.print()
    out.print(table)
    encoder = estimator.target_encoder_
    if scores.confusion is not None and isinstance(encoder, ClassEncoder):
        out.print()
        print_confusion(out, encoder.class_names, scores.confusion)


def score_facts(scores: Scores | None, estimator: Estimator) -> dict[str, Any]:
    """The scores for the JSON line."""
    if scores is None:
        return {"test": None, "baseline": None}
    facts: dict[str, Any] = {"test": scores.test, "baseline": scores.baseline}
    encoder = estimator.target_encoder_
    if scores.confusion is not None and isinstance(encoder, ClassEncoder):
        facts["confusion"] = {"classes": encoder.class_names, "counts": scores.confusion}
    return facts


def print_confusion(out: Console, classes: Sequence[str], matrix: NDArray[Any]) -> None:
    """Print a confusion matrix (rows: true class, columns: predicted class).

    With many classes the most frequent mistakes are listed instead.

    Args:
        out: where to print.
        classes: the names of the classes.
        matrix: counts, shape (C, C) for C classes.
    """
    names = [printable(name) for name in classes]
    if len(names) <= MAX_MATRIX_CLASSES:
        table = _plain_table()
        table.add_column("true \\ predicted", style="bold")
        for name in names:
            table.add_column(name, justify="right")
        for name, row in zip(names, matrix, strict=True):
            table.add_row(name, *(str(int(number)) for number in row))
        out.print(table)
        return
    wrong = np.array(matrix)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:MAX_LISTED_MISTAKES]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)]
    mistakes = [f"{names[i]} as {names[j]} ({wrong[i, j]})" for i, j in pairs if wrong[i, j]]
    out.print(f"Most frequent mistakes: {', '.join(mistakes) or 'none'}")


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; numbers that JSON lacks become null."""
    click.echo(json.dumps(_json_value(result), allow_nan=False))


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _json_value(value.tolist())
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, np.generic):
        return _json_value(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain_table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), header_style="", pad_edge=False)


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.4g}"
