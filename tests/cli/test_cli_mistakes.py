"""Mistakes: one message that says where, what, and how to fix it; code 2; nothing written."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Run

from chainrule.cli import app
from chainrule.errors import ArgumentError

TABLES: dict[str, bytes] = {
    "good.csv": b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (i, i % 7, i % 3) for i in range(60)),
    "empty.csv": b"",
    "header.csv": b"a,y\n",
    "ragged.csv": b"a,y\n1,2\n3\n",
    "twice.csv": b"a,a\n1,2\n",
    "latin.csv": "größe,y\n1,2\n3,4\n".encode("latin-1"),
    "binary.csv": bytes(range(256)) * 8,
    "cut.parquet": b"PAR1" + b"\0" * 40 + b"PAR1",
    "one_class.csv": b"a,y\n1,x\n2,x\n3,x\n",
    "infinite.csv": b"a,y\n1,1.5\ninf,2.5\n3,1.0\n4,2.0\n",
    "no_target.csv": b"a,y\n1,\n2,\n",
    "only_target.csv": b"y\n1\n2\n3\n",
    "constant.csv": b"a,y\n1,p\n1,q\n1,p\n1,q\n",
    "two_rows.csv": b"a,y\n1,p\n2,q\n",
    "words.csv": b"a,y\n1,p\n2,q\n3,p\n4,q\n5,p\n6,q\n",
    "fractions.csv": b"a,y\n1,0.5\n2,1.5\n3,2.5\n4,0.5\n",
    "dates.csv": b"a,y\n1,2020-01-01\n2,2020-01-02\n",
    "pickle.safetensors": b"\x80\x04K\x01.",
}

# words -> what the message must say
MISTAKES: list[tuple[str, str]] = [
    ("train god.csv --target y", r"no such file.*did you mean 'good.csv'\?"),
    ("train . --target y", r"\[--target\] this option is for tables: got ., a folder"),
    ("train good.csv", "Missing option '--target'"),
    ("train good.csv --target yy", r"\[good.csv\] no such column: got 'yy'.*did you mean 'y'\?"),
    ("train good.csv --target y --ignore bb", r"no such column: got 'bb'.*did you mean 'b'\?"),
    ("train good.csv --target y --ignore y", "this is the target column"),
    ("train good.csv --target y --ignore a --ignore b", "no column is left to learn from"),
    ("train empty.csv --target y", "the file is empty"),
    ("train header.csv --target y", "no data lines"),
    ("train ragged.csv --target y", "line 3 has another number of fields"),
    ("train twice.csv --target a", "two columns have the same name"),
    ("train latin.csv --target y", "wrong encoding.*windows-1252"),
    ("train latin.csv --target y --encoding klingon", "unknown encoding: got 'klingon'"),
    ("train binary.csv --target y", "null byte"),
    ("train cut.parquet --target y", r"\[cut.parquet\].*Parquet"),
    ("train one_class.csv --target y", "only one class"),
    ("train infinite.csv --target y", "infinite value.*column 'a', data row 2"),
    ("train no_target.csv --target y", "holds no values.*another target"),
    ("train only_target.csv --target y", "no column is left"),
    ("train constant.csv --target y", "no column can be used.*constant"),
    ("train two_rows.csv --target y", "every class has a single row.*--test-fraction 0"),
    ("train words.csv --target y --task regression", "target 'y'.*text, in data row 1.*got 'p'"),
    ("train fractions.csv --target y --task classification", "target 'y'.*got 0.5 in data row 1"),
    ("train dates.csv --target y", "target 'y'.*date"),
    ("train good.csv --target y --task guess", "Invalid value for '--task'"),
    ("train good.csv --target y --hidden 8,", "Invalid value for '--hidden'.*such as 64,64"),
    ("train good.csv --target y --epochs 0", "Invalid value for '--epochs'"),
    ("train good.csv --target y --until loss", "Invalid value for '--until'.*loss=0.05"),
    ("train good.csv --target y --until los=1", r"got 'los'.*did you mean 'loss'\?"),
    ("train good.csv --target y --learning-rate 0", "Invalid value for '--learning-rate'"),
    ("train good.csv --target y --learning-rate 1e30", "no model was written.*--learning-rate"),
    ("train good.csv --target y --batch-size 0", "Invalid value for '--batch-size'"),
    ("train good.csv --target y --test-fraction 1", "Invalid value for '--test-fraction'"),
    ("train good.csv --target y --seed -1", "Invalid value for '--seed'"),
    ("train good.csv --target y --out no/m.safetensors", "no folder.*make the folder first"),
    ("train good.csv --target y --out .", "the name of a folder"),
    ("train good.csv --target y --out good.csv", "exists and is not a model.*another --out"),
    ("train good.csv --target y --out pickle.safetensors", "exists and is not a model.*pickle"),
    ("predict good.csv good.csv", "not a model file"),
    ("predict pickle.safetensors good.csv", "pickle"),
    ("predict none.safetensors good.csv", "cannot find the file"),
    ("predict m.safetensors words.csv", "columns that the model was trained with are missing"),
    ("predict m.safetensors empty.csv", "the file is empty"),
    ("predict m.safetensors good.csv --keep aa", "no such column: got 'aa'"),
    ("predict m.safetensors good.csv --out no/a.csv", "no folder"),
    ("evaluate m.safetensors words.csv", "labels are text, but the classes learnt are numbers"),
    ("evaluate m.safetensors good.csv --target b", "a class that was not in the training data"),
    ("evaluate m.safetensors good.csv --target z", "no such column: got 'z'"),
    ("summary good.csv", "not a model file"),
    ("summary none.safetensors", "cannot find the file"),
    ("demo --epochs 0", "Invalid value for '--epochs'"),
    ("trian good.csv", r"No such command 'trian'. Did you mean 'train'\?"),
    ("train good.csv --target y --epoch 3", r"No such option.*--epochs"),
]


@pytest.fixture
def tables(run: Run) -> Run:
    """The program in a folder with all the tables, and a model of the good one."""
    for name, content in TABLES.items():
        Path(name).write_bytes(content)
    words = ("train", "good.csv", "--target", "y", "--epochs", 1, "--hidden", 4)
    assert run(*words, "--out", "m.safetensors").code == 0
    return run


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistakes(tables: Run, words: str, expected: str) -> None:
    before = {path: path.read_bytes() for path in Path().iterdir()}
    result = tables(*words.split())
    message = " ".join(result.err.split())
    assert result.code == 2
    assert re.search(expected, message), message
    assert message.count("Error: ") == 1
    assert "Traceback" not in message
    assert result.out == ""
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_output_is_checked_before_the_table_is_read(tables: Run) -> None:
    assert "no folder" in tables("train", "empty.csv", "--target", "y", "--out", "no/m").err


def test_a_kept_column_may_not_hide_an_answer(tables: Run) -> None:
    text = Path("good.csv").read_text().replace("a,b,y", "a,b,prediction")
    Path("named.csv").write_text(text)
    result = tables("predict", "m.safetensors", "named.csv", "--keep", "prediction")
    assert result.code == 2
    assert "prediction" in result.err


def test_a_broken_model_is_not_written_over_a_good_one(tables: Run) -> None:
    before = Path("m.safetensors").read_bytes()
    words = ("train", "good.csv", "--target", "y", "--learning-rate", "1e30", "--out")
    assert tables(*words, "m.safetensors").code == 2
    assert Path("m.safetensors").read_bytes() == before


def test_memory_warnings_and_interrupts_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def ending(error: BaseException | None) -> object:
        def invoke(*arguments: object, **options: object) -> None:
            if error is not None:
                raise error
            warnings.warn("a \x1b word of care", UserWarning, stacklevel=1)

        return invoke

    for error, code, words in (
        (MemoryError(), 2, "Error: [memory] the data does not fit"),
        (ArgumentError("here", "wrong\x1b"), 2, "Error: [here] wrong\\x1b."),
        (KeyboardInterrupt(), 130, "Stopped."),
    ):
        monkeypatch.setattr(app.demo, "invoke", ending(error))
        result = run("demo")
        assert (result.code, words in result.err) == (code, True)
    monkeypatch.setattr(app.demo, "invoke", ending(None))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = run("demo")
    assert (result.code, result.err) == (0, "Warning: a \\x1b word of care\n")


def test_real_bugs_are_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def invoke(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(app.demo, "invoke", invoke)
    with pytest.raises(ZeroDivisionError):
        run("demo")


def test_a_table_of_random_bytes_never_ends_in_a_traceback(run: Run) -> None:
    random = np.random.default_rng(0)
    for i in range(30):
        Path("t.csv").write_bytes(random.integers(9, 127, 300, dtype=np.uint8).tobytes())
        result = run("train", "t.csv", "--target", "y", "--epochs", 1)
        assert result.code == 2, i
