"""The small parts of the command line: option values, safe text, CSV cells."""

import csv
import io
import json

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chainrule.cli import report
from chainrule.cli.answers import safe_cell, to_csv
from chainrule.cli.options import hidden_sizes, thresholds
from chainrule.cli.text import name_list, printable


@pytest.mark.parametrize(("text", "sizes"), [("64,64", (64, 64)), ("8", (8,)), (" 3 , 4 ", (3, 4))])
def test_hidden_sizes(text: str, sizes: tuple[int, ...]) -> None:
    assert hidden_sizes(None, None, text) == sizes


@pytest.mark.parametrize("text", ["", "64,", "a", "0", "-1", "1.5", "64;64"])
def test_wrong_hidden_sizes(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 64,64"):
        hidden_sizes(None, None, text)


def test_threshold() -> None:
    assert thresholds(None, None, ()) is None
    goals = thresholds(None, None, ("loss=0.05", "val_loss=1e-3"))
    assert goals == {"loss": 0.05, "val_loss": 1e-3}


@pytest.mark.parametrize("text", ["", "loss", "loss=", "=0.1", "loss=small", "loss=nan"])
def test_wrong_threshold(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"such as loss=0\.05"):
        thresholds(None, None, (text,))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_formula_cells_are_quoted(start: str) -> None:
    cell = f"{start}HYPERLINK(1)"
    assert safe_cell(cell) == "'" + cell
    assert to_csv({cell: [cell]}) == to_csv({"'" + cell: ["'" + cell]})


@pytest.mark.parametrize("number", ["-5", "+1.5", "-1e-7", "-inf"])
def test_numbers_are_not_quoted(number: str) -> None:
    assert safe_cell(number) == number


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=1))
def test_csv_round_trip(cells: list[str]) -> None:
    rows = list(csv.reader(io.StringIO(to_csv({"name": cells}), newline="")))
    assert [row[0] if row else "" for row in rows] == ["name", *map(safe_cell, cells)]


def test_control_characters_are_written_out() -> None:
    assert printable("a\x1b]0;title\x07\u202eb") == "a\\x1b]0;title\\x07\\u202eb"


def test_long_lists_are_cut() -> None:
    assert name_list([str(i) for i in range(100)], limit=3) == "0, 1, ..., 99"
    assert name_list(["a", "b", "c"], limit=3) == "a, b, c"


def _printed(function: object, *arguments: object) -> str:
    buffer = io.StringIO()
    function(Console(file=buffer, width=80, markup=False, highlight=False), *arguments)  # type: ignore[operator]
    return buffer.getvalue()


def test_confusion_matrix() -> None:
    text = _printed(report.print_confusion, ["no", "[b]yes"], np.array([[5, 1], [2, 7]]))
    lines = [line.split() for line in text.splitlines()]
    assert lines[0][-2:] == ["no", "[b]yes"]
    assert lines[1] == ["no", "5", "1"]
    assert lines[2] == ["[b]yes", "2", "7"]


def test_many_classes_are_told_by_mistakes() -> None:
    matrix = np.eye(30, dtype=int) * 4
    matrix[3, 8], matrix[9, 2] = 1, 3
    names = [f"c{i}" for i in range(30)]
    text = _printed(report.print_confusion, names, matrix)
    assert "c9 as c2 (3), c3 as c8 (1)" in text
    assert "none" in _printed(report.print_confusion, names, np.eye(30, dtype=int))


def test_json_is_strict(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"a": float("nan"), "b": np.float32(0.5), "c": np.arange(2), "d": {"e": (1, None)}}
    report.print_json(values)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert json.loads(line) == {"a": None, "b": 0.5, "c": [0, 1], "d": {"e": [1, None]}}
