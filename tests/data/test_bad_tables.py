"""Bad tables: every one is refused with a message that says where, what, and how to fix it."""

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from chainrule.data import (
    ClassEncoder,
    MultiLabelEncoder,
    RegressionScaler,
    TablePreprocessor,
    as_table,
    infer_task,
    read_table,
    split_indices,
)
from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    DataError,
    DTypeError,
    FileAccessError,
    FileFormatError,
    ShapeError,
)

GOOD = b"city,size\n" + b"Lyon,1.5\nLima,2.5\n" * 10


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("t.csv", "a,b\n1,2\n")
    return stream.getvalue()


def _wide(columns: int) -> bytes:
    names = b",".join(b"c%d" % k for k in range(columns))
    return names + b"\n" + b",".join([b"1"] * columns) + b"\n"


def _parquet(**columns: object) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    return stream.getvalue()


# (name, file name, content, words of the message)
FILES: list[tuple[str, str, bytes, str]] = [
    ("empty", "t.csv", b"", "the file is empty"),
    ("blank", "t.csv", b"\n\n  \n", "the file is empty"),
    ("mark only", "t.csv", b"\xef\xbb\xbf\n", "the file is empty"),
    ("header only", "t.csv", b"a,b,c\n", "no data lines.*3 column names"),
    ("long line", "t.csv", b"a,b\n1,2\n3,4,5\n", "line 3 has another number.*got 3.*expected 2"),
    ("short line", "t.csv", b"a,b\n1,2\n\n3\n", "line 4 has another number.*got 1.*expected 2"),
    ("long line after a quoted one", "t.csv", b'a,b\n"x\ny",2\n3,4,5\n', "line 4 has another"),
    ("tab file uneven", "t.tsv", b"a\tb\n1\t2\n3\n", "line 3.*separator: tab"),
    ("twice the same name", "t.csv", b"a,b,a\n1,2,3\n", "two columns have the same name: got 'a'"),
    ("same name but for blanks", "t.csv", b"a, a\n1,2\n", "two columns have the same name"),
    ("no header", "t.csv", b"5.1,3.5,1\n4.9,3.0,1\n", "first line holds data.*line of"),
    ("no header, equal cells", "t.csv", b"0.5,0.5,1\n0.1,0.2,1\n", "first line holds data"),
    ("unclosed quote", "t.csv", b'a,b\n1,"x\n2,y\n', "a quote that is opened.*line 2"),
    ("quote then text", "t.csv", b'a,b\n1,x\n2,"y"z\n', "quote inside a quoted field.*line 3"),
    ("Latin 1", "t.csv", "a,b\n1,2\nCafé,3\n".encode("latin-1"), "wrong.*0xe9 on line 3.*windows"),
    ("GB 18030", "t.csv", "名字,数\n北京,3\n上海,4\n".encode("gb18030"), "wrong encoding.*gb18030"),
    ("UTF-16", "t.csv", "a,b\n1,2\n".encode("utf-16"), "wrong encoding.*UTF-16"),
    ("UTF-16 without mark", "t.csv", "a,b\n1,2\n".encode("utf-16-le"), "wrong encoding.*UTF-16"),
    ("UTF-32", "t.csv", "a,b\n1,2\n".encode("utf-32"), "wrong encoding.*UTF-32"),
    ("null byte", "t.csv", GOOD + b"Li\x00ma,3\n", "null byte.*line 22"),
    ("pickle", "t.csv", pickle.dumps({"a": [1, 2]}), "not a table: got a Python pickle"),
    ("PNG", "t.csv", b"\x89PNG\r\n\x1a\n" + bytes(50), "not a table: got a PNG image"),
    ("zip", "t.csv", _zip(), "not a table: got a zip archive or an Excel workbook"),
    ("gzip", "t.csv.gz", b"\x1f\x8b\x08\x00" + bytes(20), "not a table: got a gzip archive"),
    ("PDF", "t.csv", b"%PDF-1.7\n", "not a table: got a PDF"),
    ("SQLite", "t.csv", b"SQLite format 3\x00" + bytes(90), "not a table: got an SQLite"),
    ("JSON", "t.csv", b'[{"a": 1}, {"a": 2}]', "not a table: got JSON"),
    ("HTML", "t.csv", b"<!DOCTYPE html><p>Not found", "not a table: got HTML"),
    ("safetensors", "t.csv", b'\x08\0\0\0\0\0\0\0{"a":1}  ', "not a table: got a safetensors"),
    ("random bytes", "t.csv", np.random.default_rng(0).bytes(999), "null byte|wrong encoding"),
    ("endless field", "t.csv", b"a,b\n1,2\n3," + b"x" * (1 << 21), "too long, on line 3"),
    ("endless line", "t.csv", b"a" * (1 << 21) + b"\n1\n", "too long, on line 1"),
    ("too many columns", "t.csv", _wide(100_001), "too many columns: got 100001"),
    ("cut Parquet", "t.parquet", _parquet(a=[1, 2])[:-9], "not a complete Parquet file"),
    ("CSV named Parquet", "t.parquet", GOOD, "not a complete Parquet file"),
    ("damaged Parquet", "t.parquet", b"PAR1" + bytes(60) + b"PAR1", "Parquet file is damaged"),
    ("empty Parquet", "t.parquet", _parquet(a=[], b=[]), "the table is empty: got 0 rows"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "words"), [f[1:] for f in FILES], ids=[f[0] for f in FILES]
)
def test_file(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=words) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"[{name}]")
    assert "To fix:" in str(caught.value) or "expected" in str(caught.value)


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "penguins.csv").write_bytes(GOOD)
    with pytest.raises(FileAccessError, match=r"no such file.*did you mean .*penguins\.csv"):
        read_table(tmp_path / "pengiuns.csv")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="this is a folder"):
        read_table(tmp_path)


def test_special_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(FileAccessError, match="not an ordinary file"):
            read_table(path)


def test_impossible_path() -> None:
    with pytest.raises(FileAccessError, match="cannot be read"):
        read_table("a\0b.csv")
    with pytest.raises(FileAccessError, match="cannot be read"):
        read_table("x" * 5000)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(GOOD)
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileAccessError, match="no permission"):
        read_table(path)


def test_file_size_is_checked_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("wb") as stream:
        stream.truncate(8 << 30)
    with pytest.raises(FileFormatError, match=r"too large: got 8,589,934,592 bytes"):
        read_table(path)
    path.write_bytes(GOOD)
    with pytest.raises(FileFormatError, match="too large"):
        read_table(path, max_bytes=10)


def test_parquet_that_expands_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    pl.select(pl.repeat(7, 60_000_000, dtype=pl.Int64).alias("a")).write_parquet(path)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(FileFormatError, match=r"too large: got 60,000,000 rows"):
        read_table(path)


@pytest.mark.parametrize("separator", ["", ",,", "é", '"', "\n"])
def test_separator_argument(tmp_path: Path, separator: str) -> None:
    with pytest.raises(ArgumentError, match="wrong separator"):
        read_table(tmp_path / "t.csv", separator=separator)


def test_encoding_argument(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(GOOD)
    with pytest.raises(FileFormatError, match="unknown encoding: got 'klingon'"):
        read_table(path, encoding="klingon")
    path.write_bytes(b"a,b\n\x81\xff,2\n")
    with pytest.raises(FileFormatError, match="the text is not shift-jis"):
        read_table(path, encoding="shift-jis")
    with pytest.raises(FileFormatError, match=r"unknown encoding|is not"):
        read_table(path, encoding="base64")


FRAME = {"size": [1.0, 2.0, 3.0], "city": ["Lyon", "Lima", None]}
PREPARED = TablePreprocessor(min_category_count=1).fit(FRAME)
LABELS = ["a", "b", "a"]

# (name, error, words of the message, what to call)
CALLS: list[tuple[str, type[ChainruleError], str, Callable[[], object]]] = [
    ("one axis", ShapeError, r"Reshape your data", lambda: as_table(np.zeros(3))),
    ("three axes", ShapeError, r"shape \(2, 2, 2\)", lambda: as_table(np.zeros((2, 2, 2)))),
    ("no rows", DataError, "no rows", lambda: as_table(np.zeros((0, 3)))),
    (
        "no columns",
        DataError,
        r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required",
        lambda: as_table(np.zeros((3, 0))),
    ),
    ("a number", DTypeError, "not a table: got int", lambda: as_table(7)),
    ("a text", DTypeError, "not a table: got str", lambda: as_table("penguins.csv")),
    (
        "complex",
        DataError,
        "Complex data not supported",
        lambda: as_table(np.zeros((2, 2), complex)),
    ),
    ("uneven lists", ShapeError, "different lengths", lambda: as_table([[1, 2], [3]])),
    ("uneven columns", ShapeError, "different lengths", lambda: as_table({"a": [1], "b": [1, 2]})),
    (
        "a dict in a cell",
        DTypeError,
        r"column 'x1', row 0.*argument must be a string or a number",
        lambda: as_table(np.array([[1, {}], [2, 3]], dtype=object)),
    ),
    (
        "text where numbers are needed",
        DataError,
        "text where numbers are needed, in column 'city', row 0: got 'Lyon'",
        lambda: as_table(FRAME, numbers_only=True),
    ),
    (
        "NaN refused",
        DataError,
        r"NaN.*column 'x1', row 2",
        lambda: as_table(np.array([[1, 2], [3, 4], [5, np.nan]]), missing="refuse"),
    ),
    (
        "missing text refused",
        DataError,
        r"NaN.*column 'city', row 2",
        lambda: as_table(FRAME, missing="refuse"),
    ),
    (
        "infinite number",
        DataError,
        r"infinite value \(inf\) in column 'x1', row 1",
        lambda: TablePreprocessor().fit(np.array([[1, 2], [3, np.inf]])),
    ),
    (
        "infinite number in a frame",
        DataError,
        r"infinite value \(inf\) in column 'size', row 1: got -inf",
        lambda: PREPARED.transform({"size": [1, -np.inf], "city": ["Lyon", "Lima"]}),
    ),
    (
        "column missing",
        DataError,
        r"trained with are missing.*expected 'city' as well",
        lambda: PREPARED.transform({"size": [1.0]}),
    ),
    (
        "wrong width",
        DataError,
        r"X has 3 features, expected 2 features",
        lambda: PREPARED.transform(np.zeros((2, 3))),
    ),
    (
        "text where training had numbers",
        DataError,
        r"another kind than in training, in column 'size', row 1: got 'big', expected a number",
        lambda: PREPARED.transform({"size": ["1", "big"], "city": ["Lyon", "Lima"]}),
    ),
    (
        "dates where training had numbers",
        DataError,
        r"another kind than in training, in column 'size', row 0",
        lambda: PREPARED.transform(
            {"size": np.array(["2020-01-01"], "datetime64[D]"), "city": ["Lyon"]}
        ),
    ),
    (
        "nothing that varies",
        DataError,
        "no column can be used: got 'a': constant: always 1, 'b': all cells are missing",
        lambda: TablePreprocessor().fit({"a": [1, 1], "b": [None, None]}),
    ),
    (
        "weights of another length",
        DataError,
        r"weights do not fit: got shape \(2,\)",
        lambda: TablePreprocessor().fit(FRAME, sample_weight=[1, 2]),
    ),
    ("unknown impute", ArgumentError, "unknown impute", lambda: TablePreprocessor(impute="mode")),  # type: ignore[arg-type]
    ("no categories", ArgumentError, "max_categories", lambda: TablePreprocessor(max_categories=0)),
    ("no such column", DataError, "did you mean 'city'", lambda: as_table(FRAME).column("citty")),
    (
        "target not in the table",
        DataError,
        r"no such column: got 'sise', expected one of 'size', 'city'.*did you mean 'size'",
        lambda: as_table(FRAME).split_target("sise"),
    ),
    (
        "only the target",
        DataError,
        "no column is left",
        lambda: as_table({"a": [1, 2]}).split_target("a"),
    ),
    (
        "one class",
        DataError,
        "only one class: got 1 class, 'cat', in all 2 rows",
        lambda: ClassEncoder().fit(["cat", "cat"]),
    ),
    (
        "missing labels",
        DataError,
        r"target is missing \(NaN\) in 2 of 4 rows: got row 1, row 3",
        lambda: ClassEncoder().fit(["a", None, "b", None]),
    ),
    (
        "classes with a fraction",
        DataError,
        "continuous numbers cannot be classes: got 1.5 in row 1",
        lambda: ClassEncoder().fit([1.0, 1.5]),
    ),
    (
        "class not seen in training",
        DataError,
        r"not in the training data, in 1 of 2 rows: got 'c' in row 1.*expected one of 'a', 'b'",
        lambda: ClassEncoder().fit(LABELS).encode(["a", "c"]),
    ),
    (
        "text labels where classes are numbers",
        DataError,
        "labels are text, but the classes learnt are numbers",
        lambda: ClassEncoder().fit([1, 2]).encode(["a", "b"]),
    ),
    (
        "label neither 0 nor 1",
        DataError,
        r"neither 0 nor 1, in row 1.*label 'x0': got 2",
        lambda: MultiLabelEncoder().fit([[0, 1], [2, 1]]),
    ),
    (
        "text to regress",
        DataError,
        r"target is text, in row 0",
        lambda: RegressionScaler().fit(LABELS),
    ),
    (
        "NaN to regress",
        DataError,
        r"missing \(NaN\) in 1 of 2 rows: got row 1",
        lambda: RegressionScaler().fit([1.0, np.nan]),
    ),
    (
        "inf to regress",
        DataError,
        r"infinite \(inf\) in 1 of 2 rows: got row 0",
        lambda: RegressionScaler().fit([np.inf, 1.0]),
    ),
    (
        "inf in one of several outputs",
        DataError,
        "infinite value in column 'x1', row 0",
        lambda: RegressionScaler().fit([[1.0, np.inf], [1.0, 2.0]]),
    ),
    (
        "dates to learn",
        DataError,
        "target of kind date cannot be learnt",
        lambda: infer_task(np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")),
    ),
    ("nothing to learn", DataError, "target has no values", lambda: infer_task([None, None])),
    ("no target", DataError, "no rows", lambda: infer_task([])),
    ("one row to split", DataError, "too few rows", lambda: split_indices(1)),
    (
        "classes of one row to split",
        DataError,
        "every class has a single row",
        lambda: split_indices(3, stratify=[1, 2, 3]),
    ),
    ("nothing tested", ArgumentError, "test_fraction", lambda: split_indices(9, 0.0)),
    ("negative seed", ArgumentError, "negative seed", lambda: split_indices(9, seed=-1)),
    ("other length", ArgumentError, "stratify", lambda: split_indices(9, stratify=[1, 2])),
]


@pytest.mark.parametrize(
    ("kind", "words", "call"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS]
)
def test_call(kind: type[ChainruleError], words: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert re.search(words, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith("[")


def test_rows_of_a_file_keep_their_numbers_through_a_split(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("size,city\n" + "1,a\n2,b\n" * 5 + "inf,a\n")
    table = read_table(path).take([10, 3, 4])
    with pytest.raises(DataError, match=r"\[t.csv\] an infinite value.*'size', data row 11"):
        TablePreprocessor().fit(table)


def test_a_reader_that_sees_other_lines_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(GOOD)
    whole = pl.read_csv
    monkeypatch.setattr(pl, "read_csv", lambda *a, **k: whole(*a, **k).head(3))
    with pytest.raises(FileFormatError, match=r"got 3 rows.*expected 20 rows"):
        read_table(path)


def test_what_native_code_says_is_shown_only_where_nothing_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(_parquet(a=[1, 2]))
    whole = pl.read_parquet

    def warn(*arguments: object) -> object:
        os.write(2, b"a warning\n")
        return whole(*arguments)  # type: ignore[arg-type]

    def panic(*_: object) -> None:
        os.write(2, b"thread panicked\n")
        raise pl.exceptions.PanicException("index out of bounds")

    monkeypatch.setattr(pl, "read_parquet", warn)
    assert read_table(path).shape == (2, 1)
    assert capfd.readouterr().err == "a warning\n"
    monkeypatch.setattr(pl, "read_parquet", panic)
    with pytest.raises(FileFormatError, match="Parquet file is damaged: got index out of bounds"):
        read_table(path)
    assert capfd.readouterr().err == ""
