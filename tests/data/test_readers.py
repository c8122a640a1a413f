"""Reading tables: separators, types, missing cells, quotes, Parquet; compared with pandas."""

import io
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from chainrule.data import Table, read_table
from chainrule.data import delimited as delimited_module
from chainrule.errors import FileFormatError

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"


def read(tmp_path: Path, content: str | bytes, name: str = "t.csv", **options: str) -> Table:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, **options)  # type: ignore[arg-type]


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in table}


def cells(table: Table, name: str) -> list[object]:
    column = table[name]
    return [None if gone else value for value, gone in zip(column.values.tolist(), column.missing)]


def test_penguins() -> None:
    pandas = pytest.importorskip("pandas")
    table = read_table(PENGUINS)
    frame = pandas.read_csv(PENGUINS)
    assert table.shape == (344, 8)
    assert table.names == list(frame.columns)
    for column in table:
        wanted = frame[column.name]
        np.testing.assert_array_equal(column.missing, wanted.isna())
        if column.kind == "number":
            np.testing.assert_array_equal(column.to_float(), wanted.to_numpy(float))
        else:
            assert column.present.tolist() == wanted.dropna().tolist()
    assert table["year"].values.dtype == np.int64
    assert table["body_mass_g"].missing.sum() == 2


@pytest.mark.parametrize(
    "dataset", ["load_digits", "load_breast_cancer", "load_diabetes", "load_iris"]
)
def test_scikit_learn_tables_written_as_csv(dataset: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    bunch = getattr(datasets, dataset)(as_frame=True)
    path = tmp_path / "t.csv"
    bunch.frame.to_csv(path, index=False)
    table = read_table(path)
    assert table.names == list(bunch.frame.columns)
    assert set(kinds(table).values()) == {"number"}
    values = np.stack([column.to_float() for column in table], axis=1)
    np.testing.assert_array_equal(values, bunch.frame.to_numpy(float))


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t"])
def test_separators_are_found(mark: str, name: str, tmp_path: Path) -> None:
    lines = ["name,of,it", "x;1;2,5", "y;2;3"] if mark == ";" else ["a,b,c", "x,1,2.5", "y,2,3"]
    text = "\n".join(lines)
    text = text.replace(",", ";", 2) if mark == ";" else text.replace(",", mark)
    table = read(tmp_path, text, name)
    assert table.shape == (2, 3)


def test_separator_in_text_does_not_mislead(tmp_path: Path) -> None:
    table = read(tmp_path, 'a;b\n"x, y, z";1\n"p, q, r";2\n')
    assert table.names == ["a", "b"]
    table = read(tmp_path, "a\tb\nx, y\t1\np, q\t2\n")
    assert table.names == ["a", "b"]
    assert read(tmp_path, "a,b\n1,2\n", "t.tsv").names == ["a", "b"]
    assert read(tmp_path, "a,b;c\n1,2;3\n", separator=";").names == ["a,b", "c"]


def test_one_column(tmp_path: Path) -> None:
    table = read(tmp_path, "size\n1\n2\nNA\n")
    assert cells(table, "size") == [1, 2, None]


@pytest.mark.parametrize(
    ("written", "kind", "wanted"),
    [
        ("1|2|3", "number", [1, 2, 3]),
        ("1|NA|3", "number", [1, None, 3]),
        ("1.5|-2e3|.5", "number", [1.5, -2000.0, 0.5]),
        ("1|2|2.5", "number", [1.0, 2.0, 2.5]),
        ("+1|-2|3", "number", [1, -2, 3]),
        (" 1 |2 | 3", "number", [1, 2, 3]),
        ("1|-|3", "number", [1, None, 3]),
        ("1|.|--", "number", [1, None, None]),
        ("9223372036854775808|1|2", "number", [9.223372036854775808e18, 1.0, 2.0]),
        ("1,234|5|6", "text", ["1,234", "5", "6"]),
        ("1,234.5|2,345.6|3", "text", ["1,234.5", "2,345.6", "3"]),
        ("1_000|2|3", "text", ["1_000", "2", "3"]),
        ("0x10|2|3", "text", ["0x10", "2", "3"]),
        ("007|010|123", "text", ["007", "010", "123"]),
        ("0|0.5|-0.25", "number", [0.0, 0.5, -0.25]),
        ("1|two|3", "text", ["1", "two", "3"]),
        ("-|a|b", "text", ["-", "a", "b"]),
        ("true|false|NA", "boolean", [True, False, None]),
        ("TRUE|False|true", "boolean", [True, False, True]),
        ("true|maybe|false", "text", ["true", "maybe", "false"]),
        ("yes|no|?", "text", ["yes", "no", None]),
        ("NA|null|", "number", [None, None, None]),
        ("2020-01-31|1999-12-01|NA", "date", [18292, 10926, None]),
        ("2020-02-30|2020-01-01|2020-01-02", "text", ["2020-02-30", "2020-01-01", "2020-01-02"]),
        ("2020-01-01 12:00|2020-01-02T06:00:00|2020-01-03 00:00:00.5", "date", [18262.5, 18263.25]),
        ("北京|Zürich|🐧", "text", ["北京", "Zürich", "🐧"]),
        ("12:30|1:2|9", "text", ["12:30", "1:2", "9"]),
    ],
)  # fmt: skip
def test_types(written: str, kind: str, wanted: list[object], tmp_path: Path) -> None:
    lines = "".join(f'{k},"{cell}"\n' for k, cell in enumerate(written.split("|")))
    table = read(tmp_path, "row,x\n" + lines)
    column = table["x"]
    assert column.kind == kind
    if kind == "date":
        got = column.to_float().tolist()
        for value, days in zip(got, wanted):
            assert days is None or value == days
    else:
        assert cells(table, "x") == wanted


def test_a_type_holds_for_the_whole_column(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n" + "1,2\n" * 30_000 + "1.5,x\n")
    assert kinds(table) == {"a": "number", "b": "text"}
    assert table["a"].values[-1] == 1.5


def test_infinite_numbers_are_read(tmp_path: Path) -> None:
    table = read(tmp_path, "a\n1\ninf\n-inf\n")
    assert cells(table, "a") == [1.0, np.inf, -np.inf]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_mark_and_blank_lines(end: str, tmp_path: Path) -> None:
    text = "\ufeff" + end.join(["", "a,b", "1,x", "", "2,y", "", ""])
    table = read(tmp_path, text)
    assert table.names == ["a", "b"]
    assert cells(table, "a") == [1, 2]


def test_quotes(tmp_path: Path) -> None:
    table = read(tmp_path, 'a,"b, c"\n"x ""y"", z",1\n"two\nlines",2\n"",3\n')
    assert table.names == ["a", "b, c"]
    assert cells(table, "a") == ['x "y", z', "two\nlines", None]
    # Quotes inside a field that does not begin with one are taken as they are.
    table = read(tmp_path, 'a,b\n5" pipe,1\n6" pipe,2\nx, "y, z"\n')
    assert cells(table, "a") == ['5" pipe', '6" pipe', "x"]
    assert cells(table, "b") == ["1", "2", "y, z"]


def test_names_without_text_are_made(tmp_path: Path) -> None:
    assert read(tmp_path, ",b,\n1,2,3\n").names == ["column 1", "b", "column 3"]
    assert read(tmp_path, ",0.5,1.5\nx,2,3\n").names == ["column 1", "0.5", "1.5"]
    assert read(tmp_path, "2019,2020\n1,2\n").names == ["2019", "2020"]


def test_encoding(tmp_path: Path) -> None:
    text = "名字,数\n北京,3\n上海,4\n"
    table = read(tmp_path, text.encode("gb18030"), encoding="gb18030")
    assert cells(table, "名字") == ["北京", "上海"]
    assert read(tmp_path, "a,é\n1,2\n".encode("utf-16"), encoding="utf-16").names == ["a", "é"]


def test_parquet_keeps_types(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pl.DataFrame(
        {
            "whole": pl.Series([1, None, 3], dtype=pl.Int16),
            "float": [1.5, float("nan"), None],
            "flag": [True, None, False],
            "text": ["a", None, "007"],
            "group": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "day": pl.Series(["2020-01-31", None, "1999-12-01"]).str.to_date(),
            "price": pl.Series(["1.25", None, "2"]).str.to_decimal(scale=2),
            "pair": [[1, 2], [3], None],
            "bytes": [b"a", b"b", None],
        }
    )
    frame.write_parquet(path)
    table = read_table(path)
    assert list(kinds(table).values()) == [
        "number", "number", "boolean", "text", "text", "date", "number", "unsupported",
        "unsupported",
    ]  # fmt: skip
    assert cells(table, "whole") == [1, None, 3]
    assert cells(table, "text") == ["a", None, "007"]
    assert cells(table, "group") == ["x", "y", None]
    assert cells(table, "flag") == [True, None, False]
    assert table["float"].missing.tolist() == [False, True, True]
    assert table["day"].to_float()[[0, 2]].tolist() == [18292, 10926]
    assert table["price"].to_float()[[0, 2]].tolist() == [1.25, 2.0]
    path.rename(tmp_path / "renamed.csv")
    assert read_table(tmp_path / "renamed.csv").shape == (3, 9)


def test_lines_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes, separators and line ends are followed from one block of bytes to the next."""
    text = "a,b\n" + '"x, ""y""\nz",1\n' * 40
    wanted = read(tmp_path, text)
    for size in range(1, 30):
        monkeypatch.setattr(delimited_module, "BLOCK_BYTES", size)
        table = read(tmp_path, text)
        assert table.shape == wanted.shape == (40, 2)
        with pytest.raises(FileFormatError, match="line 82"):
            read(tmp_path, text + "1,2,3\n")


def test_wrong_bytes_are_found_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "a,b\né北🐧,1\n".encode() * 3 + b"\xe9\n"
    for size in range(1, 30):
        monkeypatch.setattr(delimited_module, "BLOCK_BYTES", size)
        with pytest.raises(FileFormatError, match="0xe9 on line 7"):
            read(tmp_path, content)


cell = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=8,
).filter(lambda text: text == text.strip())


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=12),
    mark=st.sampled_from([",", ";", "\t"]),
    quoted=st.sampled_from(["necessary", "always"]),
)
def test_text_comes_back_as_written(
    rows: list[tuple[str, str, str]], mark: str, quoted: str, tmp_path: Path
) -> None:
    """Whatever polars writes is read back cell by cell, where the cells are text."""
    columns = {f"c{k}": ["text here", *(row[k] for row in rows)] for k in range(3)}
    stream = io.BytesIO()
    pl.DataFrame(columns).write_csv(stream, separator=mark, quote_style=quoted)  # type: ignore[arg-type]
    table = read(tmp_path, stream.getvalue(), separator=mark)
    for name, written in columns.items():
        column = table[name]
        for value, gone, text in zip(column.values, column.missing, written):
            assert (value == text) != gone


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), min_size=2, max_size=20))
def test_floats_come_back_to_the_bit(numbers: list[float | None], tmp_path: Path) -> None:
    lines = "".join(f"x,{'' if number is None else repr(number)}\n" for number in numbers)
    column = read(tmp_path, "a,b\n" + lines)["b"]
    assert column.kind == "number"
    wanted = np.array([np.nan if number is None else number for number in numbers])
    np.testing.assert_array_equal(column.to_float(), wanted)
